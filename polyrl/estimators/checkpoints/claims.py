"""One training run at a time in a `model_dir`, also among processes."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None  # type: ignore[assignment]

from polyrl.errors import ModelDirInUseError

TRIES = 1_000
"""How often a directory that was there, and then was not, is looked for again."""

_held: set[int] = set()
"""Descriptors with a lock. A process that is forked would keep them, and with them the lock of a run that has died."""


def _close_held() -> None:
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_held)


@contextlib.contextmanager
def claimed(model_dir: Path) -> Iterator[Callable[[], bool]]:
    """Inside of the `with` block no other run trains in this directory: each would prune and resume the other's checkpoints.

    A run that has died holds no claim. Where the system or the file system has no locks, nothing is checked. The directory is
    made if it is missing, with those above it, and all these are removed again if nothing has been written in them.

    It gives a function that says whether the directory is still the one that was claimed: it may have been moved or removed.

    Raises:
        ModelDirInUseError: if another run is in it.
        OSError: if it cannot be made, or nothing may be written in it; names it.
    """
    missing = [directory for directory in (model_dir, *model_dir.parents) if not directory.exists()]
    if fcntl is None:
        model_dir.mkdir(parents=True, exist_ok=True)
        yield lambda: True
        return
    directory = _locked(model_dir)
    _held.add(directory)
    try:
        yield lambda: _is(directory, model_dir)
    finally:
        _held.discard(directory)
        with contextlib.suppress(OSError):
            for made in missing:  # Until one is not empty.
                made.rmdir()
        with contextlib.suppress(OSError):
            fcntl.flock(directory, fcntl.LOCK_UN)  # Also of what a process that was forked in between has kept open.
        os.close(directory)


def _locked(model_dir: Path) -> int:
    """An open descriptor of the directory, with a lock on it.

    Another run that ends meanwhile removes a directory which it has made: then there is a new one to be locked.
    """
    tries = 0
    while True:
        tries += 1
        try:
            model_dir.mkdir(parents=True, exist_ok=True)
            directory = os.open(model_dir, os.O_RDONLY)
            if not os.access(model_dir, os.W_OK):
                os.close(directory)
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(model_dir))
        except (FileNotFoundError, FileExistsError) as error:
            if tries < TRIES and not _is_in_the_way(model_dir):
                continue
            raise _named(error, model_dir) from error
        except OSError as error:
            raise _named(error, model_dir) from error
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(directory)
            raise ModelDirInUseError(
                f"model_dir={str(model_dir)!r} is in use: another run trains in it now, in this process or in another one. "
                "Wait for its end, or use another model_dir."
            ) from error
        except OSError:  # There are no locks here.
            return directory
        if _is(directory, model_dir):
            return directory
        os.close(directory)


def _is_in_the_way(model_dir: Path) -> bool:
    """Whether there is something by this name that is no directory: a file, or a link to nothing."""
    return os.path.lexists(model_dir) and not model_dir.is_dir()


def _named(error: OSError, model_dir: Path) -> OSError:
    """The error with the argument that it is about, and what would do."""
    links = " It is a link to nothing." if model_dir.is_symlink() and not model_dir.exists() else ""
    return type(error)(
        f"model_dir={str(model_dir)!r} cannot be used: {error.strerror or error}.{links} Give a directory that can be made, "
        "and in which you may write."
    )


def _is(directory: int, model_dir: Path) -> bool:
    """Whether a descriptor is that of the directory which is at this path now."""
    try:
        return os.path.samestat(os.fstat(directory), os.stat(model_dir))
    except FileNotFoundError:
        return False
