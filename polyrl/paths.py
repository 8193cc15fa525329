"""Paths as users give them, resolved once where they enter."""

from __future__ import annotations

import atexit
import contextlib
import difflib
import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PATTERN = frozenset("*?[]\\") - {os.sep}
"""Characters by which TensorFlow takes the path of a checkpoint for a pattern when it reads it."""


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

INSTALLED = {"site-packages", "dist-packages"}
"""Directories that hold what is installed."""


def resolved(name: str, path: Any) -> Path:
    """An absolute path, with `~` for the user's home directory; no other character has a meaning, `[`, `*` and `?` included.

    It is what the path means now: a later `os.chdir` does not change it. Links are not followed, so that messages show what
    the user wrote.

    Args:
        name: of the argument, for messages.
        path: a str or an `os.PathLike` of one.

    Raises:
        TypeError: for something else.
        ValueError: if it is empty, holds a null character, is a URL, or has a name that is too long.
    """
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
    if not isinstance(text, str):
        raise TypeError(f"{name}={path!r} must be a path: a str, or a pathlib.Path.")
    if not text or "\0" in text:
        raise ValueError(f"{name}={text!r} is not a path; use '.' for the present directory.")
    if _URL.match(text):
        raise ValueError(f"{name}={text!r} is a URL; polyrl reads and writes local files only.")
    path = Path(os.path.abspath(os.path.expanduser(text)))
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError(f"{name}={text!r} has a name that is too long for the file system.") from error
    return path


def resolved_directory(name: str, path: Any) -> Path:
    """The same for a directory that may not exist yet.

    Raises:
        NotADirectoryError: if it, or one of those above it, is a file.
    """
    directory = resolved(name, path)
    for place in (directory, *directory.parents):
        if place.is_dir():
            break
        if place.exists():
            raise NotADirectoryError(f"{name}={str(directory)!r} cannot be a directory: {place} is a file; use another path.")
    return directory


def make_directory(directory: Path) -> None:
    """Makes a directory, and those above it, where they are not there; a NotADirectoryError says what is in the way."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        files = [str(path) for path in (directory, *directory.parents) if path.is_file()]
        text = f"{directory} cannot be a directory: {files[0] if files else error} is a file. Move it aside."
        raise NotADirectoryError(text) from error


def nearest(path: Path, others: Iterable[Path]) -> str:
    """` Did you mean ...?` with the one of some paths whose last name is the most similar, or an empty string."""
    by_name = {other.name: other for other in others}
    near = difflib.get_close_matches(path.name, by_name, n=1, cutoff=0.6)
    return f" Did you mean {str(by_name[near[0]])!r}?" if near else ""


PARAMS = "params.json"
"""Of a run's directory: its hyper-parameters, its RunConfig, the versions of libraries, and `HAD_CHECKPOINTS`."""

HAD_CHECKPOINTS = "had_checkpoints"
"""In `params.json` whether there have been checkpoints."""

SHOWN = 10
"""So many names are listed at the most."""


def runs_in(directory: Path) -> list[str]:
    """The names of the directories in this one that have checkpoints."""
    return sorted({path.parent.name for kind in ("checkpoints", "best") for path in directory.glob(f"*/{kind}")})


def without_checkpoints(model_dir: Path) -> str:
    """What to do about a directory without checkpoints, which may hold runs, as those of several seeds."""
    runs = runs_in(model_dir)
    shown = [*runs[:SHOWN], "..."] if len(runs) > SHOWN else runs
    if runs:
        return f"Its runs are {', '.join(shown)}: name one of these directories."
    gone = "Those that a run has written there are gone: put one back from a copy."
    return gone if noted(model_dir).get(HAD_CHECKPOINTS) else "Train first."


def noted(model_dir: Path) -> dict[str, Any]:
    """What `params.json` says of a run; empty if there is none, or if it is damaged, which is told by who needs it."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads((model_dir / PARAMS).read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


def trained_with(model_dir: Path) -> dict[str, Any]:
    """The hyper-parameters of a run, as `noted` knows them."""
    params = noted(model_dir).get("params", {})
    return params if isinstance(params, dict) else {}


def literal(directory: Path) -> Path:
    """The same directory by a path that TensorFlow reads as it is: a link, where the path's own characters mean a pattern.

    The links live as long as the process, because TensorFlow may read a part of a checkpoint later.
    """
    if not PATTERN & set(str(directory)):
        return directory
    folder = tempfile.mkdtemp(prefix="polyrl-link-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    link = Path(folder) / "link"
    link.symlink_to(directory, target_is_directory=True)
    return link
