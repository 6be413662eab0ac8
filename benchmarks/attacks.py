"""Programs that want more than they may: cheats at being judged, and attacks on the machine.

Every one is given to a judge as an answer; none may pass, and none may leave a trace. ``ATTACKS`` print what they
found as well, and are run by themselves: ``held`` is what their output must be. Numbers of limits are small so
that the whole list takes a minute.
"""

from __future__ import annotations

from typing import NamedTuple

ENTRY = "double"
TESTS = """
SECRET = "tests-are-not-for-candidates"
def check(candidate):
    assert candidate(2) == 4
    assert candidate([1]) == [1, 1]
    assert candidate("ab") == "abab"
    assert abs(candidate(0.5) - 1.0) < 1e-9
check(double)
"""
RIGHT = "def double(x):\n    return x * 2\n"


class Attack(NamedTuple):
    """A program that is run alone; ``held`` is the end of its output where it was held."""

    name: str
    program: str
    held: str


_EQUAL = """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    def __gt__(self, other): return False
    def __sub__(self, other): return self
    def __rsub__(self, other): return self
    def __abs__(self): return self
    def __hash__(self): return 0
"""

CHEATS: dict[str, str] = {
    "equal to everything": f"{_EQUAL}\ndef double(x): return Any()",
    "a number equal to everything": """
class Any(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
def double(x): return Any(7)""",
    "a text, a list and a number equal to everything": """
def lying(kind):
    return type("Lying", (kind,), {"__eq__": lambda s, o: True, "__ne__": lambda s, o: False,
                                   "__hash__": lambda s: 0, "__lt__": lambda s, o: True})
def double(x):
    kind = type(x)
    return lying(kind)()""",
    "a class with an equal metaclass": """
class Meta(type):
    def __eq__(cls, other): return True
    def __hash__(cls): return 0
class double(metaclass=Meta):
    def __new__(cls, x): return cls""",
    "the answer from the caller's frame": """
WORD = lambda: chr(45).join(('tests', 'are', 'not', 'for'))
import sys
def double(x):
    frame = sys._getframe()
    while frame:
        for name, value in list(frame.f_locals.items()) + list(frame.f_globals.items()):
            if WORD() in str(value): return x * 2
        frame = frame.f_back""",
    "the tests from the garbage collector": """
WORD = lambda: chr(45).join(('tests', 'are', 'not', 'for'))
import gc
def double(x):
    if any(WORD() in str(one)[:10000] for one in gc.get_objects()): return x * 2""",
    "the tests from the arguments and the environment": """
WORD = lambda: chr(45).join(('tests', 'are', 'not', 'for'))
import os, sys
def double(x):
    if WORD() in repr(sys.argv) + repr(os.environ) + repr(sys.orig_argv): return x * 2""",
    "the tests from open descriptors": """
WORD = lambda: chr(45).join(('tests', 'are', 'not', 'for'))
import os
def read(fd):
    try:
        os.set_blocking(fd, False)
        return os.read(fd, 10**6) + os.pread(fd, 10**6, 0)
    except OSError: return b""
TEXT = b"".join(read(fd) for fd in range(64) if fd not in (1, 2))
def double(x):
    if WORD().encode() in TEXT: return x * 2""",
    "the tests from files of the machine": """
WORD = lambda: chr(45).join(('tests', 'are', 'not', 'for'))
import os
def found():
    for root in ("/proc", "/tmp", "/srv", "/home", "/root", "/var/tmp"):
        for folder, _, names in os.walk(root):
            for name in names[:50]:
                try:
                    if WORD().encode() in open(os.path.join(folder, name), "rb").read(10**6): return True
                except OSError: pass
FOUND = found()
def double(x):
    if FOUND: return x * 2""",
    "the tests from another process": """
WORD = lambda: chr(45).join(('tests', 'are', 'not', 'for'))
import os
def double(x):
    for pid in range(1, 400):
        try:
            if WORD().encode() in open("/proc/%d/cmdline" % pid, "rb").read(): return x * 2
            if WORD().encode() in open("/proc/%d/mem" % pid, "rb").read(): return x * 2
        except OSError: pass""",
    "killing the judge": """
import os, signal
for pid in [os.getppid(), -1, *range(2, 4000)]:
    if pid != os.getpid():
        try: os.kill(pid, signal.SIGKILL)
        except OSError: pass
def double(x): return None""",
    "limits for the judge": """
import resource, os
for pid in [os.getppid(), *range(2, 4000)]:
    if pid != os.getpid():
        try: resource.prlimit(pid, resource.RLIMIT_CPU, (0, 0))
        except OSError: pass
def double(x): return None""",
    "'passed' on every descriptor": """
import os
for fd in range(64):
    for text in (b"passed\\n", b'{"passed": true, "share": 1.0, "cause": ""}\\n',
                 b'{"word": "", "passed": true, "share": 1.0, "cause": ""}\\n'):
        try: os.write(fd, text)
        except OSError: pass
def double(x): return None""",
    "a verdict with a guessed word": """
import gc, os, re
words = set(re.findall(r"\\b[0-9a-f]{32}\\b", " ".join(str(one)[:2000] for one in gc.get_objects())))
for fd in range(64):
    for word in [*words, "0" * 32]:
        try: os.write(fd, b'{"word": "%s", "passed": true, "share": 1.0, "cause": ""}\\n' % word.encode())
        except (OSError, TypeError): pass
def double(x): return None""",
    "answers ahead of the questions": """
import os
for fd in range(64):
    try: os.write(fd, b'{"value": null}\\n' + b'{"value": ["o", 0]}\\n' * 20)
    except OSError: pass
def double(x): return None""",
    "an answer that cannot be read": """
import os
for fd in range(3, 64):
    try: os.write(fd, b"[" * 500000 + b"\\n")
    except OSError: pass
def double(x): return None""",
    "an answer without end": "def double(x): return 'x' * 10**8",
    "an iterator without end": "import itertools\ndef double(x): return itertools.count()",
    "a list that holds itself": "def double(x):\n    y = []\n    y.append(y)\n    return y",
    "sys.exit(0)": "import sys\nsys.exit(0)",
    "sys.exit(0) in the function": "import sys\ndef double(x): sys.exit(0)",
    "os._exit(0)": "import os\nos._exit(0)",
    "os._exit(0) in the function": "import os\ndef double(x): os._exit(0)",
    "raising what tests may expect": "def double(x): raise AssertionError('passed')",
    "raising what ends a process": "def double(x): raise KeyboardInterrupt",
    "other builtins": """
import builtins
builtins.abs = lambda x: 0.0
builtins.isinstance = lambda x, y: True
builtins.AssertionError = Exception
builtins.__import__ = lambda *a, **k: None
def double(x): return None""",
    "another json": """
import json
json.dumps = lambda *a, **k: '{"value": true}'
json.loads = lambda *a, **k: {"do": "call"}
def double(x): return None""",
    "another packing of values": """
import sys
module = sys.modules["neuromas.sandbox.inside.values"]
module.pack = lambda *a: ["i", "0x4"]
main = sys.modules["__main__"]
main.pack = lambda *a: ["i", "0x4"]
def double(x): return None""",
    "atexit": """
import atexit, os
def late():
    for fd in range(64):
        try: os.write(fd, b'{"passed": true, "share": 1.0, "cause": ""}\\n')
        except OSError: pass
atexit.register(late)
def double(x): return None""",
    "a handler of signals": """
import signal, os
for number in range(1, 65):
    try: signal.signal(number, lambda *a: None)
    except (OSError, ValueError): pass
while True: pass""",
    "a thread that answers": """
import threading, os, time
def chatter():
    while True:
        for fd in range(3, 12):
            try: os.write(fd, b'{"value": ["i", "0x4"]}\\n')
            except OSError: pass
        time.sleep(0.001)
threading.Thread(target=chatter, daemon=True).start()
def double(x): return None""",
    "no end": "def double(x):\n    while True: pass",
    "no end before it is asked": "while True: pass",
    "sleep": "import time\ndef double(x): time.sleep(1000)",
    "memory without end": "def double(x):\n    y = []\n    while True: y.append(' ' * 10**7)",
    "recursion without end": "import sys\nsys.setrecursionlimit(10**9)\ndef double(x): return double(x)",
    "output without end": "def double(x):\n    while True: print('x' * 10**6)",
    "a crash of the interpreter": "import ctypes\ndef double(x): ctypes.string_at(0)",
    "a deep expression": f"def double(x): return {'(' * 3000}x{')' * 3000}",
    "no Python": "def double(x) return 4",
    "half a character": "def double(x): return '\\udc80'",
}

_TRY = """
def attempt(act):
    try:
        return "open: %s" % (act(),)
    except BaseException as error:
        return "held"
"""
ATTACKS = (
    Attack(
        "network: sockets of every family",
        f"""{_TRY}
import socket
print({{attempt(lambda: socket.socket(family, kind)) for family in range(0, 46) for kind in (1, 2, 3)}})""",
        "{'held'}",
    ),
    Attack(
        "network: a name is looked up",
        f"""{_TRY}
import socket
print(attempt(lambda: socket.getaddrinfo("example.org", 80)))""",
        "held",
    ),
    Attack(
        "files: of the machine",
        f"""{_TRY}
places = ("/etc/passwd", "/etc/shadow", "/proc/self/status", "/proc/1/environ", "/root", "/home", "/srv", "/var/log",
          "/sys/kernel", "/dev/mem", "/dev/kmsg", "/dev/vda")
import os
print({{attempt(lambda: os.listdir(one) if os.path.isdir(one) else open(one, "rb").read(1)) for one in places}})""",
        "{'held'}",
    ),
    Attack(
        "files: writing anywhere",
        f"""{_TRY}
import os
places = ["/x", "/tmp/x", "/dev/shm/x", "/dev/x", "/usr/x", "/var/tmp/x", "/etc/x", os.path.join(os.getcwd(), "x")]
print({{attempt(lambda: open(one, "w").write("x")) for one in places}} |
      {{attempt(lambda: os.mkdir(one)) for one in places}} | {{attempt(lambda: os.symlink("/", one)) for one in places}})""",
        "{'held'}",
    ),
    Attack(
        "files: changing what is there",
        f"""{_TRY}
import os
print({{attempt(lambda: os.chmod("/usr/bin/python3", 0o777)), attempt(lambda: os.remove("/usr/bin/python3")),
       attempt(lambda: os.rename("/usr", "/y")), attempt(lambda: open("/usr/bin/python3", "r+b"))}})""",
        "{'held'}",
    ),
    Attack(
        "disk: files in memory",
        f"""{_TRY}
import os
print(attempt(lambda: os.write(os.memfd_create("x"), b"x" * 10**6)))""",
        "held",
    ),
    Attack(
        "processes: fork, spawn, system",
        f"""{_TRY}
import os, subprocess
found = {{attempt(os.fork), attempt(os.forkpty), attempt(lambda: subprocess.run(["/bin/true"])),
         attempt(lambda: os.posix_spawn("/bin/true", ["true"], {{}}))}}
print(found if os.system("true") else "open: system")""",
        "{'held'}",
    ),
    Attack(
        "processes: fork bomb",
        """
import os
count = 0
for _ in range(10000):
    try:
        if os.fork() == 0:
            while True: os.fork()
        count += 1
    except OSError: pass
print(count)""",
        "0",
    ),
    Attack(
        "memory: more than is allowed",
        f"""{_TRY}
import mmap
print(attempt(lambda: bytearray(10**9)), attempt(lambda: mmap.mmap(-1, 10**9)))""",
        "held held",
    ),
    Attack(
        "memory: shared segments, which no limit counts",
        f"""{_TRY}
import ctypes
library = ctypes.CDLL(None, use_errno=True)
print(library.shmget(0, 2**20, 0o1600), library.msgget(0, 0o1600), library.semget(0, 1, 0o1600))""",
        "-1 -1 -1",
    ),
    Attack(
        "privileges: nested user namespaces and mounts",
        """
import ctypes
library = ctypes.CDLL(None, use_errno=True)
print(library.unshare(0x10000000), library.unshare(0x00020000), library.mount(b"x", b"/", b"tmpfs", 0, None),
      library.syscall(435, None, 0), library.chroot(b"/"))""",
        "-1 -1 -1 -1 -1",
    ),
    Attack(
        "privileges: becoming somebody",
        f"""{_TRY}
import os
print({{attempt(lambda: os.setuid(0)), attempt(lambda: os.setgid(0)), attempt(lambda: os.setgroups([0]))}}, os.getuid() > 0)""",
        "{'held'} True",
    ),
    Attack(
        "others: tracing and limits",
        """
import ctypes, os
library = ctypes.CDLL(None, use_errno=True)
print(library.ptrace(16, os.getppid(), 0, 0), library.setpriority(0, 1, 19), library.syscall(302, os.getppid(), 0, 0, 0))""",
        "-1 -1 -1",
    ),
    Attack(
        "others: signals",
        """
import os
reached = 0
for pid in range(1, 4000):
    if pid != os.getpid():
        try:
            os.kill(pid, 0)
            reached += pid > 2
        except OSError: pass
print(reached)""",
        "0",
    ),
    Attack(
        "kernel: io_uring, bpf, keys, perf",
        """
import ctypes
library = ctypes.CDLL(None, use_errno=True)
print(*(library.syscall(number, 8, 0, 0, 0, 0) for number in (425, 321, 250, 298, 323)))""",
        "-1 -1 -1 -1 -1",
    ),
)
