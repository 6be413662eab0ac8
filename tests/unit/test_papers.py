"""The papers of the project: citation, hooks, workflow, forms, package metadata."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

import neuromas

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: str) -> dict:
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


def test_one_version_and_license_everywhere():
    citation = read("CITATION.cff")
    assert citation["version"] == PROJECT["version"] == neuromas.__version__
    assert citation["license"] == PROJECT["license"]
    assert f"## {PROJECT['version']} " in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_citation_has_what_its_format_asks_for():
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    (title,) = (ROOT / "README.md").read_text("utf-8").splitlines()[:1]
    assert title == f"# {citation['title']}"
    (paper,) = citation["references"]
    assert paper["url"] == "https://arxiv.org/abs/2605.16757"


def test_the_workflow_runs_what_ci_runs_on_every_python_that_is_promised():
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    promised = {name.rpartition(" ")[2] for name in PROJECT["classifiers"] if "Python :: 3." in name}
    assert set(job["strategy"]["matrix"]["python"]) == promised
    assert PROJECT["requires-python"] == f">={min(promised)}"


def test_hooks_run_what_make_check_makes():
    (repo,) = read(".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"] for hook in repo["hooks"]]
    assert entries[-1] == "make check"
    assert all(entry.startswith((".venv/bin/ruff ", "make ")) for entry in entries)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_forms_are_forms(form):
    data = yaml.safe_load(form.read_text("utf-8"))
    if form.stem == "config":
        assert set(data) <= {"blank_issues_enabled", "contact_links"}
        return
    assert data["name"]
    assert data["description"]
    assert all({"type", "attributes"} <= part.keys() for part in data["body"])
    names = [part["id"] for part in data["body"]]
    assert len(names) == len(set(names))
