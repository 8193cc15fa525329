"""Demonstrations in an .npz file of plain arrays, which any program can write."""

from __future__ import annotations

import itertools
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polyrl.demos.demonstrations import DemoEpisode, Demonstrations
from polyrl.paths import resolved

DEFLATED = 1_032
"""How many times smaller a file of an .npz archive can become by compression, at most."""

COLUMNS = ("lengths", "observations", "actions", "rewards", "terminated", "truncated")


def save_npz(demonstrations: Demonstrations, path: str | os.PathLike[str]) -> None:
    """Writes a file that `load_npz` reads.

    Raises:
        FileExistsError: if the file exists; it is not overwritten.
    """
    episodes = demonstrations.episodes
    columns: dict[str, Any] = {
        "lengths": np.array([episode.steps for episode in episodes], np.int64),
        "observations": np.concatenate([episode.observations for episode in episodes]),
        "actions": np.concatenate([episode.actions for episode in episodes]),
        "rewards": np.concatenate([episode.rewards for episode in episodes]),
        "terminated": np.array([episode.terminated for episode in episodes]),
        "truncated": np.array([episode.truncated for episode in episodes]),
    }
    path = check_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        np.savez_compressed(file, **columns)


def check_new(path: str | os.PathLike[str]) -> Path:
    """The path, resolved; raises a FileExistsError if it exists."""
    place = resolved("path", path)
    if place.exists():
        raise FileExistsError(f"{os.fspath(path)} exists already and is not overwritten; choose another name, or remove it.")
    return place


def load_npz(path: str | os.PathLike[str]) -> Demonstrations:
    """Reads `E` episodes. The other arrays hold them one after another, `lengths[e]` steps for episode `e`.

    | array | content |
    |---|---|
    | `lengths` | integers `[E]`: number of steps of each episode |
    | `observations` | `[sum(lengths + 1), ...]`: all of each episode, including the one after its last step |
    | `actions` | integers `[sum(lengths)]`, counted from 0 |
    | `rewards` | floats `[sum(lengths)]` |
    | `terminated` | bool `[E]`: the episode reached a terminal state |
    | `truncated` | bool `[E]`: a limit ended the episode |

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not an .npz file, lacks an array, or the arrays do not fit together.
    """
    place = resolved("path", path)
    name = os.fspath(path)
    if not place.is_file():
        raise FileNotFoundError(f"No such file of demonstrations: {name}. scripts/record_demos.py records one.")
    try:
        found = np.load(place, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            with found as file:
                shapes = _checked_shapes(file.zip, place.stat().st_size)
                lengths = _checked_lengths(name, shapes, file)
                columns = {column: file[column] for column in COLUMNS}
    except UnfitFileError:
        raise
    except Exception as error:  # Of a dozen kinds, zipfile's and zlib's among them, for a damaged file.
        raise ValueError(f"{name} cannot be read as an .npz file of plain arrays: {error}") from error
    if isinstance(found, np.ndarray):
        raise ValueError(f"{name} holds a single array, as np.save writes it; np.savez writes an .npz file.")
    boundaries = np.concatenate([[0], np.cumsum(lengths)])
    episodes = []
    for index, (start, end) in enumerate(itertools.pairwise(boundaries)):
        observations = columns["observations"][start + index : end + index + 1]
        ends = columns["terminated"][index], columns["truncated"][index]
        episodes.append(DemoEpisode(observations, columns["actions"][start:end], columns["rewards"][start:end], *ends))
    return Demonstrations(episodes, name)


class UnfitFileError(ValueError):
    """Arrays that can be read, and do not fit together."""


def _checked_lengths(name: str, shapes: Mapping[str, tuple[int, ...]], file: Mapping[str, np.ndarray]) -> np.ndarray:
    """The episodes' lengths, int64 `[E]`; all arrays have as many rows as they need, by their headers.

    Raises:
        ValueError: if one is missing, or has another number of rows.
    """
    missing = [column for column in COLUMNS if column not in shapes]
    if missing:
        raise UnfitFileError(f"{name} lacks the arrays {missing}; it has {sorted(shapes)}, and needs {list(COLUMNS)}.")
    lengths = file["lengths"]
    # In int64: unsigned ones become floats beside signed ones. Those beyond its range become negative.
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths.astype(np.int64) < 1).any():
        raise UnfitFileError(f"{name}: lengths must be integers [E], each at least 1; got {lengths.dtype} {lengths.shape}.")
    lengths = lengths.astype(np.int64)
    steps = int(lengths.sum())
    expected = {"observations": steps + len(lengths), "actions": steps, "rewards": steps}
    expected |= {"terminated": len(lengths), "truncated": len(lengths)}
    for column, rows in expected.items():
        if not shapes[column] or shapes[column][0] != rows:
            raise UnfitFileError(
                f"{name}: expected {rows} rows of {column} for {len(lengths)} episodes with {steps} steps, got shape "
                f"{shapes[column]}."
            )
    return lengths


def _checked_shapes(archive: zipfile.ZipFile, size: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays, by their headers; those that are larger than the file can hold are refused, before memory is
    taken for them.

    Raises:
        ValueError: names the array, and what its header says of it.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for entry in archive.infolist():
        if entry.file_size > DEFLATED * size:
            raise ValueError(
                f"{entry.filename} claims to have {entry.file_size} bytes, more than a file of {size} bytes holds"
            )
        with archive.open(entry) as file:
            if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
                continue  # Not an array.
            file.seek(0)
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            found = entry.file_size - file.tell()
        if math.prod(shape) * dtype.itemsize != found:
            raise ValueError(f"{entry.filename} claims to be {dtype} {shape}, and has {found} bytes")
        shapes[entry.filename.removesuffix(".npy")] = shape
    return shapes
