"""A memory in a checkpoint's directory: rows that will not change any more are written once, and linked from then on.

    memory.<column>.<ring>.<shard>.npy   a fixed range of rows, counted since the run began, once none of them can change
    memory.<column>.open.npy             the rows after these, of one ring after another
    memory.index, memory.data-...        what is small: counters, priorities, the reach of frames; a TensorFlow checkpoint

Demonstrations are not written: they are the same in each run, and the memory is built with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import tensorflow as tf

from polyrl.errors import DamagedCheckpointError
from polyrl.paths import literal
from polyrl.replay.base import Replay
from polyrl.replay.storage import Ring

SMALL = "memory"
"""Name of the TensorFlow checkpoint; all files of a memory begin with it."""

INDEX = f"{SMALL}.index"
"""The file that every memory has."""

SHARD_BYTES = 8 << 20
"""Largest size of a shard: so much is copied at a time, and about half of it is written again in each checkpoint."""

LEAST_BYTES = 256 << 10
"""Smallest size of a shard, so that small rings do not become thousands of files."""


def write(memory: Replay, directory: Path, before: tuple[Path, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """Writes a memory; returns what is known of those files that are only linked, which are on the disk already.

    Args:
        memory: whose variables are up to date.
        directory: of the new checkpoint.
        before: the checkpoint that this memory was written to or read from last, and what is known of its files: by their
            names, dicts with their `bytes`. None: there is none.
    """
    rows, linked = memory.rows, {}
    source, known = (directory, {}) if before is None else before
    for name, variable in rows.columns.items():
        rest = []
        for number, ring in enumerate(rows.rings):
            size = _shard_size(variable, ring)
            for shard in range(ring.begin // size, ring.final // size):
                file = _file(name, number, shard)
                if file in known and _link(source / file, directory / file, known[file]["bytes"]):
                    linked[file] = known[file]
                else:
                    _write_rows(directory / file, variable, [(ring, max(ring.begin, shard * size), (shard + 1) * size)])
            rest.append((ring, *_open_rows(ring, size)))
        _write_rows(directory / _file(name, "open"), variable, rest)
    tf.train.Checkpoint(**_small(memory)).write(str(directory / SMALL))
    return linked


def read(memory: Replay, directory: Path) -> None:
    """Reads what `write` wrote into a memory that was built with the same arguments; all its variables become what they were.

    Raises:
        AssertionError, ValueError: if the memory has other variables.
        DamagedCheckpointError: if a file is missing, or holds other rows than it should. No memory is taken before.
    """
    earlier = [ring.end for ring in memory.rows.rings]
    tf.train.Checkpoint(**_small(memory)).read(str(literal(directory) / SMALL)).assert_consumed()
    rows = memory.rows
    for name, variable in rows.columns.items():
        sizes = [_shard_size(variable, ring) for ring in rows.rings]
        for number, (ring, size) in enumerate(zip(rows.rings, sizes, strict=True)):
            for shard in range(ring.begin // size, ring.final // size):
                end = (shard + 1) * size
                wanted = end - max(ring.begin, shard * size)  # Its oldest rows may have been overwritten since.
                found = _load(directory / _file(name, number, shard), variable, wanted, size)
                _assign(variable, ring, end - wanted, found[len(found) - wanted :])
        parts = [(ring, *_open_rows(ring, size)) for ring, size in zip(rows.rings, sizes, strict=True)]
        count = sum(end - begin for _, begin, end in parts)
        found, done = _load(directory / _file(name, "open"), variable, count, count), 0
        for ring, begin, end in parts:
            _assign(variable, ring, begin, found[done : done + end - begin])
            done += end - begin
        for ring, size, end in zip(rows.rings, sizes, earlier, strict=True):
            for begin in range(ring.end, min(end, ring.size), size):  # Written since, by a run that is given up.
                _assign(variable, ring, begin, np.zeros([min(end, ring.size, begin + size) - begin, *variable.shape[1:]]))


def _shard_size(variable: tf.Variable, ring: Ring) -> int:
    """Rows of a shard."""
    row = max(int(np.prod(variable.shape[1:])) * variable.dtype.size, 1)
    return max(min(ring.size // 8, SHARD_BYTES // row), LEAST_BYTES // row, 1)


def _open_rows(ring: Ring, size: int) -> tuple[int, int]:
    """The rows of a ring that are in no shard."""
    return max(ring.begin, ring.final // size * size), ring.end


def _file(column: str, *part: int | str) -> str:
    return ".".join([SMALL, quote(column, safe=""), *map(str, part), "npy"])


def _link(source: Path, target: Path, size: int) -> bool:
    """Whether there is a link now; where the file system has none, the rows are written again."""
    try:
        if source.stat().st_size != size:
            return False
        os.link(source, target)
    except OSError:
        return False
    return True


def _positions(ring: Ring, begin: int, end: int) -> np.ndarray:
    return ring.first + np.arange(begin, end, dtype=np.int64) % ring.size


def _write_rows(file: Path, variable: tf.Variable, parts: Iterable[tuple[Ring, int, int]]) -> None:
    """Writes the rows `begin` to `end` of rings, one after another, as one array."""
    parts = list(parts)
    shape = (sum(end - begin for _, begin, end in parts), *variable.shape[1:])
    descr = np.lib.format.dtype_to_descr(np.dtype(variable.dtype.as_numpy_dtype))
    with file.open("xb") as opened:
        np.lib.format.write_array_header_1_0(opened, {"descr": descr, "fortran_order": False, "shape": shape})
        for ring, begin, end in parts:
            # Gathered: to read a variable, also for a slice, may copy all of it.
            opened.write(tf.gather(variable, _positions(ring, begin, end)).numpy().tobytes())


def _load(file: Path, variable: tf.Variable, least: int, most: int) -> np.ndarray:
    """The rows in a file, mapped and not read yet: there must be `least` to `most` of them."""
    dtype = np.dtype(variable.dtype.as_numpy_dtype)
    try:
        rows = np.lib.format.open_memmap(file, mode="r")
    except Exception as error:  # Of several kinds: missing, cut off, another format, Python objects.
        raise DamagedCheckpointError(f"{file} is damaged: it cannot be read ({error}).") from error
    stored = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype))  # bfloat16 comes back as bytes.
    if rows.dtype != stored or rows.shape[1:] != tuple(variable.shape[1:]) or not least <= len(rows) <= most:
        raise DamagedCheckpointError(
            f"{file} is damaged: expected {least if least == most else f'{least} to {most}'} rows of {dtype.name} "
            f"{tuple(variable.shape[1:])}, got {rows.dtype} {rows.shape}."
        )
    return rows.view(dtype)


def _assign(variable: tf.Variable, ring: Ring, begin: int, rows: np.ndarray) -> None:
    if len(rows):
        positions = _positions(ring, begin, begin + len(rows))[:, np.newaxis]
        variable.scatter_nd_update(positions, tf.constant(np.asarray(rows), variable.dtype))


def _small(memory: Replay) -> dict[str, tf.Variable]:
    """The variables beside rows and demonstrations, by the attributes that lead to them."""
    apart = {variable.ref() for variable in (*memory.rows.columns.values(), *memory.rows.constant)}
    found, seen, todo = {}, {id(memory)}, [("memory", memory)]
    while todo:
        place, node = todo.pop()
        if isinstance(node, tf.Variable) and node.ref() not in apart:
            found[place] = node
        for name, child in tf.train.TrackableView.children(node).items():
            if id(child) not in seen:
                seen.add(id(child))
                todo.append((f"{place}.{name}", child))
    return found
