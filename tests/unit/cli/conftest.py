"""What the tests of the command line's frame share."""

from __future__ import annotations

import pytest

from neuromas.cli import main


@pytest.fixture
def cli_line(capsys):
    """``cli_line("train", ...)``: the one line of an expected error; status 2, nothing on stdout."""

    def call(*words: str) -> str:
        capsys.readouterr()
        try:
            status = main(list(words))
        except SystemExit as left:
            status = left.code
        out, err = capsys.readouterr()
        assert (status, out) == (2, ""), (status, out, err)
        assert len(err.splitlines()) == 1, err
        return err

    return call
