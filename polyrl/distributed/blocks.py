"""A block: some consecutive steps of an actor's environments, and how its states are sent without being sent twice.

The next state of a step is the state of the step after it, unless an episode ended; and of a stack of frames all but the
newest one were seen before. So a block holds the first states, the next states, and the first states of episodes that began
within it, and of all of these the newest frame alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from polyrl.envs.observations import NEXT

FIRST, BEGUN = "first_", "begun_"


class Report(NamedTuple):
    """Of a block that is on its way to its shard: its rewards and ends `[T, N]`, what is said of it, and when it came."""

    outcomes: dict[str, np.ndarray]
    about: dict[str, Any]
    came: float
    life: int


def shrink(columns: Mapping[str, np.ndarray], frame_stack: int | None = None) -> dict[str, np.ndarray]:
    """Columns `[T, N, ...]` without what `expand` can tell from the rest.

    Args:
        columns: of `T` steps of `N` environments: `done`, `truncated`, and for each part of a state the column of that name
            and one beginning with `next_`.
        frame_stack: how many frames `state` stacks on its last axis; None if it does not.
    """
    ended = _ended(columns)[:-1]  # [T - 1, N]
    small: dict[str, np.ndarray] = {}
    for name, values in columns.items():
        if NEXT + name in columns:
            newest = slice(-1, None) if frame_stack is not None and name == "state" else slice(None)
            state, following = values[..., newest], columns[NEXT + name][..., newest]
            small |= {FIRST + name: state[0], BEGUN + name: state[1:][ended], NEXT + name: following}
        elif not name.startswith(NEXT) or name[len(NEXT) :] not in columns:
            small[name] = values
    return small


def expand(small: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns `[T, N, ...]` that `shrink` was given; of stacked frames the newest one alone, `[T, N, ..., 1]`.

    Raises:
        ValueError: if they are not such columns.
    """
    try:
        ended = _ended(small)
        if ended.ndim != 2 or not ended.size:
            raise ValueError(f"done has shape {ended.shape}")
        columns = {}
        for name, values in small.items():
            if name.startswith(FIRST):
                part = name[len(FIRST) :]
                columns[NEXT + part] = small[NEXT + part]
                columns[part] = _states(values, small[NEXT + part], small[BEGUN + part], ended)
            elif not name.startswith((BEGUN, NEXT)):
                if values.shape[:2] != ended.shape:
                    raise ValueError(f"{name} has shape {values.shape}, done {ended.shape}")
                columns[name] = values
        return columns
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"These are not the columns of a block: {error!r}") from error


def _states(first: np.ndarray, following: np.ndarray, begun: np.ndarray, ended: np.ndarray) -> np.ndarray:
    if following.shape[:2] != ended.shape or len(begun) != np.count_nonzero(ended[:-1]):
        raise ValueError(f"next states {following.shape}, {len(begun)} first states, done {ended.shape}")
    state = np.concatenate([first[np.newaxis], following[:-1]])
    state[1:][ended[:-1]] = begun
    return state


def _ended(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    return columns["done"] + columns["truncated"] > 0.0
