"""Exported networks on a hub of models: pushed by their list of files, and pulled by it again.

All talking is huggingface_hub's. A token is asked of it and given back to it, never shown. What is pulled is
a stranger's network: it is loaded as any other is (docs/security.md).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from neuromas.core.errors import ConfigError, RunError, one_line, shown
from neuromas.models.bundle import check_file, read_manifest
from neuromas.models.embedded import cache_root
from neuromas.storage import MANIFEST, read_json
from neuromas.system.exporting import CARD
from neuromas.system.merged import FORMAT, MERGED

SCHEME = "hub:"
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_PULL = re.compile(r"hub:([^@]*)(?:@([\w./-]{1,100}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+){0,4}")
_MOST_FILES = 2000


def check_repo(name: str) -> str:
    """The name of a repository. Raises ConfigError."""
    if not _REPO.fullmatch(name) or ".." in name or "--" in name or name.endswith((".git", ".", "-")):
        raise ConfigError(f"{shown(name)} is no name of a repository on the hub; write it as USER/NAME")
    return name


def token() -> str:
    """This user's token, from HF_TOKEN or ``hf auth login``. Raises RunError where there is none."""
    from huggingface_hub import get_token

    found = get_token()
    if not found:
        raise RunError(
            "no token for the hub: run 'hf auth login', or set HF_TOKEN; nothing was written or sent"
        )
    return str(found)


def exported_files(folder: Path) -> dict[str, int]:
    """The files of an exported folder that are uploaded, with their sizes in bytes; nothing else in it is.

    Each is found with the hash it had when it was exported. Raises RunError, also for what was not exported:
    a run or a checkpoint holds what is nobody else's.
    """
    if (folder / MERGED).is_file():
        last, about = MERGED, read_json(folder / MERGED)
        if about.get("format") != FORMAT or not isinstance(about.get("files"), dict):
            raise RunError(f"{folder / MERGED} is damaged: no list of files of a format this version reads")
    elif (folder / MANIFEST).is_file() and "state" not in read_json(folder / MANIFEST):
        last, about = MANIFEST, read_manifest(folder)
    else:
        raise RunError(f"{folder} was not exported: neuromas export RUN --out DIR makes a folder to push")
    beside = about.get("beside", {})
    files = about["files"] | (beside if isinstance(beside, dict) else {})
    if CARD not in files:
        raise RunError(f"{folder} was not exported: it has no {CARD}")
    for name, digest in files.items():
        check_file(folder, name, digest)
    return {name: (folder / name).stat().st_size for name in (*files, last)}


def push(folder: Path, repo: str, public: bool) -> str:
    """Upload an exported folder as one commit; returns where it is. Made anew, a repository is private.

    Raises RunError where it cannot be had, or would be shown to all without ``public``. What was uploaded of
    an interrupted push is not sent again.
    """
    files = exported_files(folder)
    secret = token()
    with _one_line(f"{repo} was not pushed", secret):
        api = _api(secret)
        api.create_repo(repo, private=not public, exist_ok=True)
        seen = api.model_info(repo)
        if not seen.private and not public:
            raise RunError(
                f"{repo} is there and everybody reads it; nothing was sent, say --public if you mean it"
            )
        done = api.upload_folder(
            repo_id=repo, folder_path=folder, allow_patterns=list(files), commit_message="neuromas export"
        )
        return str(done.commit_url)


def pulled(path: str | Path) -> Path:
    """The path itself; of ``hub:USER/NAME``, with or without ``@REVISION``, the folder it was pulled into.

    Only files that the network's manifest names are pulled. A whole commit's name (40 digits) that was pulled
    before needs no connection. Raises ConfigError, RunError.
    """
    text = str(path)
    if not text.startswith(SCHEME):
        return Path(path)
    found = _PULL.fullmatch(text)
    if found is None:
        raise ConfigError(f"{shown(text)} is not hub:USER/NAME or hub:USER/NAME@REVISION")
    repo, revision = check_repo(found[1]), found[2]
    place = cache_root() / "hub" / repo.replace("/", "--")
    if revision and _COMMIT.fullmatch(revision) and (place / revision / MANIFEST).is_file():
        return place / revision
    from huggingface_hub import get_token

    with _one_line(f"{repo} cannot be pulled", get_token()):
        api = _api(None)
        commit = str(api.model_info(repo, revision=revision).sha)
        if not _COMMIT.fullmatch(commit):
            raise RunError(f"{repo} cannot be pulled: the hub names {shown(commit)} as its commit")
        if (place / commit / MANIFEST).is_file():
            return place / commit
        # the manifest alone first, beside its place: a folder with one in it is whole
        where: dict[str, Any] = {"repo_id": repo, "revision": commit, "local_dir": place / commit}
        about = read_json(
            Path(api.hf_hub_download(**{**where, "local_dir": place / "lists" / commit}, filename=MANIFEST))
        )
        api.snapshot_download(**where, allow_patterns=_named(about, repo))
        api.snapshot_download(**where, allow_patterns=[MANIFEST])
    return place / commit


def _named(about: Mapping[str, Any], repo: str) -> list[str]:
    """The files that a stranger's manifest names. Raises RunError for what no exported network names."""
    files = about.get("files")
    if not isinstance(files, dict) or not 0 < len(files) <= _MOST_FILES:
        raise RunError(f"{repo} cannot be pulled: its {MANIFEST} has no list of files")
    for name in files:
        if not _NAME.fullmatch(name) or ".." in PurePosixPath(name).parts or name.startswith("."):
            raise RunError(f"{repo} cannot be pulled: its {MANIFEST} names {shown(name)}")
    return list(files)


def _api(secret: str | None) -> Any:
    """The hub's client, silent where nobody looks."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=secret)


@contextmanager
def _one_line(what: str, secret: str | None) -> Iterator[None]:
    """Whatever the hub's client raises, of which there are many kinds, is one line without the token."""
    try:
        yield
    except RunError:
        raise
    except Exception as error:
        said, cause = one_line(error), error.__cause__
        if cause is not None:  # of a file that could not be sent the client says no more than that
            said += f" ({type(cause).__name__}: {one_line(cause)})"
        if secret:
            said = said.replace(secret, "***")
        raise RunError(f"{what} ({type(error).__name__}): {said[:300]}") from None
