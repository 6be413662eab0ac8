"""The documents as a site: every page has its place and reader, every public name its words.

``make check`` builds the site itself, strictly; here is what a build does not see.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import neuromas
from neuromas.cli.parser import build_parser
from neuromas.core.parts import REGISTRIES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.append(str(ROOT))

from website import foreign, public, reference, registries, repository  # noqa: E402
from website.doctests import fenced  # noqa: E402

PAGES = sorted(DOCS.rglob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml without running what its tags name."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)


def nav() -> list[str]:
    """Every page that the navigation names, in its order."""

    def walk(entry) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [page for one in (entry.values() if isinstance(entry, dict) else entry) for page in walk(one)]

    return walk(yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), _Loader)["nav"])


def test_no_page_is_an_orphan():
    """Each is in the navigation once; what is named there exists."""
    pages = nav()
    assert len(pages) == len(set(pages))
    assert set(pages) == {str(page.relative_to(DOCS)) for page in PAGES} | set(repository.PAGES)
    assert all((ROOT / path).is_file() for path in repository.PAGES.values())


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_page_has_one_title_and_says_for_whom_it_is(page):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    title, first, *_ = text.split("\n\n")
    assert title.startswith("# ")
    assert first.startswith("For "), f"{page.name} begins: {first[:60]}"


def test_the_site_is_built_strictly_and_aloud():
    """With --quiet no warning is logged, and so none is counted by --strict."""
    built = [
        line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if "$(MKDOCS) build" in line
    ]
    assert len(built) == 2
    assert all(re.search(r"build --strict *$", line.partition("#")[0]) for line in built)


def test_titles_are_not_given_twice():
    titles = [page.read_text("utf-8").splitlines()[0] for page in PAGES]
    assert len(titles) == len(set(titles))


def test_the_reference_lists_all_that_is_offered_and_nothing_else():
    listed = [name for names in public.DOOR.values() for name in names]
    assert sorted(listed) == sorted(neuromas.__all__)
    text = reference.python()
    assert re.findall(r"^::: neuromas\.(\w+)$", text, re.MULTILINE) == listed


def _public() -> dict[str, object]:
    """Every public name with what it stands for."""
    import neuromas.testing

    found = {f"neuromas.{name}": getattr(neuromas, name) for name in neuromas.__all__}
    found |= {
        f"neuromas.testing.{name}": getattr(neuromas.testing, name) for name in neuromas.testing.__all__
    }
    for name in public.contract_names():
        module, _, attribute = name.rpartition(".")
        found[name] = getattr(importlib.import_module(module), attribute)
    return found


def test_every_public_name_has_words_and_a_place_in_the_reference():
    placed = re.findall(
        r"^::: ([\w.]+)$",
        reference.python() + reference.testing() + reference.contracts(),
        re.MULTILINE,
    )
    assert len(placed) == len(set(placed))
    named = _public()
    assert set(placed) == set(named)
    without = [name for name, one in named.items() if not inspect.getdoc(one)]
    for name, one in named.items():
        if inspect.isclass(one):
            members = {key: getattr(one, key) for key in vars(one) if not key.startswith("_")}
            parts = {
                key: part for key, part in members.items() if callable(part) or isinstance(part, property)
            }
            without += [f"{name}.{key}" for key, part in parts.items() if not inspect.getdoc(part)]
    assert not without


def _imported(code: str) -> set[str]:
    """Full names below the package that a piece of code imports."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "neuromas":
            found |= {f"{node.module}.{one.name}" for one in node.names}
    return found


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.name
)
def test_pages_import_only_what_is_public(page):
    known = set(_public()) | {"neuromas.core.parts.ESTIMATORS"}
    for block in BLOCK.findall(page.read_text("utf-8")):
        assert _imported(block) <= known, f"{page.name}: {_imported(block) - known}"


def _arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All arguments of a command and of its own commands."""
    found = []
    for action in parser._actions:
        within = action.choices.values() if isinstance(action, argparse._SubParsersAction) else None
        found += [one for sub in within for one in _arguments(sub)] if within else [action]
    return found


def test_every_argument_of_every_command_stands_in_the_reference_with_its_meaning():
    sections = dict(
        re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", reference.commands(), re.DOTALL | re.MULTILINE)
    )
    parsers = build_parser().verbs
    assert list(sections) == list(parsers)
    for verb, parser in parsers.items():
        for action in _arguments(parser):
            name = (action.option_strings or [action.metavar or "|".join(action.choices or [action.dest])])[
                -1
            ]
            assert action.help, f"neuromas {verb}: {name} has no help"
            if name != "--help":
                assert str(name).replace("|", "\\|") in sections[verb], f"{verb} {name}"


def test_every_part_stands_in_the_reference():
    text = registries.parts()
    for registry in REGISTRIES:
        assert f"`{registry.group}`" in text or not registry.builtin
        for name in registry.builtin:
            (row,) = re.findall(
                rf"^\| `{re.escape(name)}` \| (.+) \|$", text.partition(registry.group)[2], re.MULTILINE
            )[:1]
            about, *_ = re.split(r"(?<!\\)\|", row)
            assert about.strip(), f"{registry.kind} {name} says nothing"
    assert "`votes = 5`" in text
    assert "`gamma = 0.9`" in text, "options of a base class are options"
    assert "init=False" not in text


def test_every_task_stands_in_the_reference():
    from neuromas.tasks import task_names

    text = reference.tasks()
    assert all(f"## {name}\n" in text for name in task_names(generators=False))
    assert all(f"`{name}`" in text for name in task_names() if name.startswith("gym/"))


def test_links_to_the_repository_lead_to_places_of_the_site():
    text = "[a](../src/neuromas/core/parts.py) [b](../CONTRIBUTING.md#x) `[c](../README.md)` [d](grow.md) [e](https://x)"
    made = repository.relinked(text, "method.md")
    assert made == (
        "[a](source/src/neuromas/core/parts.py.md) [b](contributing.md#x) `[c](../README.md)` [d](grow.md) [e](https://x)"
    )
    assert repository.relinked("[a](docs/tasks.md)", "contributing.md") == "[a](tasks.md)"
    assert repository.relinked("[a](../../CHANGELOG.md)", "reference/python.md") == "[a](../changes.md)"
    assert (
        repository.relinked("[a](../../../etc/passwd) [b](no.md)", "method.md")
        == "[a](../../../etc/passwd) [b](no.md)"
    )
    fence = "```\n[a](../README.md)\n```"
    assert repository.relinked(fence, "method.md") == fence
    shown = repository.sources(["src/neuromas/learning/estimators", "benchmarks/readme.py"])
    assert "source/src/neuromas/learning/estimators/rloo.py.md" in shown
    assert "[rloo.py](estimators/rloo.py.md)" in shown["source/src/neuromas/learning/estimators.md"]


def test_what_a_page_would_fetch_from_elsewhere_is_found(tmp_path):
    here = '<a href="https://fine">x</a><img src="a.png"><link rel="canonical" href="https://fine">'
    (tmp_path / "good.html").write_text(here)
    assert foreign.loads(tmp_path) == []
    for bad in (
        '<script src="https://x/y.js"></script>',
        "<script>1</script><img src='//x/y.png'>",
        "<link rel=stylesheet href=https://x/y.css>",
        '<p style="background: url(https://x/y)">',
        '<style>@import "https://x/y";</style>',
        '<iframe src="HTTPS://x"></iframe>',
    ):
        (tmp_path / "bad.html").write_text(here + bad)
        assert len(foreign.loads(tmp_path)) == 1, bad
    (tmp_path / "bad.html").unlink()
    (tmp_path / "bad.css").write_text("@font-face { src: url(//x/y) }")
    assert foreign.loads(tmp_path) == ["bad.css: //x/y"]


def test_doctests_become_blocks_of_code():
    text = "Does it.\n\n>>> a = 1\n>>> a\n1\n\nMore."
    assert fenced(text) == "Does it.\n\n```pycon\n>>> a = 1\n>>> a\n1\n```\n\nMore."
    assert fenced("a >>> b") == "a >>> b"


def test_the_table_of_extras_is_complete():
    """Each extra of the package has a row of docs/install.md."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    rows = "".join(re.findall(r"^\| (`[^|]+`) \|", (DOCS / "install.md").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == set(extras)
