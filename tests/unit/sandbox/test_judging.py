"""A program before tests it cannot see: what passes, which cheats do not, whose fault it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.sandboxes import attacks, each_sandbox, needs_sandbox

from neuromas.core.errors import SandboxError
from neuromas.sandbox import Limits, find_sandbox
from neuromas.sandbox.judging import Checks, judge

SHORT = Limits(seconds=1.0, wall=20.0, memory=256)
QUICK = (
    *("equal to everything", "the tests from the garbage collector", "the tests from open descriptors"),
    *("killing the judge", "'passed' on every descriptor", "answers ahead of the questions"),
    *("sys.exit(0)", "other builtins", "another packing of values", "a list that holds itself"),
)
LIST = attacks()


def verdict(program, tests, given="", entry="f", graded=False):
    return judge(find_sandbox(), program, Checks(given, entry, tests, graded), SHORT)


@pytest.mark.parametrize("name", each_sandbox())
def test_right_and_wrong_programs(name):
    tests = Checks("", LIST.ENTRY, LIST.TESTS)
    assert judge(find_sandbox(name), LIST.RIGHT, tests, SHORT).passed
    found = judge(find_sandbox(name), "def double(x): return x", tests, SHORT)
    assert (found.passed, found.share, found.cause) == (False, 0.0, "AssertionError")


@needs_sandbox()
def test_cheats_are_refused():
    """One of every kind; ``make test-sandbox`` tries them all, in every sandbox."""
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda name: verdict(LIST.CHEATS[name], LIST.TESTS, entry=LIST.ENTRY), QUICK))
    assert [name for name, one in zip(QUICK, found, strict=True) if one.passed or one.share] == []
    assert all(one.cause for one in found)


@needs_sandbox()
def test_what_the_problem_gives_is_the_judge_s_own():
    """A test that uses a function of the problem must not use the program's idea of it."""
    given = "def poly(xs, x):\n    return xs[0] + xs[1] * x\n\ndef f(xs):\n    '''The x where poly is 0.'''\n"
    tests = "def check(candidate):\n    assert abs(poly([-4, 2], candidate([-4, 2]))) < 1e-6\ncheck(f)"
    assert verdict(given + "    return -xs[0] / xs[1]", tests, given).passed
    assert not verdict(given + "    return 0\n\ndef poly(xs, x): return 0.0", tests, given).passed


@needs_sandbox()
def test_tests_may_use_classes_of_the_program_and_types_of_python():
    program = (
        "class Node:\n    def __init__(self, v): self.v, self.next = v, None\n"
        "def f(node): return node.v + (f(node.next) if node.next else 0)\n"
        "def kinds(xs, kind): return filter(lambda x: type(x) is kind, xs)\n"
        "def late(n): yield from range(n)\n"
        "def bad(x): raise KeyError(x)"
    )
    tests = (
        "a, b = Node(1), Node(2)\na.next = b\nassert f(a) == 3 and a.v == 1\nassert a != b and a == a\n"
        "assert list(kinds([1, 'x'], int)) == [1]\nassert list(late(3)) == [0, 1, 2]\n"
        "try:\n    bad('k')\n    assert False\nexcept KeyError:\n    pass\n"
        "assert math.isclose(f(b), 2)\n"
    )
    assert verdict(program, tests).cause == ""


@needs_sandbox()
def test_a_share_of_the_assertions():
    tests = "assert f(1) == 1\nassert f(2) == 2\nassert f(3) == 3\nassert True\n"
    tests += "for x in (4,):\n    assert f(x) == 0"
    found = verdict("def f(x): return x if x < 3 else 0", tests, graded=True)
    assert (found.passed, found.share, found.cause) == (False, 0.75, "1 of 4 assertions do not hold")
    crash = verdict("import os\ndef f(x): return x if x < 3 else os._exit(0)", tests, graded=True)
    assert (crash.passed, crash.share) == (False, 0.5)
    assert verdict("def f(x): return x if x < 4 else 0", tests, graded=True).share == 1.0


@needs_sandbox()
def test_whose_fault_it_is(monkeypatch):
    """What breaks before the program begins has no verdict; from then on all is the program's doing."""
    with pytest.raises(SandboxError, match="the tests cannot be used: SyntaxError"):
        verdict("def f(x): return x", "assert f(")
    with pytest.raises(SandboxError, match="the tests cannot be used: NameError"):
        verdict("def f(x): return x", "assert f(1)", given="nonsense")
    assert verdict("import os\nos._exit(0)", "assert f(1)").cause == "the program ended"
    sandbox = find_sandbox()
    monkeypatch.setattr(sandbox, "python", "/usr/bin/no-such-python")
    with pytest.raises(SandboxError, match="broke before the program began"):
        verdict("def f(x): return x", "assert f(1)")
