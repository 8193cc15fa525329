"""A directory of exports as TensorFlow Serving watches it: one directory for each version, whose name is a whole number.

    export/policy/1764300000/saved_model.pb, variables/, assets.extra/polyrl.json

A version is the second in which it was written, so that the newest export is the one that is served. It is written under
another name first and renamed when complete: a server that watches the directory never sees half of one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polyrl.paths import make_directory

RECORD = Path("assets.extra") / "polyrl.json"
"""What polyrl notes of a version, where a SavedModel has room for such files."""


ABANDONED_SECONDS = 3_600.0
"""No export takes so long."""


def found_in(directory: Path) -> list[Path]:
    """The versions in a directory, the oldest first; none if it does not exist."""
    paths = directory.iterdir() if directory.is_dir() else ()
    return sorted((path for path in paths if path.name.isdecimal() and path.is_dir()), key=lambda path: int(path.name))


def newest(directory: Path) -> Path | None:
    """The version that TensorFlow Serving would serve; None if there is none."""
    found = found_in(directory)
    return found[-1] if found else None


def record_of(version: Path) -> dict[str, Any]:
    """What was noted of a version; empty if it was not written by polyrl."""
    try:
        record = json.loads((version / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def note(version: Path, record: Mapping[str, Any]) -> None:
    """Notes this of a version, in place of what was noted before."""
    file = version / RECORD
    make_directory(file.parent)
    staging = file.with_suffix(".tmp")
    staging.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(staging, file)


def write(directory: Path, fill: Callable[[Path], None], record: Mapping[str, Any]) -> Path:
    """Adds a version that is newer than all others, and returns its directory.

    Args:
        directory: of the versions; it is made.
        fill: writes the files into the directory it is given; if it raises, nothing is left.
        record: is noted of the version.
    """
    make_directory(directory)
    _clear(directory)
    staging = directory / f"temp-{os.getpid()}-{time.time_ns()}"
    staging.mkdir()
    try:
        fill(staging)
        note(staging, record)
        while True:
            before = newest(directory)
            final = directory / str(max(int(time.time()), 0 if before is None else int(before.name) + 1))
            try:
                staging.rename(final)
                return final
            except OSError:
                if not final.exists():  # Else another process was first.
                    raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _clear(directory: Path) -> None:
    """Removes what processes that were killed have left, once it is an hour old: others may be at work on other machines."""
    for left in directory.glob("temp-*"):
        with contextlib.suppress(OSError):  # Another process was first.
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(left)


def collect(directory: Path, keep: int | None) -> list[Path]:
    """Removes all versions but the newest `keep` (None: none), and returns those that it has removed."""
    old = [] if keep is None else found_in(directory)[:-keep]
    for path in old:
        shutil.rmtree(path)
    return old
