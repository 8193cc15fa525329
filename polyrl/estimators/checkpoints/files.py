"""A checkpoint on the disk: a directory that appears whole or not at all, and that shows whether it still is.

Its `state.json` is written last. It lists the size and the SHA-256 of every other file, and holds a checksum of itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from polyrl._quiet import leaving_the_root_logger
from polyrl.errors import CheckpointWriteError, DamagedCheckpointError, NotTrainedError, gist
from polyrl.paths import resolved
from polyrl.validation import suggestion

logger = logging.getLogger("polyrl")

STATE = "state.json"
FILES = "files"
CHECKSUM = "checksum"

_NAME = re.compile(r"^ckpt-(\d+)(?:-(\d+))?$")


def name_of(timestep: int, step: int) -> str:
    """The name of a checkpoint's directory; before the first environment step, in pre-training, the updates follow."""
    return f"ckpt-{timestep:09d}" if timestep > 0 or step == 0 else f"ckpt-{timestep:09d}-{step:09d}"


def found_in(directory: Path) -> list[Path]:
    """Checkpoints by their names, whole or damaged, oldest first."""
    found = [path for path in directory.glob("ckpt-*") if _NAME.match(path.name)]
    return sorted(found, key=lambda path: [int(number or 0) for number in _NAME.findall(path.name)[0]])


def named(which: str | os.PathLike[str], *directories: Path) -> Path:
    """The checkpoint at a path, or by its name in the first of these directories that has it.

    Raises:
        NotTrainedError: if there is none.
    """
    places = [resolved("checkpoint", which)]
    if os.path.basename(which) == os.fspath(which):
        places += [directory / which for directory in directories]
    for place in places:
        if (place / STATE).is_file():
            return place
    there = sorted({path.name for directory in directories for path in directory.glob("ckpt-*") if (path / STATE).is_file()})
    names = ["latest", "best", *there]
    raise NotTrainedError(
        f"checkpoint={os.fspath(which)!r} is not a checkpoint: {places[0]} is none. Use 'latest', 'best', a path, or the name "
        f"of one in {directories[0]}: {', '.join(there) or 'there is none yet'}.{suggestion(os.fspath(which), names)}"
    )


def read_state(path: Path) -> dict[str, Any]:
    """The `state.json` of a checkpoint.

    Raises:
        FileNotFoundError: if the checkpoint has none, for example because it has been removed.
        DamagedCheckpointError: if it is not what was written.
    """
    try:
        if (path / STATE).exists() and not (path / STATE).is_file():  # Reading a pipe would wait for ever.
            raise OSError("it is not a file")
        state = json.loads((path / STATE).read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedCheckpointError(f"{path / STATE} is damaged: it cannot be read ({error}).") from error
    if not isinstance(state, dict):
        raise DamagedCheckpointError(f"{path / STATE} is damaged: it holds no dict.")
    if (CHECKSUM in state or FILES in state) and state.get(CHECKSUM) != _checksum(state):
        raise DamagedCheckpointError(f"{path / STATE} is damaged: its content has changed since it was written.")
    return state


def damage(path: Path, prefix: str = "", thorough: bool = True) -> str | None:
    """What is wrong with a checkpoint; None if it is whole. Of one from before there were checksums nothing can be said.

    Args:
        path: the checkpoint's directory.
        prefix: only files whose names begin so are looked at.
        thorough: compare SHA-256; otherwise only sizes.
    """
    try:
        state = read_state(path)
    except FileNotFoundError:
        return f"{path / STATE} is missing"
    except DamagedCheckpointError as error:
        return str(error).rstrip(".")
    if {"global_timestep", "global_step"} <= state.keys() and _NAME.match(path.name):
        name = name_of(state["global_timestep"], state["global_step"])
        if path.name != name:
            return f"{path} is the checkpoint {name} under another name"
    for file, written in state.get(FILES, {}).items():
        found = _file_damage(path / file, written, thorough) if file.startswith(prefix) else None
        if found is not None:
            return found
    return None


def check_whole(path: Path, prefix: str = "") -> Path:
    """The path of a checkpoint that is whole, to the last byte; a DamagedCheckpointError otherwise. `prefix`: see `damage`."""
    found = damage(path, prefix)
    if found is not None and path.exists():
        raise DamagedCheckpointError(f"{found}.")
    return path


def version(path: Path) -> tuple[Path, int]:
    """A checkpoint, and when its state was written; what is written again is another one."""
    try:
        return path, (path / STATE).stat().st_mtime_ns
    except OSError:
        return path, 0


def misplaced(path: Path, is_best: bool) -> str | None:
    """What is wrong with the place of a whole checkpoint: one with a score holds the models alone, and belongs to the best;
    None if it is where it belongs.
    """
    if ("score" in read_state(path)) is is_best:
        return None
    kind = "to resume from" if is_best else "of the best evaluation, with the models alone"
    return f"{path} is a checkpoint {kind}, and does not belong there"


def _file_damage(file: Path, written: Mapping[str, Any], thorough: bool) -> str | None:
    """What is wrong with one file; also if it may not or cannot be read."""
    try:
        if not file.is_file():
            return f"{file} is missing"
        if file.stat().st_size != written["bytes"]:
            return f"{file} has {file.stat().st_size} bytes, {written['bytes']} were written"
        if thorough and _sha256(file) != written["sha256"]:
            return f"{file} has changed since it was written"
        if not os.access(file, os.R_OK):
            return f"{file} may not be read"
    except OSError as error:
        return f"{file} cannot be read ({error.strerror})"
    return None


@leaving_the_root_logger()
def write(final: Path, fill: Callable[[Path], Mapping[str, Any]]) -> None:
    """Writes a checkpoint that appears whole or not at all, also if the computer stops.

    Args:
        final: the directory. What is there already is replaced; if it is damaged, it is kept under another name.
        fill: writes the files into the directory it is given, and returns the content of `state.json`; there under `FILES`
            what is known of files that it has only linked.

    Raises:
        CheckpointWriteError: if the disk does not take it: it is full, or read-only. What was there is as it was.
    """
    staging = final.with_name(f"{final.name}.tmp")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        _complete(staging, fill(staging))
        _put_in_place(staging, final)
    except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise CheckpointWriteError(f"{final} cannot be written: {gist(error)}.") from error


def _complete(staging: Path, state: Mapping[str, Any]) -> None:
    """Writes `state.json` of the files in a directory."""
    files = dict(state.get(FILES, {}))
    for file in sorted(path for path in staging.rglob("*") if path.is_file()):
        name = str(file.relative_to(staging))
        if name not in files:
            _flush(file)
            files[name] = {"bytes": file.stat().st_size, "sha256": _sha256(file)}
    write_text(staging / STATE, _as_text({**state, FILES: files}))


def _put_in_place(staging: Path, final: Path) -> None:
    old = final.with_name(f"{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if os.path.lexists(final) and damage(final) is not None:
        set_aside(final)
    elif final.exists():
        os.replace(final, old)
    try:
        os.replace(staging, final)
    except OSError:
        if old.exists():
            os.replace(old, final)
        raise
    _flush(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def update_state(path: Path, changes: Mapping[str, Any]) -> None:
    """Changes `state.json` of a checkpoint at once: the run may have ended with it.

    Raises:
        CheckpointWriteError: if the disk does not take it.
    """
    text = _as_text({**read_state(path), **changes})
    try:
        write_text(path / STATE, text)
    except OSError as error:
        raise CheckpointWriteError(f"{path / STATE} cannot be written: {error}.") from error


def write_text(file: Path, text: str) -> None:
    """Writes a file that holds all of the text, or what it held before, also if the computer stops.

    Raises:
        OSError: it names the file, also where the system does not, as that of a full disk.
    """
    staging = file.with_name(f"{file.name}.tmp")
    try:
        staging.write_text(text)
        _flush(staging)
        os.replace(staging, file)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(file)) from error
    _flush(file.parent)


def remove(path: Path) -> None:
    """Removes a checkpoint at once: whoever reads it finds all of it, or finds it gone."""
    doomed = path.with_name(f"{path.name}.old")
    shutil.rmtree(doomed, ignore_errors=True)
    try:
        os.replace(path, doomed)
    except OSError as error:
        logger.warning("%s is not needed any longer, and cannot be removed: %s.", path, error)
    shutil.rmtree(doomed, ignore_errors=True)


def set_aside(path: Path, why: str = "damaged") -> Path:
    """Gives a checkpoint another name, so that it is kept but no longer used."""
    number = 0
    while (aside := path.with_name(f"{path.name}.{why}-{number}")).exists():
        number += 1
    os.replace(path, aside)
    return aside


def clear(directory: Path) -> None:
    """Removes what a run that died has left half written, and puts back what it was about to replace."""
    for old in directory.glob("ckpt-*.old"):
        final = old.with_suffix("")
        if not final.exists() and damage(old, thorough=False) is None:
            os.replace(old, final)
        else:
            shutil.rmtree(old, ignore_errors=True)
    for half in directory.glob("ckpt-*.tmp"):
        shutil.rmtree(half, ignore_errors=True)


def _as_text(state: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps({key: value for key, value in state.items() if key != CHECKSUM}))
    return json.dumps({**plain, CHECKSUM: _checksum(plain)}, indent=1)


def _checksum(state: Mapping[str, Any]) -> str:
    content = {key: value for key, value in state.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    """Makes the system write a file to the disk now, or the names in a directory, where it can do that."""
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
