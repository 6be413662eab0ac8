"""Parts by name: built-in, registered, offered by a package, and at an address of the user's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from neuromas.core.errors import ConfigError
from neuromas.core.registry import Registry, is_address


def shapes() -> Registry:
    return Registry("shape", "neuromas.test-shapes", {"fraction": "fractions:Fraction"})


def test_a_built_in_part_is_loaded_when_it_is_asked_for():
    code = (
        "import sys; from neuromas.core.registry import Registry; r = Registry('x', 'neuromas.none', "
        "{'f': 'fractions:Fraction'}); r.check('f'); r.names(); a = 'fractions' in sys.modules; r.get('f'); "
        "print(a, 'fractions' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_a_part_of_ones_own_has_a_name():
    registry = shapes()

    @registry.register("mine")
    class Mine:
        pass

    assert registry.get("mine") is Mine
    assert registry.names() == ("fraction", "mine")
    assert not registry.is_builtin("mine")
    with pytest.raises(ConfigError, match="'fraction' of a shape is taken"):
        registry.register("fraction")


def test_an_address_in_the_working_directory_is_found(tmp_path, monkeypatch):
    (tmp_path / "my_parts_xyz.py").write_text("class Part:\n    inner = 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert shapes().get("my_parts_xyz:Part").inner == 3
    assert shapes().get("my_parts_xyz:Part.inner") == 3


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fractoin", r"unknown shape 'fractoin'; did you mean 'fraction'\? .*or module:Name"),
        ("no_such_module_xyz:A", "cannot be imported: No module named 'no_such_module_xyz'"),
        ("fractions:Missing", "cannot be imported: .*no attribute 'Missing'"),
        ("a b:c", "unknown shape"),
    ],
)
def test_a_wrong_name_is_one_line(name, says):
    with pytest.raises(ConfigError, match=says) as caught:
        shapes().get(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("source", "says"), [("1 / 0", "division by zero"), ("raise SystemExit(3)", "3")])
def test_a_module_that_breaks_is_one_line(tmp_path, monkeypatch, source, says):
    (tmp_path / "broken_xyz.py").write_text(source + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*[entry for entry in sys.path if entry], str(tmp_path)])
    with pytest.raises(ConfigError, match=f"cannot be imported: {says}"):
        shapes().get("broken_xyz:A")


def test_addresses():
    assert is_address("a.b:C.d")
    assert not any(is_address(text) for text in ("a", "a:", ":b", "a:b:c", "a-b:c", "", "../x:y", 3))


def test_parts_of_installed_packages_are_found(tmp_path, monkeypatch):
    info = tmp_path / "other_pkg-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-pkg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[neuromas.test-shapes]\nsquare = other_pkg_xyz:Square\n")
    (tmp_path / "other_pkg_xyz.py").write_text("class Square: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = shapes()
    assert registry.names() == ("fraction", "square")
    assert registry.check("square") == "square"
    assert registry.get("square").__name__ == "Square"


def test_a_built_in_part_opens_no_door_to_the_working_directory(tmp_path):
    """Libraries try imports that fail (``winreg``): a file of that name in the folder must not be run."""
    code = "import sys; before = [*sys.path]\n"
    code += "from neuromas.core.parts import PAGES\nPAGES.get('runs'); print(before == sys.path)"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
