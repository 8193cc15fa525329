"""One training run at a time in a `model_dir`, also among processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None  # type: ignore[assignment]

from polyrl.errors import ModelDirInUseError


@contextlib.contextmanager
def claimed(model_dir: Path) -> Iterator[None]:
    """Inside of the `with` block no other run trains in this directory: each would prune and resume the other's checkpoints.

    A run that has died holds no claim. Where the system or the file system has no locks, nothing is checked. The directory is
    made if it is missing, and removed again if nothing has been written in it.

    Raises:
        ModelDirInUseError: if another run is in it.
    """
    missing = not model_dir.exists()
    if fcntl is None:
        model_dir.mkdir(parents=True, exist_ok=True)
        yield
        return
    directory = _locked(model_dir)
    try:
        yield
    finally:
        if missing:
            with contextlib.suppress(OSError):
                model_dir.rmdir()
        with contextlib.suppress(OSError):
            fcntl.flock(directory, fcntl.LOCK_UN)  # Also of what a process that was forked in between has kept open.
        os.close(directory)


def _locked(model_dir: Path) -> int:
    """An open descriptor of the directory, with a lock on it.

    Another run that ends meanwhile removes a directory which it has made: then there is a new one to be locked.
    """
    while True:
        try:
            model_dir.mkdir(parents=True, exist_ok=True)
            directory = os.open(model_dir, os.O_RDONLY)
        except FileNotFoundError:
            continue
        except FileExistsError:
            if model_dir.exists():  # And is not a directory.
                raise
            continue
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
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(directory), os.stat(model_dir)):
                return directory
        os.close(directory)
