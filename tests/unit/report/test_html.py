"""The page: what it tells of a run, that nothing in it acts, and that damage costs a line, not the page."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser

import pytest
from html_runs import ABOUT, items, make, summary

from neuromas.cli import main
from neuromas.config import Config, make_config
from neuromas.core.errors import RunError
from neuromas.report.html.facts import as_toml
from neuromas.report.html.headline import accuracy
from neuromas.report.html.kept import read_kept
from neuromas.report.html.render import inlined, page
from neuromas.report.html.story import tell
from neuromas.report.html.traces import chosen, outcome
from neuromas.storage import Run

SECTIONS = ["headline", "curves", "network", "traces", "labels", "health", "cost", "lineage", "facts"]
TAGS = {  # all that the templates and charts write
    *("html", "head", "meta", "title", "style", "body", "a", "header", "div", "p", "span", "h1", "h2", "h3"),
    *("button", "nav", "ul", "ol", "li", "main", "noscript", "section", "dl", "dt", "dd", "strong", "b"),
    *(
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "figure",
        "figcaption",
        "svg",
        "path",
        "circle",
    ),
    *("text", "g", "rect", "details", "summary", "pre", "code", "label", "select", "option", "input"),
    *("output", "script", "footer"),
}
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><!--<script>",
    "]]><svg onload=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "\x1b[2J\x1b]0;owned\x07",
    "a\x00b",
    "\u202eevil\u2066\u200b",
    "\u2028\u2029\x85",
    "\ud800",
    "&lt;b&gt;&#0;",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return make(tmp_path_factory.mktemp("html") / "run")


@pytest.fixture(autouse=True)
def no_charts(request, monkeypatch):
    """Charts are drawn once for the page of a whole run: they have tests of their own, and take a while."""
    if "text" not in request.fixturenames:
        monkeypatch.setattr("neuromas.report.html.charts.drawn", lambda make: [])


@pytest.fixture(scope="module")
def text(run) -> str:
    return page(tell([run.path]))


class Parsed(HTMLParser):
    """Tags with their attributes, and the text of scripts, styles and everything else."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.inside, self.texts = [], [], {"script": [], "style": [], "": []}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        last = self.inside[-1] if self.inside else ""
        self.texts[last if last in self.texts else ""].append(data)

    def every(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def data_of(text):
    found = re.search(r'<script type="application/json" id="trace-data">(.*?)</script>', text, re.S)
    return json.loads(found[1])


def told(paths, **more):
    return page(tell(paths, **more))


# -- what there is


def test_a_run_has_every_section_with_its_figures(text):
    assert re.findall(r'<section id="([a-z]+)"', text) == SECTIONS
    for said in (
        *("40.0 %", "60.0 %", "messages blanked", "20.0 %", "constant answer", "won 2, lost 1, tied 3"),
        *("One seed:", "Small n: 6", "Alarms went off in training: zero", "1 questions failed"),
        *("3.0 tok", "alarm zero: no reward", "new, adapter copied from 1.1", "0123456789ab", "torch 2.13.0"),
        "neuromas train &#39;a file.toml&#39; --run x",
    ):
        assert said in text, said
    assert text.count('<svg xmlns="http://www.w3.org/2000/svg"') == 3, "curves, labels and health"


def test_traces_have_both_sides_with_prompts_and_where_nodes_came_from(text):
    (run,) = data_of(text)["runs"]
    assert run["nodes"] == ["1.1", "1.2", "2.1"]
    assert run["layers"] == [[0, 1], [2]]
    names = [side["name"] for side in run["sides"]]
    assert names == ["test-before", "test-after", "test-after-blank", "test-after-shuffle"]
    before = run["sides"][0]
    assert before["rows"] == [0, None, None]
    assert before["why"] == ["", "new: began as a copy of 1.1", "new: began as a copy of 1.1"]
    outcomes = [item["o"] for item in run["items"]]
    assert outcomes == ["won", "tied wrong", "lost", "tied right", "won", "failed"]
    after = run["items"][0]["s"]["1"]
    assert after["m"] == ["item 0 node 0", "item 0 node 1", "7"]
    assert after["p"] == ["prompt of 0", "prompt of 1", "prompt of 2"]
    episode = run["episodes"][0]
    assert (episode["w"], episode["v"]) == ([0.0, 1.0], [0.5, None, -0.5])


def test_items_are_chosen_evenly_by_outcome(run):
    kinds = {
        f"{kind}-{i}": kind for kind, count in (("won", 50), ("lost", 2), ("failed", 1)) for i in range(count)
    }
    kept = chosen(kinds, 9)
    assert len(kept) == 9
    assert [kinds[key] for key in kept].count("lost") == 2
    assert [kinds[key] for key in kept].count("failed") == 1
    assert kept == [key for key in kinds if key in kept], "in the order asked"
    assert chosen(kinds, 1000) == list(kinds)
    few = told([run.path], items=2)
    assert len(data_of(few)["runs"][0]["items"]) == 2
    assert "2 of 6 questions, evenly by outcome" in few


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0, 1, "won"),
        (1, 0, "lost"),
        (1, 1, "tied right"),
        (0, 0, "tied wrong"),
        (0.5, 0.5, "tied wrong"),
        (None, 1, "right"),
        (1, None, "not asked"),
    ],
)
def test_an_outcome_is_what_became_of_a_question(before, after, said):
    assert outcome({"score": before}, {"score": after}) == said
    assert outcome({"score": before}, {"score": after, "failure": "x"}) == "failed"


def test_seeds_are_grouped_and_arms_compared_with_holm(tmp_path):
    paths = [
        make(tmp_path / arm / f"seed-{seed}", seed, grown=False, train={"lr": lr}).path
        for arm, lr in (("a", 1e-3), ("b", 2e-3))
        for seed in range(3)
    ]
    text = told(paths, items=1)
    assert re.findall(r'<section id="([a-z]+)"', text)[0] == "comparison"
    for said in ("a: before → after", "b: before → after", "a → b", "corrected over all 3 comparisons"):
        assert said in text, said
    (row,) = re.findall(r'<th scope="row" class="word">a → b</th>(.*?)</tr>', text, re.S)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
    assert cells[:2] == ["3", "6"], "seeds and questions"
    assert "–" not in cells, "tested over trainings and networks, with Holm"
    assert "nothing can be said of all trainings" not in text, "three seeds"
    assert "one line with its seeds: 3 seeds, 3 seeds." in text
    assert len(data_of(text)["runs"]) == 6
    assert "nothing can be said" in told([paths[0], paths[3]], items=1)


def test_an_experiment_has_its_figures_tables_and_runs(tmp_path):
    make(tmp_path / "cells" / "task" / "arm" / "seed-0")
    assert "no results yet" in told([tmp_path])
    found = {"experiment": {"name": "mine"}, "items": {}, "points": [], "comparisons": []}
    (tmp_path / "results.json").write_text(json.dumps(found))
    text = told([tmp_path])
    assert "no cell of this experiment is finished" in text
    assert "task/arm/seed-0" in text
    (tmp_path / "results.json").write_text('{"points": 3}')
    assert "is damaged" in told([tmp_path])


def test_the_configuration_on_the_page_trains_the_same_run(tmp_path):
    for config in (Config(), Config(seed=3, stages=[["1", 2], ["2-1", 3]], alarms={"window": 7})):
        plain = config.model_dump(mode="json")
        assert make_config(tomllib.loads(as_toml(plain))) == config


# -- nothing acts


def test_only_our_script_and_style_are_allowed_and_nothing_is_loaded(text):
    parsed = Parsed(text)
    (policy,) = [one["content"] for one in parsed.every("meta") if one.get("http-equiv")]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "connect-src 'none'" in policy
    for kind in ("script", "style"):
        body = re.search(rf"<{kind}>(.*?)</{kind}>", text, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
        assert text.count(f"<{kind}>") == 1, kind
    for tag, attrs in parsed.tags:
        assert not {"src", "style"} & set(attrs), tag
        assert attrs.get("href", "#").startswith("#"), tag
        assert not any(name.startswith("on") for name in attrs), tag


@pytest.mark.parametrize("evil", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_acts(tmp_path, evil):
    name = evil.replace("/", "|").replace("\x00", "0").encode("utf-8", "replace").decode()
    run = make(tmp_path / f"run {name}", say=lambda text: f"{text} {evil}", name=evil)
    config = {**run.read("config.json"), "model": {"backbone": evil}, "seed": evil, evil: evil}
    run.write("config.json", config)
    run.write("run.json", {**ABOUT, "commit": evil, "versions": {evil: evil}, "command": [evil]})
    told_of = {**summary(0.6), "majority": {"answer": evil, "accuracy": 0.5}}
    run.write_evaluation(f"stage-{name}", told_of, items((1, 0), 3, lambda text: text + evil))
    text = told([run.path])
    parsed = Parsed(text)
    assert {tag for tag, _ in parsed.tags} <= TAGS, {tag for tag, _ in parsed.tags} - TAGS
    assert len(parsed.every("script")) == 2
    assert not any(key.startswith("on") for _, attrs in parsed.tags for key in attrs)
    shown = "".join(parsed.texts[""])
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200b\u202e\u2066\ud800-\udfff]", text)
    assert "Repeat it" in shown
    question = data_of(text)["runs"][0]["items"][0]["q"]
    assert question.startswith("What is 0?")
    text.encode("utf-8")


def test_data_in_a_script_ends_no_script_and_is_the_same_data():
    said = {"a": "</script><!-- <script> & ü \n\t"}
    text = inlined(said)
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == said
    assert json.loads(inlined({"a": "\u2028\x00"})) == {"a": "\\u2028\\x00"}, "what hides is written out"


def test_messages_of_a_megabyte_leave_a_page_of_less_than_five(tmp_path):
    run = make(tmp_path / "run")
    rows = items((1, 0) * 4, 3, lambda text: text + "<" * 1_000_000)
    for number, row in enumerate(rows):
        row["id"] = str(number)
    run.write_evaluation("test-after", summary(0.6), rows)
    text = told([run.path])
    assert len(text.encode()) < 5_000_000
    assert "characters)" in data_of(text)["runs"][0]["items"][0]["q"], "it says how long the text was"


# -- damage


def damage(path, kind):
    path.write_bytes(b"\xff\x00{\n" if kind == "garbage" else b'{"a": [1]}\n')


FILES = [
    *("run.json", "status.json", "metrics.jsonl", "validation.jsonl", "growth.jsonl", "events.jsonl"),
    *("episodes.jsonl", "evaluations/test-before.json", "evaluations/test-after.json"),
    *(
        "evaluations/test-before.jsonl",
        "evaluations/test-after.jsonl",
        "evaluations/test-after.prompts.jsonl",
    ),
    "checkpoints/step-000002/network.json",
]


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_costs_a_line_and_not_the_page(tmp_path, file):
    for kind in ("garbage", "other"):
        run = make(tmp_path / kind)
        damage(run.path / file, kind)
        text = told([run.path])
        assert "Repeat it" in text
        if kind == "garbage" and not file.endswith(".prompts.jsonl"):
            assert re.search(r'class="note missing">[^<]*(damaged|cannot be|left out)', text), file


def test_a_run_without_any_of_them_is_still_a_page(tmp_path):
    run = make(tmp_path / "run")
    for file in FILES:
        (run.path / file).unlink()
        assert "Repeat it" in told([run.path], items=0), file


def test_a_run_that_has_only_begun_says_what_is_missing(tmp_path):
    run = Run.create(tmp_path / "run", Config().model_dump(mode="json"), ABOUT)
    text = told([run.path])
    for said in (
        *("no checkpoint yet", "no evaluation on test questions yet", "no step was made yet"),
        *(
            "no questions and no training episodes",
            "nobody is working on it",
            "no items of a test evaluation",
        ),
    ):
        assert said in text, said
    with run.lock():
        assert "A process is working on this run" in told([run.path])


def test_damaged_lines_are_counted(tmp_path):
    run = make(tmp_path / "run")
    with (run.path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": \n[]\n{"step": 4, "rew')
    assert "metrics.jsonl: 2 damaged line(s) left out" in told([run.path]), "the last is still being written"


def test_a_newer_version_is_named(tmp_path):
    run = make(tmp_path / "run")
    assert "written by neuromas" not in told([run.path])
    run.write("run.json", {**ABOUT, "versions": {"neuromas": "9.1.0"}, "new key": [1]})
    assert "written by neuromas 9.1.0, read by" in told([run.path])


def test_numbers_that_are_none_are_dashes(tmp_path):
    run = make(tmp_path / "run")
    for value in ("x", None, True, float("inf"), 7, [1]):
        run.write_evaluation(
            "test-after", {**summary(0.5), "accuracy": value, "interval": value}, items((1, 0))
        )
        assert accuracy(read_kept(run.path, "run").evaluations["test-after"]) is None
        assert "not evaluated" in told([run.path])


# -- the command


def test_the_command_writes_one_file_and_says_where(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make(tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert main(["report", "run"]) == 0
    size = (run.path / "report.html").stat().st_size / 1e6
    assert capsys.readouterr().out == f"wrote run/report.html ({size:.2f} MB); open it in a browser\n"
    after = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.name != "report.html"}
    assert after == {path: when for path, when in before.items() if path != run.path}, (
        "nothing else was touched"
    )
    assert main(["report", "run", "--out", "other.html", "--items", "1"]) == 0
    assert len(data_of((tmp_path / "other.html").read_text())["runs"][0]["items"]) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["report", "none"], "does not exist"),
        (["report", "."], "holds no run and no experiment"),
        (["report", "run", "--out", "."], "is a folder"),
        (["report", "run", "--out", "none/x.html"], "does not exist"),
        (["report", "run", "--out", "x.html", "--csv"], "--out is of the HTML page"),
        (["report", "run", "--watch", "--page", "run"], "--watch is of the HTML page"),
        (["report", "run", "--watch", "--out", "x"], "--watch writes no file"),
        (["report", "run", "--port", "1"], "--port is of --watch"),
        (["report", "--items", "3"], "--items needs a run"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    if words[1] == "run":
        (tmp_path / "run" / "config.json").write_text("{}")
    assert main(words) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not list(tmp_path.rglob("*.html"))


def test_the_page_is_made_without_torch_and_where_the_output_is_closed(run, tmp_path):
    """As ``python -m neuromas.cli report`` makes it; what was loaded is noted when all is over."""
    code = (
        "import atexit, runpy, sys\n"
        "note, sys.argv = sys.argv[1], ['neuromas', *sys.argv[2:]]\n"
        "atexit.register(lambda: open(note, 'w').write(' '.join(sys.modules)))\n"
        "runpy.run_module('neuromas.cli', run_name='__main__')"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "loaded"), "report", str(run.path)]
    (run.path / "report.html").unlink(missing_ok=True)
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *words], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, ""), "a closed output is no traceback"
    assert (run.path / "report.html").is_file()
    names = {name.partition(".")[0] for name in (tmp_path / "loaded").read_text().split()}
    assert "altair" in names, "with its charts"
    assert not names & {"torch", "transformers", "datasets", "reasoning_gym", "starlette", "uvicorn"}


def test_nothing_at_all_is_refused(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        tell([tmp_path])
