"""What the tests of the command line share."""

from __future__ import annotations

import pytest

from neuromas.cli import main


@pytest.fixture
def cli(capsys):
    """``cli("train", ...)``: exit status, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main([str(word) for word in arguments])
        except SystemExit as left:  # argparse's way to end
            status = left.code
        return status, *capsys.readouterr()

    return call
