"""Only regular files are read, only up to a size, and every other name is one OSError."""

from __future__ import annotations

import os

import pytest

from neuromas.core.files import open_regular, read_bytes, read_text


def reason(path, **more) -> str:
    with pytest.raises(OSError) as caught:  # noqa: PT011  (its text is what is tested)
        read_bytes(path, **more)
    assert caught.value.strerror
    return caught.value.strerror


def test_a_regular_file_is_read_whole_also_through_a_link(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"\xc3\xa4\n" * 5)
    (tmp_path / "link").symlink_to(file)
    assert read_bytes(tmp_path / "link", most=15) == b"\xc3\xa4\n" * 5
    assert read_text(str(file)) == "ä\n" * 5
    with open_regular(file, None) as stream:
        assert stream.readline() == b"\xc3\xa4\n"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert reason(tmp_path / "pipe") == "is not a regular file"
    assert reason("/dev/zero") == "is not a regular file"
    assert reason(tmp_path) == "Is a directory"
    assert "No such file" in reason(tmp_path / "none")
    assert "symbolic links" in reason(tmp_path / "loop")
    assert reason("a\0b") == reason("\ud800") == "no file can have this name"
    assert "too long" in reason("a" * 5000)


def test_size_is_bounded_also_where_the_file_does_not_tell_it(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 2_000_001)
    assert reason(tmp_path / "large", most=2_000_000) == "is larger than 2 MB"
    assert "larger" in reason("/proc/self/maps", most=100)
    with (tmp_path / "sparse").open("wb") as stream:
        stream.truncate(10**12)
    assert "larger" in reason(tmp_path / "sparse")


def test_no_handle_stays_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    reason(tmp_path)
    reason("/dev/zero")
    assert len(os.listdir("/proc/self/fd")) == before
