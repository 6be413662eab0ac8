"""One case is a command line and the files it meets. Every kind is valid input with something done to it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from damage import NUMBERS, REALS, TEXTS, Entry, Raw, as_inline, as_json, as_toml, entries, mutated, nasty
from hypothesis import strategies as st

from neuromas.config import Config
from neuromas.storage import MANIFEST
from neuromas.tasks import task_info, task_names

QUICK = ["model.backbone=tiny", "model.dtype=float32", "model.device=cpu"]


@dataclass(frozen=True, slots=True)
class Case:
    """``run``: whether the folder ``run`` holds a copy of the trained run before ``files`` are put down.

    Where it is refused, the line holds one of the words in ``says``.
    """

    kind: str
    words: tuple[str, ...]
    files: dict[str, Entry] = field(default_factory=dict)
    run: bool = False
    says: tuple[str, ...] = ()


def _plain(value: Any) -> Any:
    """Lists for tuples."""
    return json.loads(json.dumps(value))


CONFIG = _plain(Config().model_dump(mode="json", exclude_none=True))
CONFIG["model"] |= {"backbone": "tiny", "dtype": "float32", "device": "cpu"}
CONFIG["task"]["options"] = {"n": 4, "parts": 2}
CONFIG["network"]["question"] = "all"
SMALL = {
    "model": CONFIG["model"],
    "network": {"topology": "2-1", "question": "split"},
    "task": {"name": "max", "options": {"n": 4}},
    "growth": {"stages": [["2-1", 1], ["2-2-1", 2]], "init": "gate"},
    "evaluate": {"every": 1},
}
KEYS = [f"{section}.{key}" for section, part in CONFIG.items() if isinstance(part, dict) for key in part]
KEYS += [
    "seed",
    "task.options.n",
    "task.options.seed",
    "task.options.x",
    "growth",
    "train.stepz",
    "train.steps.x",
]


def bounds() -> dict[str, list[Any]]:
    """Values at, before and behind the bounds of every key, and all choices."""
    schema = Config.model_json_schema()
    found: dict[str, list[Any]] = {}
    for section, part in schema["properties"].items():
        name = part.get("$ref", "").rpartition("/")[2]
        for key, spec in schema["$defs"].get(name, {"properties": {}})["properties"].items():
            edges = [spec[word] for word in ("minimum", "maximum", "exclusiveMinimum") if word in spec]
            near = [edge + more for edge in edges for more in (-1, 0, 1, 1e-9)]
            found[f"{section}.{key}"] = [*near, *spec.get("enum", []), spec.get("default", 0)]
    return found


BOUNDS = bounds()


@st.composite
def settings_of_a_run(draw: st.DrawFn) -> Case:
    """``neuromas train key=value``."""
    pairs = []
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        key = draw(st.sampled_from(KEYS))
        value = draw(st.sampled_from(BOUNDS[key]) if key in BOUNDS and draw(st.booleans()) else nasty)
        pairs.append(f"{key}={value if isinstance(value, str) else as_inline(value)}")
    given_keys = {pair.partition("=")[0] for pair in pairs}
    base = [word for word in QUICK if word.partition("=")[0] not in given_keys]
    says = (
        (*pairs[0].partition("=")[0].split("."), "argument ", "run ", "File name too long")
        if len(pairs) == 1
        else ()
    )
    return Case("config keys", ("train", *base, *pairs, "--run", "run"), says=says)


@st.composite
def configs(draw: st.DrawFn) -> Case:
    """``neuromas train c.toml``."""
    tree = draw(mutated(draw(st.sampled_from([CONFIG, SMALL]))))
    return Case("TOML", ("train", "c.toml", "--run", "run"), {"c.toml": draw(entries(as_toml(tree)))})


GRAPH = {
    "question": {"a": "1/2", "b": "2/2", "c": "all"},
    "nodes": ["a", "b", "c"],
    "edges": [["a", "c"], ["b", "c", 12], ["a", "b", {"gate": 0.5, "budget": 3}]],
}
LISTED = {"nodes": [{"name": "a", "question": "all"}, {"name": "b"}], "edges": [["a", "b"]]}
GRAPHML = """<?xml version='1.0' encoding='utf-8'?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="q" for="node" attr.name="question" attr.type="string"><default>all</default></key>
<key id="b" for="edge" attr.name="budget" attr.type="int"/>
<key id="g" for="edge" attr.name="gate" attr.type="double"/>
<graph edgedefault="directed"><node id="a"/><node id="b"><data key="q">stem</data></node><node id="c"/>
<edge source="a" target="b"><data key="b">3</data></edge>
<edge source="b" target="c"><data key="g">0.5</data></edge>
<edge source="a" target="c"/></graph></graphml>
"""
XML_WORDS = [
    "node",
    "edge",
    "graph",
    "graphml",
    "data",
    "key",
    "default",
    "int",
    "double",
    "string",
    "directed",
]
XML_WORDS += ["a", "b", "c", "q", "question", "budget", "gate", "source", "target", "0.5", "3", "stem", "all"]
XML_TEXTS = [
    "",
    "inf",
    "nan",
    "-1",
    "9" * 5000,
    "&#0;",
    "&x;",
    "<!DOCTYPE x []>",
    "boolean",
    "node_default",
    "<a>",
]
XML_TEXTS += ["undirected", "port", "hyperedge", "x" * 3000, "\u202e", "1/9999999", "1e999", "long", "float"]
SHAPES = [
    "2-1",
    "2-2-1",
    "chain:3",
    "tree:2,2",
    "parallel:3",
    "2-2-1+skip",
    "3-1+sparse:0.5,7",
    "2-1+residual",
]
SHAPE_TEXTS = [
    "",
    "-",
    "0",
    "+",
    ":",
    ",",
    "/",
    "9" * 5000,
    "999999",
    "1e9",
    "skip",
    "sparse:0",
    "\n",
    "\x1b",
    "٣",
    ".",
]


@st.composite
def topologies(draw: st.DrawFn) -> Case:
    """Shapes and files, drawn, written again or trained."""
    form = draw(st.sampled_from(["toml", "json", "graphml", "shape"]))
    files = {}
    if form == "shape":
        shape = draw(st.sampled_from(SHAPES))
        place = draw(st.integers(0, len(shape)))
        shape = shape[:place] + draw(st.sampled_from(SHAPE_TEXTS) | st.text(max_size=4)) + shape[place:]
    else:
        shape = f"net.{form}"
        if form == "graphml":
            text = GRAPHML
            for _ in range(draw(st.integers(1, 2))):
                word = draw(st.sampled_from(XML_WORDS))
                text = text.replace(word, draw(st.sampled_from(XML_TEXTS)), draw(st.sampled_from([1, 1, -1])))
        else:
            tree = draw(mutated(draw(st.sampled_from([GRAPH, LISTED]))))
            text = as_toml(tree) if form == "toml" else as_json(tree)
        files[shape] = draw(entries(text))
    act = draw(st.sampled_from(["draw", "write", "svg", "train", "mode"]))
    words = {
        "draw": ("topology", shape, "--backbone", "tiny"),
        "write": ("topology", shape, "--out", f"again.{draw(st.sampled_from(['json', 'toml', 'graphml']))}"),
        "svg": ("topology", shape, "--svg", "net.svg"),
        "train": ("train", *QUICK, f"network.topology={shape}", "--run", "run"),
        "mode": ("topology", shape, "--question", draw(st.sampled_from(["all", "first", "split"]))),
    }
    return Case("topologies", words[act], files, says=(shape, "topology", "argument "))


ROWS = [
    {"question": "Capital of Italy?", "choices": ["Paris", "Rome", "Bern"], "answer": "Rome", "id": "a"},
    {"question": "6 times 7?", "answer": "42", "answer_type": "number"},
    {"question": "Is water wet?", "answer": "yes", "answer_type": "yesno"},
    {"question": "Which?", "choices": {"label": ["A", "B"], "text": ["x", "y"]}, "answer": "B"},
    *({"question": f"{i} plus 1?", "answer": str(i + 1)} for i in range(12)),
]
CSV = 'question,a,b,answer\nWhich is fruit?,apple,stone,A\nWhich is hard?,"a, soft",stone,B\n' + "".join(
    f"{i} or {i + 1}?,{i},{i + 1},B\n" for i in range(12)
)


@st.composite
def task_files(draw: st.DrawFn) -> Case:
    """``file`` tasks of JSONL and CSV, and options of every built-in task."""
    form = draw(st.sampled_from(["jsonl", "jsonl", "csv", "options"]))
    if form == "options":
        name = draw(st.sampled_from([*task_names(generators=False), "gym/chain_sum", "gym/coin_flip"]))
        options = [option.name for option in task_info(name).options]
        key = draw(st.sampled_from([*options, "x"]))
        value = draw(nasty)
        pair = f"{key}={value if isinstance(value, str) else as_inline(value)}"
        return Case(
            "task files",
            ("validate", name, pair, "--items", "5"),
            says=(key, "argument ", "task '", "only ."),
        )
    if form == "csv":
        text = CSV
        for _ in range(draw(st.integers(0, 2))):
            place = draw(st.integers(0, len(text)))
            piece = draw(
                st.sampled_from([",", '"', "\n", "\r", "\0", "question", "\x1b[2J", "9" * 5000, "\u2028"])
            )
            text = text[:place] + piece + text[place:]
    else:
        rows = draw(mutated(ROWS))
        text = "\n".join(as_json(row) for row in rows) if isinstance(rows, list) else as_json(rows)
    more = draw(
        st.sampled_from([(), ("strict=true",), ("kind=choice",), ("choices=a,b",), ("test_share=0.5",)])
    )
    words = ("validate", "file", f"path=d.{form}", "--items", "5", *more)
    if draw(st.integers(0, 3)) == 0:
        options = [
            f"task.options.path=d.{form}",
            "task.name=file",
            *(f"task.options.{pair}" for pair in more),
        ]
        words = ("train", *QUICK, *options, "--run", "run")
    return Case("task files", words, {f"d.{form}": draw(entries(text))}, says=(f"d.{form}", "'file'", "d: "))


PLAN = {
    "name": "plan",
    "seeds": [0, 1],
    "tasks": [{"name": "max", "label": "m", "options": {"n": 4}}],
    "base": {
        "model": CONFIG["model"],
        "network": {"question": "all", "message_tokens": 3},
        "train": {"problems": 2, "samples": 2},
        "evaluate": {"test": 5},
    },
    "arms": [
        {"name": "grown", "stages": [["1-1", 2], ["2-1", 2]], "growth": {"init": "clone"}},
        {"name": "scratch", "stages": [["2-1", 4]], "train": {"lr": 0.01}},
        {"name": "votes", "of": "grown:1", "votes": 5, "temperature": 0.5},
    ],
    "compare": [{"first": "scratch", "second": "grown", "why": "x"}],
}


@st.composite
def plans(draw: st.DrawFn) -> Case:
    """``neuromas experiment plan.toml``; the harness runs no cell."""
    tree = draw(mutated(PLAN))
    more = draw(st.sampled_from([("--report",), (), ("--out", "out")]))
    return Case(
        "experiment files", ("experiment", "plan.toml", *more), {"plan.toml": draw(entries(as_toml(tree)))}
    )


USES = [
    ("ask", "run", "largest? | 3 | 4"),
    ("lineage", "run"),
    ("lineage", "run", "--svg", "x.svg"),
    ("figure", "run", "--kind", "health", "--out", "x.svg"),
    ("evaluate", "run", "--items", "1"),
    ("prune", "run", "--node", "1.1", "--out", "pruned"),
    ("grow", "run", "--to", "3-1", "--steps", "1", "--run", "heir"),
    ("train", "--resume", "run"),
    ("compare", "run:test-before", "run"),
    ("runs", "."),
    ("show", "run"),
    ("show", "run", "--item", "max-test-0-1"),
    ("report", "run", "--json"),
    ("report", "run", "--page", "lineage", "--markdown"),
]


NEWEST = "checkpoints/step-000001"
PLACES = {
    "JSON": ["config.json", "status.json", "run.json", "evaluations/test-after.json"],
    "lines": [
        *("metrics.jsonl", "validation.jsonl", "growth.jsonl"),
        *("evaluations/test-after.jsonl", "evaluations/test-after.prompts.jsonl"),
    ],
}


@st.composite
def manifests(draw: st.DrawFn, run: Path) -> Case:
    """A run of which a JSON or JSONL file is not as it was."""
    name = draw(st.sampled_from([f"{NEWEST}/{MANIFEST}"] * 8 + PLACES["JSON"] + PLACES["lines"]))
    if name in PLACES["lines"]:
        rows = [json.loads(line) for line in _text(run / name).splitlines()] or [{"step": 0}]
        changed = draw(mutated(rows))
        text = "\n".join(as_json(row) for row in changed) if isinstance(changed, list) else as_json(changed)
    else:
        text = as_json(draw(mutated(json.loads(_text(run / name)))))
    return Case("manifests", draw(st.sampled_from(USES)), {f"run/{name}": draw(entries(text))}, run=True)


@st.composite
def tensors(draw: st.DrawFn, run: Path) -> Case:
    """A checkpoint with a safetensors file that is not as it was; the manifest vouches for what it is now."""
    adapter = "adapters/adapter-00/adapter_model.safetensors"
    name = draw(st.sampled_from([adapter, adapter, "optimisers.safetensors"]))
    whole = (run / NEWEST / name).read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header, data = json.loads(whole[8 : 8 + size]), whole[8 + size :]
    what = draw(st.sampled_from(["header"] * 6 + ["length", "short", "long", "numbers", "noise"]))
    if what == "header":
        text = as_json(draw(mutated(header))).encode("utf-8", "surrogatepass")
        content = len(text).to_bytes(8, "little") + text + data
    elif what == "length":
        number = draw(st.sampled_from([0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1]))
        content = number.to_bytes(8, "little") + whole[8:]
    elif what == "short":
        content = whole[: draw(st.integers(0, len(whole) - 1))]
    elif what == "numbers":
        content = whole[: 8 + size] + draw(st.sampled_from([b"\xff", b"\x00", b"\x7f"])) * len(data)
    else:
        content = whole + b"\0" * 8 if what == "long" else draw(st.binary(max_size=80))
    manifest = json.loads(_text(run / NEWEST / MANIFEST))
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    files = {f"run/{NEWEST}/{name}": Entry(content)}
    files[f"run/{NEWEST}/{MANIFEST}"] = Entry(json.dumps(manifest).encode())
    return Case("safetensors", draw(st.sampled_from(USES[:7])), files, run=True)


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


COMMANDS = [
    "train",
    "evaluate",
    "compare",
    "ask",
    "grow",
    "prune",
    "lineage",
    "experiment",
    "validate",
    "topology",
]
COMMANDS += ["tasks", "backbones", "runs", "show", "report", "prompts"]
FLAGS = [
    "--run",
    "--resume",
    "--continue",
    "--split",
    "--items",
    "--messages",
    "--votes",
    "--temperature",
    "--stage",
]
FLAGS += [
    "--task",
    "--name",
    "--device",
    "--json",
    "--trace",
    "--to",
    "--steps",
    "--node",
    "--edge",
    "--out",
    "--svg",
]
FLAGS += [
    "--report",
    "--question",
    "--rank",
    "--share",
    "--question-tokens",
    "--message-tokens",
    "--backbone",
    "--help",
]
GOOD = [
    "run",
    "run:test-after",
    "2-1",
    "max",
    "n=4",
    "train.steps=1",
    "tiny",
    "1",
    "0",
    "0.5",
    "1.1",
    "2.1",
    "largest?",
]
GOOD += [
    "all",
    "node",
    "split",
    "test",
    "blank",
    "x.svg",
    "x.json",
    "new",
    "stage-1",
    "recall",
    "test-before",
]
WORDS = [
    *GOOD,
    *(str(t) for t in (*NUMBERS, *REALS)),
    *(t for t in TEXTS if not isinstance(t, Raw)),
    "--",
    "-",
    "-x",
    "@x",
]


EVALUATE, TOPOLOGY = ("evaluate", "run", "--items", "1"), ("topology", "2-1", "--backbone", "tiny")
OPTIONS = [(EVALUATE, flag) for flag in FLAGS[3:12]] + [(TOPOLOGY, flag) for flag in FLAGS[-8:]]
OPTIONS += [
    ((*EVALUATE, "--task", "max"), ""),
    (("compare", "run"), ""),
    (("ask", "run"), ""),
    (("tasks",), ""),
]
OPTIONS += [
    (("prune", "run", "--out", "p"), "--node"),
    (("prune", "run", "--node", "1.1"), "--out"),
    (("ask",), "x"),
]
OPTIONS += [
    (("prune", "run", "--out", "p", "--edge", "1.1"), ""),
    (("lineage", "run"), "--svg"),
    (("lineage",), ""),
]
OPTIONS += [
    (("grow", "run", "--steps", "1", "--run", "new"), "--to"),
    (("grow", "run", "--to", "3-1"), "--steps"),
]
OPTIONS += [
    (("grow", "run", "--to", "3-1", "--steps", "1", "--run", "new"), ""),
    (("train", "train.steps=1"), "--run"),
]
OPTIONS += [
    (("validate", "max", "--items", "3"), ""),
    (("validate", "max"), "--items"),
    (("train",), "--resume"),
]


@st.composite
def command_lines(draw: st.DrawFn) -> Case:
    """A use that is right, with words changed, left out, doubled and added; or words at random."""
    way = draw(st.sampled_from(["option", "option", "changed", "random"]))
    if way == "option":
        use, flag = draw(st.sampled_from(OPTIONS))
        value = draw(
            st.sampled_from(WORDS) | st.text(max_size=8) | st.integers().map(str) | st.floats().map(str)
        )
        words = [*use, flag, value] if flag else [*use, value]
    elif way == "changed":
        words = list(draw(st.sampled_from(USES)))
        for _ in range(draw(st.integers(1, 2))):
            place = draw(st.integers(0, len(words)))
            act = draw(st.sampled_from(["add", "add", "replace", "leave out", "double", "glue"]))
            if act == "add" or place == len(words):
                words[place:place] = draw(st.lists(st.sampled_from(FLAGS + WORDS), min_size=1, max_size=2))
            elif act == "replace":
                words[place] = draw(st.sampled_from(WORDS))
            elif act == "leave out":
                del words[place]
            elif act == "double":
                words.insert(place, words[place])
            else:
                words[place] += draw(st.sampled_from(["x", "=", " ", "\x1b", "/", "s"]))
    else:
        command = draw(st.sampled_from(COMMANDS))
        words = [command, *draw(st.lists(st.sampled_from(GOOD + FLAGS) | st.sampled_from(WORDS), max_size=5))]
    if words[:1] == ["train"] and "--resume" not in words:
        words = ["train", *QUICK, *words[1:]]
    # so many items are work that is wanted, not a hang
    words = ["50" if word.isdecimal() and int(word[:9]) > 50 and len(word) < 7 else word for word in words]
    return Case("command lines", tuple(words), run=True)


def kinds(run: Path) -> dict[str, st.SearchStrategy[Case]]:
    """Cases by kind. ``run`` is the trained run of ``harness.trained``."""
    return {
        "config keys": settings_of_a_run(),
        "TOML": configs(),
        "topologies": topologies(),
        "task files": task_files(),
        "experiment files": plans(),
        "manifests": manifests(run),
        "safetensors": tensors(run),
        "command lines": command_lines(),
    }
