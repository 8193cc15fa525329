"""Demonstrations in an .npz file: arrays that any program can write."""

from __future__ import annotations

import itertools
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from polyrl.demos.demonstrations import DemoEpisode, Demonstrations

COLUMNS = ("lengths", "observations", "actions", "rewards", "terminated", "truncated")


def save_npz(demonstrations: Demonstrations, path: str | os.PathLike[str]) -> None:
    """Writes a file that `load_npz` reads.

    Raises:
        FileExistsError: if there is one already; it is left alone.
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
    check_new(path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        np.savez_compressed(file, **columns)


def check_new(path: str | os.PathLike[str]) -> None:
    """Raises a FileExistsError if something is there already."""
    if Path(path).exists():
        raise FileExistsError(f"{os.fspath(path)} exists already and is not overwritten; choose another name, or remove it.")


def load_npz(path: str | os.PathLike[str]) -> Demonstrations:
    """Reads `E` episodes: episode `e` has `lengths[e]` steps, and its rows follow each other in the other arrays.

    | array | what |
    |---|---|
    | `lengths` | integers `[E]`: steps of each episode |
    | `observations` | `[sum(lengths + 1), ...]`: of each episode all it had, the one after the last step included |
    | `actions` | integers `[sum(lengths)]`, counted from 0 |
    | `rewards` | floats `[sum(lengths)]` |
    | `terminated` | bool `[E]`: the environment's rules ended it |
    | `truncated` | bool `[E]`: a limit ended it |

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no .npz file, lacks an array, or the arrays do not fit together.
    """
    name = os.fspath(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {name} with demonstrations; scripts/record_demos.py records one.")
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = {column: file[column] for column in file.files}
    except (zipfile.BadZipFile, ValueError, AttributeError, EOFError, OSError) as error:
        raise ValueError(f"{name} cannot be read as an .npz file of plain arrays: {error}") from error
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise ValueError(f"{name} lacks the arrays {missing}; it has {sorted(columns)}, and needs {list(COLUMNS)}.")
    lengths = columns["lengths"]
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any():
        raise ValueError(f"{name}: lengths must be integers [E], each at least 1; they are {lengths.dtype} {lengths.shape}.")
    steps = int(lengths.sum())
    wanted = {"observations": steps + len(lengths), "actions": steps, "rewards": steps}
    wanted |= {"terminated": len(lengths), "truncated": len(lengths)}
    for column, rows in wanted.items():
        if columns[column].ndim == 0 or len(columns[column]) != rows:
            raise ValueError(
                f"{name}: {column} has shape {columns[column].shape}; its {len(lengths)} episodes of {steps} steps ask for "
                f"{rows} rows."
            )
    begins = np.concatenate([[0], np.cumsum(lengths)])
    episodes = []
    for index, (begin, end) in enumerate(itertools.pairwise(begins)):
        observations = columns["observations"][begin + index : end + index + 1]
        ends = bool(columns["terminated"][index]), bool(columns["truncated"][index])
        episodes.append(DemoEpisode(observations, columns["actions"][begin:end], columns["rewards"][begin:end], *ends))
    return Demonstrations(episodes, name)
