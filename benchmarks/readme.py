"""Puts the figures of benchmarks/results/*.json into README.md and pages of docs/, between their markers.

python benchmarks/readme.py            rewrite them, and the experiments' drawings in docs/
python benchmarks/readme.py --check    exit 1 if a page is not up to date (a test does this)
"""

from __future__ import annotations

import importlib
import json
import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from neuromas.report.charts import cost, drawing, experiment, law
from neuromas.report.charts.frame import Chart

HERE = Path(__file__).parent
DOCS = (
    "start",
    "results",
    "growth",
    "organisation",
    "rivals",
    "numbers",
    "tasks",
    "durability",
    "training",
    "config",
    "methods",
    "code",
    "paper",
    "architectures",
    "serving",
)
PAGES = [HERE.parent / "README.md", *(HERE.parent / "docs" / f"{name}.md" for name in DOCS)]
EXPERIMENTS = ("depth", "growth", "remedies")
WORDS = {
    "rollout": "rollout, new tokens/s against PEFT `generate` switched node by node",
    "step": "training step against PEFT node by node, logits everywhere",
    "memory": "peak memory, 7 nodes over 1 node (lower is better)",
    "trl": "whole step, sampled tokens/s against TRL GRPO",
    "comlrl": "whole step, sampled tokens/s against CoMLRL MAGRPO, 2 agents",
}


def main() -> int:
    """Rewrite or check."""
    wanted = {page: render(page.read_text("utf-8")) for page in PAGES}
    if "--check" in sys.argv:
        return int(any(page.read_text("utf-8") != text for page, text in wanted.items()))
    for page, text in wanted.items():
        page.write_text(text, "utf-8")
    for name, chart in charts().items():
        (HERE.parent / "docs" / name).write_text(drawing.svg(chart), "utf-8")
    return 0


def charts() -> dict[str, Chart]:
    """The drawings in docs/ by their files' names, made of the results that are there."""
    found = {f"{name}.svg": experiment.calls(_load(f"{name}.json"), name) for name in EXPERIMENTS}
    if (HERE / "results" / "organisation.json").exists():
        organisation = _load("organisation.json")
        found["organisation-calls.svg"] = experiment.calls(organisation, "organisation")
        found["organisation-depth.svg"] = experiment.depth(organisation, "organisation")
        found["organisation-law.svg"] = law.law(law.of_results(organisation), "organisation")
    if (HERE / "results" / "rivals.json").exists():
        for task, points in _costs(_load("rivals.json")).items():
            found[f"rivals-{task}.svg"] = cost.cost(points, f"rivals, {task}")
    return found


def render(text: str) -> str:
    """A page's text with every marked part made anew from the results."""
    parts: dict[str, Callable[[], str]] = {"demo": _demo, "learning": _learning, "speed": _speed}
    parts |= {"demo-short": _demo_short, "results": _results}
    parts |= {"simulated": _simulated, "power": _power, "validate": _validate, "kills": _kills}
    parts |= {"local-steps": _local_steps, "code": _code}
    parts |= {"methods": _methods, "methods-speed": _methods_speed}
    parts |= {"seven": _seven, "config": _config, "experiment-keys": _experiment_keys}
    parts |= {"organisation": _organisation, "organisation-aloud": _aloud, "organisation-swapped": _swapped}
    parts |= {"organisation-influence": _influence, "organisation-divided": _divided}
    parts |= {"organisation-answer": _answer, "families": _families, "rivals-answers": _answered}
    parts["rivals-public"] = _public
    parts |= {f"{name}-tables": partial(_tables, name) for name in ("organisation", "rivals")}
    parts |= {"organisation-law": _law, "organisation-samples": _samples, "rivals": _rivals}
    parts |= {"paper-constants": _paper_constants, "paper-cost": _paper_cost}
    parts["paper-rehearsal"] = _paper_rehearsal
    parts |= {"serving": _serving, "harness": _harness}
    parts |= _architectures()
    for name in EXPERIMENTS:
        parts[name] = partial(_experiment, name)
        parts[f"{name}-report"] = partial(_report, name)
    for name, make in parts.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if mark.search(text):
            made = make()
            text = mark.sub(lambda found, made=made: found[1] + made + "\n" + found[2], text)
    return text


def _beside(name: str) -> Any:
    """The module of that name in this folder; tests load this file by its path."""
    before = list(sys.path)
    sys.path.insert(0, str(HERE))
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = before


def _architectures() -> dict[str, Callable[[], str]]:
    """The tables of docs/architectures.md, which are made in a file of their own."""
    tables = _beside("architecture_tables")
    served = {"architectures": tables.served, "architectures-refused": tables.refused}
    measured = {"quantised": tables.quantised, "vocabulary": tables.vocabulary, "long": tables.long}
    return {**served, "architectures-check": tables.check, **measured}


def _load(name: str) -> dict[str, Any]:
    return dict(json.loads((HERE / "results" / name).read_text("utf-8")))


def _config() -> str:
    """Every key of a configuration by section, from its schema."""
    from neuromas.config import Config

    schema = Config.model_json_schema()
    lines = []
    for name, found in schema["properties"].items():
        section = schema["$defs"].get(str(found.get("$ref")).rpartition("/")[2])
        if section is None:  # a key of no section
            keys, about, path = {name: found}, "", ""
        else:
            keys, about, path = section["properties"], section["description"], f"{name}."
        lines += [f"{about}\n" if about else "", "| key | default | valid | meaning |", "|---|---|---|---|"]
        for key, spec in keys.items():
            if spec.get("deprecated"):  # the old name of another key
                continue
            default = json.dumps(spec.get("default", {}))
            lines.append(f"| `{path}{key}` | `{default}` | {_valid(spec)} | {spec['description']} |")
        lines.append("")
    return "\n".join(lines).replace("``", "`").strip()


def _experiment_keys() -> str:
    """Every key of an experiment file, from its schema; sections of a run stand in the table above."""
    from neuromas.experiment.schema import experiment_schema

    schema = experiment_schema()
    lines = ["| key | default | valid | meaning |", "|---|---|---|---|"]
    kinds = {"tasks": "TaskPlan", "arms": "Arm", "compare": "Compare"}
    for key, spec in schema["properties"].items():
        if key not in kinds:
            default = "needed" if key in schema["required"] else json.dumps(spec.get("default", {}))
            valid = "table" if key == "base" else _valid(spec)
            lines.append(f"| `{key}` | `{default}` | {valid} | {spec['description']} |")
            continue
        inner = schema["$defs"][kinds[key]]
        lines.append(f"| `[[{key}]]` | | list of tables | {spec['description']} |")
        for name, part in inner["properties"].items():
            if "$ref" not in part:
                default = json.dumps(part.get("default", {})) if name not in inner["required"] else "needed"
                lines.append(f"| `{key}.{name}` | `{default}` | {_valid(part)} | {part['description']} |")
    return "\n".join(lines).replace("`needed`", "needed")


def _valid(spec: dict[str, Any]) -> str:
    """The values a schema allows, in a few words."""
    if "$ref" in spec:
        return "table"
    if "anyOf" in spec:  # several forms, or one and none
        forms = [_valid(one) for one in spec["anyOf"] if one != {"type": "null"}]
        return " or ".join(forms) + ("; or left out" if len(forms) < len(spec["anyOf"]) else "")
    if spec["type"] == "array":
        items = spec.get("items")
        return f"list: {_valid(items)}" if isinstance(items, dict) else "a pair"
    for choices in ("enum", "examples"):
        if choices in spec:
            return ", ".join(f"`{value}`" for value in spec[choices])
    if spec["type"] not in ("integer", "number"):
        return {"string": "text", "object": "table", "boolean": "`true` or `false`"}[spec["type"]]
    kind = "whole, " if spec["type"] == "integer" else ""
    low = f"from {spec['minimum']:,g}" if "minimum" in spec else f"above {spec['exclusiveMinimum']:g}"
    if "maximum" in spec:
        return f"{kind}{low} to {spec['maximum']:,.8g}"
    return f"{kind}{low}" + (f", below {spec['exclusiveMaximum']:g}" if "exclusiveMaximum" in spec else "")


def _kills() -> str:
    """Runs by what was done to them, and how they ended."""
    if not (HERE / "results" / "kills.json").exists():
        return "Not counted yet for this version: `make kill`."
    found = _load("kills.json")
    lines = ["| done to the run | runs | hits | ended bit-identical | faults |", "|---|---|---|---|---|"]
    for kind, counts in found["counts"].items():
        hits = counts.get("hit", 0) + counts.get("stopped with one line", 0)
        lines.append(
            f"| {kind} | {counts['runs']} | {hits} | {counts['bit-identical']} | {counts.get('faults', 0)} |"
        )
    phases = sum((Counter(counts) for counts in found["counts"].values()), Counter())
    where = ", ".join(f"{phases[key]} {key}" for key in sorted(phases) if key.startswith("in "))
    return "\n".join([*lines, "", f"Kills by where they struck: {where}.", "", f"`{found['command']}`"])


def _demo() -> str:
    """The end of `make demo`, as the learning benchmark stored it for seed 0."""
    return "```\n" + (HERE / "results" / "demo-0.txt").read_text("utf-8").rstrip() + "\n```"


def _demo_short() -> str:
    """The same without what the README has no room for: the first question, and fewer rows."""
    head, _, rest = (HERE / "results" / "demo-0.txt").read_text("utf-8").partition('\nquestion "')
    rows = ("before  ", "accuracy", "constant", "gain", "messages")
    table = [line for line in head.splitlines() if line.strip().startswith(rows)]
    question = 'question "' + rest.partition('\nquestion "')[0].rstrip()
    return "\n".join(["```", *table, "", question, "```"])


def _results() -> str:
    """One line a result, each with its page."""
    lines = []
    rows = [r for p in sorted((HERE / "results").glob("learning*.json")) for r in _load(p.name)["rows"]]
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        own = [row for row in rows if row["recipe"] == recipe]
        after = " / ".join(f"{100 * row['test-after']['accuracy']:.1f}" for row in own)
        blank = max(100 * row["test-after-blank"]["accuracy"] for row in own)
        before = " / ".join(dict.fromkeys(f"{100 * row['test-before']['accuracy']:.1f}" for row in own))
        lines.append(
            f"- `{recipe}`: {before} → {after} % on {own[0]['items']} held-out items in {len(own)} seed(s), "
            f"messages blanked at most {blank:.1f} % ([table](docs/results.md#what-it-learned))"
        )
    lines += [*_organisation_lines(), *_rivals_lines()]
    for name, pairs in (("depth", ("scratch-7:2", "small:3")), ("growth", ("scratch-7:2", "small:3"))):
        points = {f"{p['arm']}:{p['stage']}": p["accuracy"] for p in _load(f"{name}.json")["points"]}
        last = max(key for key in points if key.startswith("grown:"))
        scratch, small = (f"{100 * points[key]:.1f} %" for key in pairs)
        lines.append(
            f"- Growing, `{name}`: seven grown nodes {100 * points[last]:.1f} %, from scratch with equal "
            f"calls {scratch}, the small network with equal calls {small}, means of three seeds "
            "([all arms](docs/growth.md))"
        )
    ratio = {name: f"{entry['ratio']:.3g}" for name, entry in _load("cpu.json")["results"].items()}
    lines.append(
        f"- Speed on two cores: {ratio['rollout']} times the rollout and {ratio['step']} times the step of "
        f"PEFT node by node, {ratio['trl']} times TRL, {ratio['comlrl']} times CoMLRL; seven nodes need "
        f"{ratio['memory']} times the memory of one ([table](docs/results.md#how-fast-it-is))"
    )
    cells = _load("statistics.json")["acceptance"]
    span = _span([one["rejects"]["in_use"] for one in cells])
    lines.append(
        f"- Statistics: where nothing differs the test rejects in {span} % of trials ([how](docs/numbers.md))"
    )
    kills = _load("kills.json")["counts"].values()
    runs, faults = (sum(counts.get(key, 0) for counts in kills) for key in ("runs", "faults"))
    lines.append(
        f"- Durability: {runs} runs killed or starved of disk, {faults} faults ([how](docs/durability.md))"
    )
    return "\n".join(lines)


def _influence() -> str:
    """What single nodes of one network are needed for: a row a node."""
    found = _load("influence.json")
    whole = found["baseline"]
    lines = [
        f"`{found['network']}`, {whole['items']} test questions, accuracy {_percent(whole)} % with all "
        "messages; of each node in turn the message was blanked for its readers:",
        "",
        "| node | accuracy without its message | drop in points | lost, gained, tied | p, Holm |",
        "|---|---|---|---|---|",
    ]
    for row in found["nodes"]:
        ends = row["drop_interval"]
        span = f" [{100 * ends['low']:.1f}, {100 * ends['high']:.1f}]" if ends else ""
        counts = f"{row['lost']}, {row['gained']}, {row['tied']}"
        drop = f"{100 * row['drop']:.1f}{span}"
        lines.append(f"| {row['node']} | {_percent(row)} % | {drop} | {counts} | {row['p_holm']:.0e} |")
    return "\n".join(lines)


def _percent(entry: dict[str, Any]) -> str:
    low, high = entry["interval"]["low"], entry["interval"]["high"]
    return f"{100 * entry['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _learning() -> str:
    """Every seed, and the mean gain over seeds."""
    files = [_load(path.name) for path in sorted((HERE / "results").glob("learning*.json"))]
    lines = [
        "Held-out accuracy in percent with 95 % Wilson intervals; p from the exact McNemar test of this one "
        "network before and after (see [what the numbers mean](numbers.md)).",
        "",
        "| recipe | seed | items | before | after | blanked | shuffled | constant answer | p | training |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in [row for data in files for row in data["rows"]]:
        tests = ("test-before", "test-after", "test-after-blank", "test-after-shuffle")
        cells = [_percent(row[name]) for name in tests]
        lines.append(
            f"| {row['recipe']} | {row['seed']} | {row['items']} | {' | '.join(cells)} | "
            f"{100 * row['majority']:.1f} | {row['p_value']:.1g} | {row['training_seconds']:.0f} s |"
        )
    lines.append("")
    for data in files:
        lines += [_gain(entry, data["rows"]) for entry in data["over_seeds"]]
    return "\n".join(lines)


def _gain(entry: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Mean gain of a recipe over seeds; files of 0.1.0 kept no items, so theirs is shown by seed alone."""
    from neuromas.report.experiment import points

    gains = [row["gain"] for row in rows if row["recipe"] == entry["recipe"]]
    each = ", ".join(f"{100 * gain:+.1f}" for gain in gains)
    found = entry.get("trainings")
    mean = points(entry["mean_gain"], found and found["interval"])
    if found and found["p_value"] is not None:
        mean += f", p = {found['p_value']:.1g} by question and seed"
    return f"- `{entry['recipe']}`: mean gain {mean} ({each} with {len(gains)} seed(s))."


def _experiment(name: str) -> str:
    """The networks an experiment compares, one line each, and its comparisons over seeds."""
    from neuromas.report.blocks import percent

    data = _load(f"{name}.json")
    compared = {tuple(pair[side]) for pair in data["comparisons"] for side in ("first", "second")}
    lines = [
        "| way:stage | network | calls in training | accuracy, mean of seeds | each seed |",
        "|---|---|---|---|---|",
    ]
    for point in data["points"]:
        if (point["arm"], point["stage"]) in compared:
            each = ", ".join(
                "–" if one["accuracy"] is None else f"{100 * one['accuracy']:.0f}" for one in point["seeds"]
            )
            what = f"{point['votes']} votes of {point['shape']}" if point["votes"] else point["shape"]
            lines.append(
                f"| {point['arm']}:{point['stage']} | {what} | {point['spent']['calls']:.0f} | "
                f"{percent(point['accuracy'], point['interval'] if 'items' in data else None)} | {each} |"
            )
    lines.append("")
    lines += [_compared(pair) for pair in data["comparisons"]]
    if "items" not in data:
        from neuromas.report.experiment import NOT_KEPT

        lines += ["", f"Points by seed; {NOT_KEPT}."]
    return "\n".join(lines)


def _compared(pair: dict[str, Any]) -> str:
    """One comparison: mean and interval by question and seed where scores were kept, and every seed."""
    from neuromas.report.experiment import chance, points

    (one, at), (other, later), found = pair["first"], pair["second"], pair.get("trainings")
    seeds = pair["seeds"]
    if not seeds["differences"]:
        return f"- {one}:{at} → {other}:{later} ({pair['why']}): no seed has both."
    mean = points(found["mean"], found["interval"]) if found else points(seeds["mean"], None)
    test = f", {chance(found)}" if found else ""
    each = ", ".join(f"{100 * value:+.0f}" for value in seeds["differences"])
    return f"- {one}:{at} → {other}:{later} ({pair['why']}): {mean}{test} (by seed {each})."


_NOT_RUN = "Not run yet: `neuromas experiment organisation`, then `benchmarks/organisation.py`."


_RIVALS = (("grown-2:2", "single-2:3", "3 nodes"), ("lifted-3:1", "longer-3:1", "7 nodes"))


_AGAINST = "Against one model, all reading the whole question, equal parameters and calls (seeds)"


def _organisation_lines() -> list[str]:
    """Grown networks that read the whole question beside the single model: sums, then the rest."""
    if not (HERE / "results" / "organisation.json").exists():
        return []
    names = [name for name in ("organisation", "families") if (HERE / "results" / f"{name}.json").exists()]
    found = [point for name in names for point in _load(f"{name}.json")["points"]]
    points = {(p["task"], f"{p['arm']}:{p['stage']}"): p for p in found if p["accuracy"] is not None}
    lines: dict[bool, list[str]] = {True: [], False: []}
    for task in dict.fromkeys(point["task"] for point in found):
        pairs = [(points.get((task, a)), points.get((task, b)), who) for a, b, who in _RIVALS]
        told = [
            f"{who} {100 * a['accuracy']:.1f} %, one {100 * b['accuracy']:.1f} % "
            f"({min(len(a['seeds']), len(b['seeds']))})"
            for a, b, who in pairs
            if a and b
        ]
        if told:
            lines[task == "sums"].append(f"`{task}` {', '.join(told)}")
    return [
        f"- {about}: {'; '.join(kept)} ([all arms](docs/organisation.md))"
        for about, kept in zip((_AGAINST, "The same of other tasks"), lines.values(), strict=True)
        if kept
    ]


def _answer() -> str:
    """The same lines for the page itself."""
    return "\n".join(_organisation_lines()).replace("docs/organisation.md", "#in-short") or _NOT_RUN


_BESIDE = {
    "network-3": "3 nodes",
    "single": "one",
    "malt-any": "MALT at threshold 0",
    "collm-cc": "CoLLM-CC",
    "direct": "untrained",
}


def _rivals_lines() -> list[str]:
    """The headline arms of the rivals, of every task one after another."""
    if not (HERE / "results" / "rivals.json").exists():
        return []
    found = [point for point in _load("rivals.json")["points"] if point["seeds"]]
    points = {(point["task"], point["arm"]): point for point in found}
    tasks = list(dict.fromkeys(point["task"] for point in found))
    told = []
    for arm, who in _BESIDE.items():
        mine = [points.get((task, arm)) for task in tasks]
        shown = " / ".join("–" if one is None else f"{100 * one['accuracy']:.1f}" for one in mine)
        told.append(f"{who} {shown}")
    asked = " / ".join(f"`{task}`" for task in tasks)
    about = f"- Rivals, equal training, {asked}, percent: {', '.join(told)}"
    return [f"{about} ([seeds, all arms](docs/rivals.md))"]


def _organisation() -> str:
    """What is there of the experiment, its figures, its short tables."""
    if not (HERE / "results" / "organisation.json").exists():
        return _NOT_RUN
    lines = [_there(_load("organisation.json")), "", _beside("short_tables").by_depth()]
    for name, text in (("depth", "Accuracy over depth"), ("calls", "Accuracy over calls spent in training")):
        lines += ["", f"![{text}](organisation-{name}.svg)"]
    return "\n".join([*lines, "", _beside("short_tables").compared("organisation")])


def _families() -> str:
    """What is there of the other families: how much, the table of depths, the comparisons."""
    if not (HERE / "results" / "families.json").exists():
        return _NOT_RUN.replace("organisation`,", "families`,")
    made = _beside("short_tables")
    tables = (made.by_depth("families"), made.compared("families"))
    return "\n\n".join([_there(_load("families.json")), *tables])


def _tables(name: str) -> str:
    """The terminal's page of an experiment, with every table and comparison."""
    if not (HERE / "results" / f"{name}.json").exists():
        return _NOT_RUN
    return _report(name)


def _there(found: dict[str, Any]) -> str:
    """How many cells of an experiment are there, and where to read which are not."""
    there = found["cells"] - len(found["missing"])
    if not found["missing"]:
        return f"All {there} cells are there."
    return (
        f"{there} of {found['cells']} cells are there. How many seeds stand behind an accuracy is said "
        "beside it; arms without any stand below the tables, and every cell in `missing` of the result file."
    )


def _costs(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The points of every task with a seed at least, for the figures of the rivals."""
    shown = [point for point in found["points"] if point["seeds"]]
    return {task: [one for one in shown if one["task"] == task] for task in {one["task"]: 0 for one in shown}}


def _rivals() -> str:
    """What is there of the rivals, a figure for every task, tables and comparisons."""
    if not (HERE / "results" / "rivals.json").exists():
        return "Not run yet: `neuromas experiment rivals`, then `benchmarks/rivals.py`."
    found = _load("rivals.json")
    lines = [_there(found)]
    lines += [f"Failed: {name}: {cause}." for name, cause in found["failed"].items()]
    lines += ["", _beside("short_tables").rivals()]
    for task in _costs(found):
        lines += ["", f"![{task}: accuracy over FLOPs a question](rivals-{task}.svg)"]
    return "\n".join([*lines, "", _beside("short_tables").compared("rivals")])


def _answered() -> str:
    """The commonest answers of every arm of the rivals."""
    return str(_beside("short_tables").answered()) if (HERE / "results" / "rivals.json").exists() else ""


def _public() -> str:
    """Where the model stands on public sets, beside the best constant answer."""
    found = _load("public.json")
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in found["rows"]:
        rows.setdefault(one["set"], []).append(one)
    told = _beside("short_tables").said
    counts = sorted({one["examples"] for one in found["rows"]})
    heads = ["set", "questions", *(f"{count} worked examples" for count in counts), "best constant answer"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, standings in rows.items():
        at = {one["examples"]: one for one in standings}
        right = [f"{100 * at[n]['greedy']:.0f} (at least {100 * at[n]['low']:.0f})" for n in counts]
        best = f"{100 * standings[0]['constant']:.0f} ({told(standings[0]['constant_text'])})"
        lines.append(f"| {name} | {standings[0]['items']} | {' | '.join(right)} | {best} |")
    lines += ["", *(f"Not read: {name}, {told(why, 200)}." for name, why in found["refused"].items())]
    return "\n".join(lines)


def _aloud() -> str:
    """What every node of a grown network read and wrote on one question."""
    if not (HERE / "results" / "organisation.json").exists():
        return _NOT_RUN
    lines = []
    for one in _load("organisation.json")["aloud"]:
        lines += [f"`{one['cell']}`, right is {one['gold']}:", "", "```"]
        for prompt, message in zip(one["prompts"], one["messages"], strict=False):
            lines += [f"{prompt.rstrip()} >> {message}", ""]
        lines[-1] = "```"
    return "\n".join(lines) or "No grown network is there yet."


def _divided() -> str:
    """Whose step each leaf of the networks of seven did: mean over seeds, lowest and highest."""
    if not (HERE / "results" / "organisation.json").exists():
        return _NOT_RUN
    kept = _load("organisation.json").get("divided", ())
    found = [one["leaves"] for one in kept]
    if not found:
        return "No such network is there yet."
    steps = range(1, len(found[0]) + 1)
    lines = [f"| leaf | {' | '.join(f'answer of step {step}' for step in steps)} |"]
    lines.append("|---" * (len(steps) + 1) + "|")
    for leaf in found[0]:
        cells = []
        for shares in zip(*(one[leaf] for one in found), strict=True):
            low, mean, high = (f"{100 * f(shares):.1f}" for f in (min, statistics.mean, max))
            cells.append(f"{mean} %" if low == high else f"{mean} % ({low}–{high})")
        lines.append(f"| {leaf} | {' | '.join(cells)} |")
    of, wrong, ten = (sum(one["output"][key] for one in kept) for key in ("of", "wrong", "ten"))
    made = f"Of {of} sums of the two numbers they read, outputs made {wrong} wrong"
    lines += ["", f"{made}, {ten} of them by exactly ten: the carry."]
    return "\n".join(lines)


def _law() -> str:
    """Accuracy of every network beside the product of its nodes' local accuracies."""
    if not (HERE / "results" / "organisation.json").exists():
        return _NOT_RUN
    found = _load("organisation.json")["law"]
    heads = ("network", "of every layer", "accuracy", "product of local accuracies", "beside the law")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in sorted(found["cells"], key=lambda one: one["cell"]):
        off = f"off: {100 * one['low']:+.0f} to {100 * one['high']:+.0f} points" if one["off"] else "follows"
        shares = " | ".join(f"{100 * one[key]:.1f} %" for key in ("accuracy", "predicted"))
        lines.append(f"| {one['cell']} | {_by_layer(one.get('layers'))} | {shares} | {off} |")
    if found["unknown"]:
        lines += ["", f"Not known of every node: {', '.join(found['unknown'])}."]
    if found["fit"]:
        line = "log accuracy = {intercept:.2f} + {slope:.2f} [{low:.2f}, {high:.2f}] log product"
        line += ", r2 = {r2:.2f}"
        about = "over {cells} networks; {left_out} without a product, or with 0, are left out."
        lines += ["", f"{line}, {about}".format(**found["fit"])]
        if found.get("divided"):
            whose = "Over the {cells} whose leaves are right in at least half of their steps"
            lines += ["", f"{whose}: {line}.".format(**found["divided"])]
    return "\n".join(lines)


def _by_layer(layers: list[list[float | None]] | None) -> str:
    """Lowest and highest local accuracy of every layer's nodes, in percent."""
    if layers is None:
        return "not kept"
    found = []
    for layer in layers:
        known = [f"{100 * share:.0f}" for share in sorted(one for one in layer if one is not None)]
        ends = list(dict.fromkeys([*known[:1], *known[-1:]]))
        found.append(("–".join(ends) or "?") + (", ?" if known and len(known) < len(layer) else ""))
    return " → ".join(found)


def _samples() -> str:
    """Episodes until an accuracy, by depth and way, beside the figures of the toy's signal to noise."""
    if not (HERE / "results" / "organisation.json").exists():
        return _NOT_RUN
    found = [one for one in _load("organisation.json").get("samples", []) if one["depths"]]
    heads = ("until", "way", "depth", "episodes of every seed", "median", "to depth 1", "toy")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in found:
        first = next((row["median"] for row in one["depths"] if row["depth"] == 1), None)
        for row in one["depths"]:
            shown = ", ".join("never" if n is None else f"{n:.0f}" for n in row["episodes"].values())
            ratio = f"{row['median'] / first:.1f}" if first and row["median"] else "-"
            toy = f"{row['predicted']:.3g}" if row["predicted"] is not None else "-"
            half = "never" if row["median"] is None else f"{row['median']:.0f}"
            what = (f"{100 * one['target']:.0f} %", one["way"], row["depth"], shown, half, ratio, toy)
            lines.append(f"| {' | '.join(map(str, what))} |")
    return "\n".join(lines)


def _swapped() -> str:
    """Whose part leaves answer when they are told the number of a neighbour, seeds together."""
    if not (HERE / "results" / "organisation.json").exists():
        return _NOT_RUN
    head = "| task | arm | seeds | messages | part of their adapter | part of their number |"
    lines = [head, "|---|---|---|---|---|---|"]
    rows = _load("organisation.json")["swapped"]
    for task, arm in dict.fromkeys((row["task"], row["arm"]) for row in rows):
        own = [row for row in rows if (row["task"], row["arm"]) == (task, arm)]
        count = sum(row["count"] for row in own)
        shares = [f"{100 * sum(row[key] for row in own) / max(1, count):.1f} %" for key in ("own", "told")]
        lines.append(f"| {task} | {arm} | {len(own)} | {count} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _report(name: str) -> str:
    """The tables and comparisons of an experiment, as the command printed them."""
    from neuromas.report.experiment import experiment_text

    return "```\n" + experiment_text(_load(f"{name}.json")).rstrip() + "\n```"


TESTS = {
    "in_use": "**in use**",
    "pooled_mcnemar": "McNemar, answers of all seeds pooled (0.1.0)",
    "pooled_interval": "bootstrap of pooled answers (0.1.0), normal limit",
    "questions_sign_flip": "sign-flip of questions, summed over seeds",
    "questions_t": "t over questions, summed over seeds",
    "seeds_t": "t over seeds",
    "seeds_sign_flip": "sign-flip of seeds",
    "two_way_sign_flip": "sign-flip of questions and of seeds",
    "two_way_bootstrap": "bootstrap of questions and of seeds, percentiles",
    "two_way_normal": "two-way clustered variance, normal",
    "two_way_smallest": "two-way clustered variance, t with seeds - 1",
    "satterthwaite": "variance in use, Satterthwaite's degrees of freedom",
    "cochran_cox": "variance in use, Cochran and Cox's limit",
    "unpaired_seeds": "as in use, seeds of the arms not paired",
}


def _simulated() -> str:
    """How often each test rejects where nothing differs: lowest and highest of the nine settings."""
    cells = _load("statistics.json")["acceptance"]
    shared = [one for one in _load("statistics.json")["beyond"] if "shared" in one]
    lines = [
        "| rejects at 5 %, in % of trials | 3 seeds | 5 seeds | 10 seeds | seeds share their training |",
        "|---|---|---|---|---|",
    ]
    for test, words in TESTS.items():
        groups = [[one for one in cells if one["seeds"] == seeds] for seeds in (3, 5, 10)]
        spans = [_span([one["rejects"][test] for one in group]) for group in (*groups, shared)]
        lines.append(f"| {words} | {' | '.join(spans)} |")
    covers = [one["covers"] for one in cells]
    none = _span([1 - one["rejects"]["in_use"] for one in cells])
    true = _span([one["covers"] for one in _load("statistics.json")["difference"]])
    accuracy, networks, questions = (_span([c[name] for c in covers]) for name in covers[0])
    return "\n".join(
        [
            *lines,
            "",
            f"The interval in use covers 0 in {none} % of the trials, and where the arms do differ the true "
            f"difference in {true} %; the interval of an accuracy covers it in {accuracy} %. Of the narrower "
            f"questions, a t interval over questions covers for these networks in {networks} %, one over "
            f"seeds for these questions in {questions} %.",
        ]
    )


def _power() -> str:
    """The smallest differences and how often they were found."""
    lines = ["| seeds | questions | smallest difference, points | found in |", "|---|---|---|---|"]
    for one in _load("statistics.json")["power"]:
        seeds = one["seeds"] or "these networks"
        found = f"{100 * one['smallest']:.0f} | {100 * one['finds']:.0f} %"
        lines.append(f"| {seeds} | {one['questions']} | {found} |")
    return "\n".join(lines)


def _span(shares: list[float]) -> str:
    """``3.7–5.6`` percent."""
    return f"{100 * min(shares):.1f}–{100 * max(shares):.1f}"


def _validate() -> str:
    """Every task under `neuromas validate`: the verdict, the bars, the worst cheat, who scores."""
    data = _load("validate.json")
    rows = data["tasks"]
    failed = [row["task"] for row in rows if not row["ok"]]
    easy = [
        f"{row['task']} ({100 * best:.0f} %)"
        for row in rows
        if (best := max(row.get(kind, {"earned": 0})["earned"] for kind in ("constant", "echo"))) > 2 / 3
    ]
    fewest = min(row["items_per_split"] for row in rows)
    lines = [
        f"{len(rows)} settings, {data['items_per_split']} problems of each split ({fewest} of slow ones), "
        f"reasoning-gym {data['reasoning_gym']}, {data['seconds'] / 60:.0f} minutes on one core. "
        f"{'All pass' if not failed else 'Failing: ' + ', '.join(failed)}. "
        f"One rule without thought is right in more than two thirds of {', '.join(easy) or 'no task'}.",
        "",
        "| task | verdict | best constant | best echo | most paid cheat | right elsewhere | scored by |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "constant" not in row:
            lines.append(f"| {row['task']} | fails: {'; '.join(row['checks'].values())} | | | | | |")
            continue
        verdict = "ok" if row["ok"] else f"fails: {', '.join(row['failed'])}"
        echo = row["echo"]["name"].removeprefix("echo of ") if row["echo"]["earned"] else ""
        worst = row["worst"]["name"] if row["worst"]["unearned"] else ""
        figures = (
            f"{100 * row['constant']['earned']:.0f} %",
            f"{100 * row['echo']['earned']:.0f} % {echo}".rstrip(),
            f"{100 * row['worst']['unearned']:.0f} % {worst}".rstrip(),
            f"{100 * row['other']['other']:.0f} %",
        )
        lines.append(f"| {row['task']} | {verdict} | {' | '.join(figures)} | {_scorer(row['task'])} |")
    return "\n".join(lines)


def _scorer(task: str) -> str:
    """Who decides what is right, and why not the generator itself."""
    from neuromas.tasks import gym

    task, _, options = task.partition(" ")
    name = task.removeprefix(gym.PREFIX)
    if name == task:
        return "last number or word" if "read=last" in options else "whole text"
    if name in gym.EXACT:
        return f"whole text; its own {gym.EXACT[name]}"
    if name in gym.CLOSE:
        tolerance, why = gym.CLOSE[name]
        return f"number within {tolerance:g} of it; its own {why}"
    form = ", after a check of the form" if name in gym.FORMULAS or name in gym.ALPHABET else ""
    many = gym.MANY_ANSWERS.get(name)
    return f"its own, full credit only{form}" + (f"; {many}" if many else "")


def _code() -> str:
    """What the sandboxes did of reference solutions, cheats and attacks, and the names of what was tried."""
    data = _load("code.json")
    head = ["sandbox", "start, ms", "reference solutions that pass", "one alone, ms", "judged a second"]
    head += ["cheats refused", "attacks refused"]
    lines = [f"On {data['machine']}, {data['at once']} programs at once.", ""]
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, found in data["sandboxes"].items():
        sets = found["references"]
        passed = ", ".join(f"{key} {one['pass']} of {one['problems']}" for key, one in sets.items())
        alone = ", ".join(f"{one['median milliseconds alone']:.0f}" for one in sets.values())
        rate = ", ".join(f"{one['judged a second']:.1f}" for one in sets.values())
        tried = [f"{found[kind]['refused']} of {found[kind]['tried']}" for kind in ("cheats", "attacks")]
        start = f"{found['milliseconds of a start']:.0f}"
        lines.append(f"| {' | '.join([name, start, passed, alone, rate, *tried])} |")
    first = next(iter(data["sandboxes"].values()))
    for kind in ("cheats", "attacks"):
        lines += ["", f"{kind.title()}: {'; '.join(first[kind]['words'])}."]
    return "\n".join(lines)


def _methods() -> str:
    """Every built-in method, from its class."""
    from inspect import getdoc, signature

    from neuromas.core.parts import METHODS
    from neuromas.core.registry import arguments

    lines = [
        "| method | what it does | calls a question | options | source | differs |",
        "|---|---|---|---|---|---|",
    ]
    for name in METHODS.builtin:
        part = METHODS.get(name)
        does = " ".join((getdoc(part) or "").split("\n\n")[0].split()).replace("``", "`")
        given = signature(part).parameters
        options = ", ".join(f"`{one} = {json.dumps(given[one].default)}`" for one in arguments(part))
        cells = (f"`{name}`", does, part.costs, options, part.source, part.differs)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _methods_speed() -> str:
    """Time of debates and mixtures over that of as many calls of a network."""
    lines = ["| model | method | network | calls | time, over the network's | tokens, over the network's |"]
    lines.append("|---|---|---|---|---|---|")
    for model, rows in _load("methods.json").items():
        for row in rows:
            tokens = row["tokens"][0] / row["tokens"][1]
            cells = (
                model,
                row["method"],
                row["network"],
                row["calls"],
                f"{row['ratio']:.2f}",
                f"{tokens:.2f}",
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _local_steps() -> str:
    """What the frozen model does of the local steps, with no and with four worked examples."""
    lines = ["| question | no example | 4 examples | best constant |", "|---|---|---|---|"]
    for row in _load("local_steps.json")["steps"]:
        shares = (row["with_0"], row["with_4"], row["constant"]["accuracy"])
        options = " ".join(f"{key}={value}" for key, value in row["options"].items())
        lines.append(
            f"| `{row['task']} {options}` | {' | '.join(f'{100 * share:.0f} %' for share in shares)} |"
        )
    return "\n".join(lines)


def _paper_constants() -> str:
    """What the first option and the best constant earn, on files and on counts by hand."""
    lines = ["| questions | labels | always the first option | best constant |", "|---|---|---|---|"]
    for row in _load("paper.json")["constants"]:
        labels = ", ".join(f"{label} {count}" for label, count in row["labels"].items())
        both = [row[key] for key in ("first", "best")]
        earned = " | ".join(f"{one['answer']}: {100 * one['accuracy']:.1f} %" for one in both)
        lines.append(f"| {row['questions']} | {labels} | {earned} |")
    return "\n".join(
        [
            *lines,
            "",
            "Made by `python benchmarks/paper.py constants FOLDER`. The files here hold a part of Navigate's "
            "and MMLU's questions; the last rows are of the whole public files, counted by hand.",
        ]
    )


def _paper_cost() -> str:
    """Hours by estimate: the arms on ARC, those of Navigate alone, and all."""
    found = _load("paper.json")["cost"]
    rates = list(found["hours"])
    heads = " | ".join(f"GPU hours at {rate} TFLOP/s" for rate in rates)
    lines = [f"| task | arm | nodes | trainable | calls of training | {heads} |"]
    lines.append("|---" * (5 + len(rates)) + "|")
    for row in found["arms"]:
        if row["training"] and (row["task"] == "arc" or row["arm"].startswith("scratch")):
            nodes, trainable = (" → ".join(f"{one:,}" for one in row[key]) for key in ("nodes", "parameters"))
            hours = " | ".join(f"{row['hours'][rate]:.1f}" for rate in rates)
            lines.append(
                f"| {row['task']} | {row['arm']} | {nodes} | {trainable} | {row['training']:,} | {hours} |"
            )
    total = " | ".join(f"{found['hours'][rate]:.0f}" for rate in rates)
    tasks = len({row["task"] for row in found["arms"]})
    lines.append(f"| all {tasks} | all | | | | {total} |")
    return "\n".join([*lines, "", "Made by `python benchmarks/paper.py cost FOLDER`."])


def _paper_rehearsal() -> str:
    """How many cells of the recipe ran on tiny models, and what the largest process took."""
    found = _load("paper.json")["rehearse"]
    ran, size = f"{found['finished']} of {found['cells']}", f"{found['largest_process_gb']:.1f} GB"
    return (
        f"{ran} pairs of arm and task ran on {found['machine']}, the largest process took {size} "
        f"(`python benchmarks/paper.py rehearse FOLDER`). In {found['rewarded']} of {found['updates']} "
        f"updates an episode earned something, as models are random; in {found['moved']} every adapter had a "
        "gradient, which the entropy bonus of the rehearsal sees to."
    )


def _seven() -> str:
    """Seven grown nodes trained on: every variant and seed."""
    lines = [
        "| settings | seed | before | validation at 0, 20, 25 steps | handed on | after | gain |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in _load("seven.json")["runs"]:
        validated = [(0, row["first"]), *row["validation"]]
        trail = ", ".join(f"{100 * accuracy:.0f} %" for _, accuracy in validated)
        lines.append(
            f"| {row['variant']} | {row['seed']} | {100 * row['before']:.1f} % | {trail} | "
            f"step {row['best']} | {100 * row['after']:.1f} % | {100 * row['gain']:+.1f} |"
        )
    return "\n".join(lines)


def _serving() -> str:
    """Requests a second of a served network by clients, joined and one by one; answers that were others."""
    data = _load("serving.json")
    found = data["summary"]
    lines = [
        "| clients | requests a CPU second, joined | one by one | ratio | by round | ratio by the clock |",
        "|---|---|---|---|---|---|",
    ]
    for clients in ("1", "8", "32"):
        cell, clock = found[clients]["cpu"], found[clients]["seconds"]
        rates = " | ".join(f"{cell[way]:.2f}" for way in ("joined", "single"))
        rounds = ", ".join(f"{ratio:.2f}" for ratio in cell["ratios"])
        lines.append(f"| {clients} | {rates} | {cell['ratio']:.2f} | {rounds} | {clock['ratio']:.2f} |")
    others = {way: "{} of {}".format(*found[f"other_{way}"]) for way in ("greedy", "drawn")}
    return "\n".join(
        [
            *lines,
            "",
            f"Network {data['network']} over {data['model']}, messages and answers of up to "
            f"{data['tokens']['answer']} tokens, {data['machine']}. Answers that came out otherwise played "
            f"together than alone: {others['greedy']} greedy ones, {others['drawn']} drawn at temperature "
            f"0.7 with a seed. CPU time of a batch of "
            f"{data['telling']['requests']} messages whose tokens are told, over the same batch untold: "
            f"{data['telling']['ratio']:.3f}.",
        ]
    )


def _harness() -> str:
    """What lm-evaluation-harness found of a served network, and the run's own evaluation."""
    data = _load("harness.json")
    return (
        f"lm-evaluation-harness {data['harness']} found an exact match of "
        f"{data['harness_exact_match']:.3f} on the first {data['items']} test questions of a network "
        f"{data['network']} over {data['model']}; the run's own evaluation of the same questions, an "
        f"accuracy of {data['own_accuracy']:.3f}."
    )


def _speed() -> str:
    """Ratios within one run on one machine."""
    data = _load("cpu.json")
    lines = [
        "Ratios of two processes run in turn on the same two cores (bf16).",
        "",
        "| what | threads | ours | theirs | ratio | ratio of CPU time | bar |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, entry in data["results"].items():
        bar = ("≤ " if name == "memory" else "≥ ") + str(entry["bar"])
        if name == "memory":
            ours, theirs = (f"{entry[side]['peak_rss_gb']:.2f} GB" for side in ("seven_nodes", "one_node"))
        elif name == "step":
            ours, theirs = (f"{entry[side]['seconds_per_step']:.1f} s" for side in ("ours", "peer"))
        else:
            ours, theirs = (f"{entry[side]['tokens_per_second']:.0f}" for side in ("ours", "peer"))
        cpu = f"{entry['ratio_of_cpu_time']:.2f}" if "ratio_of_cpu_time" in entry else ""
        threads = entry["one_node" if name == "memory" else "ours"]["sizes"]["threads"]
        found = f"{entry['ratio']:.2f} | {cpu} | {bar}"
        lines.append(f"| {WORDS[name]} | {threads} | {ours} | {theirs} | {found} |")
    repaired = [
        f"{name} {entry['ratio_improved']:.2f}"
        for name, entry in data["results"].items()
        if "ratio_improved" in entry
    ]
    lines += [
        "",
        "Peers run as they come. `generate` loses much of its time to one strided product (see "
        "[the peers' page](../benchmarks/peers/README.md)); with that repaired "
        f"(where it was timed) the ratios are {', '.join(repaired)}.",
        "",
        str(data.get("note", "")),
    ]
    for name, entry in data["results"].items():
        if "peer_one_thread" in entry:  # a peer may be at its best with fewer threads than ours
            alone, both = (entry[side]["tokens_per_second"] for side in ("peer_one_thread", "peer"))
            lines += [
                "",
                f"The {name} peer makes {alone:.1f} tokens/s with one thread and {both:.1f} with "
                f"{entry['peer']['sizes']['threads']}; against its one thread the ratio is "
                f"{entry['ours']['tokens_per_second'] / alone:.1f}.",
            ]
    late = [n for n, e in data["results"].items() if (e["ratio"] > e["bar"]) == (n == "memory")]
    if late:
        lines += ["", f"Not reached yet: {', '.join(late)}."]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
