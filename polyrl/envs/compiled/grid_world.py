"""`GridWorld`: find the way from a start around walls to a goal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.ops import uniform
from polyrl.validation import check_float, check_int

START, GOAL, WALL, FREE = "SG#."
ROOMS = (
    "S...#....",
    "....#....",
    ".........",
    "....#....",
    "##.###.##",
    "....#....",
    "....#....",
    ".........",
    "....#...G",
)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Changes of row and column for up, right, down, left."""


class GridWorldState(NamedTuple):
    """The index of the cell, row by row; int32 `[N]`."""

    cell: tf.Tensor


class GridWorld(CompiledEnvironment):
    """Walk to the goal: actions 0, 1, 2, 3 go up, right, down, left; a move into a wall or off the map does nothing.

    Observations are float32 `[rows, columns]`, 1 at the current cell. At a goal the episode terminates with a reward of 1.

    Args:
        num_envs: how many run in parallel while training.
        grid: the map, rows of the same length: `S` the start, `G` a goal, `#` a wall, `.` free. Four rooms by default.
        max_episode_steps: number of steps after which an episode is truncated; None: never.
        slip: probability that a step moves in a random direction, uniform over all four, instead.
        step_reward: reward of a step that does not reach a goal.

    Raises:
        TypeError, ValueError: for a map that does not have this form, or an argument out of range.
    """

    action_space = Discrete(4)

    def __init__(
        self,
        num_envs: int = 1,
        grid: Sequence[str] = ROOMS,
        max_episode_steps: int | None = 100,
        slip: float = 0.0,
        step_reward: float = 0.0,
    ):
        super().__init__(num_envs)
        cells = _cells(grid)
        self.grid = tuple(grid)
        if max_episode_steps is not None:
            check_int("max_episode_steps", max_episode_steps, minimum=1)
        self.max_episode_steps = max_episode_steps
        self.slip = check_float("slip", slip, minimum=0.0, maximum=1.0)
        self.step_reward = check_float("step_reward", step_reward)
        self.observation_space = Box(0.0, 1.0, cells.shape, np.float32)
        self._start = int(np.flatnonzero(cells == START)[0])
        self._goal = (cells == GOAL).ravel()
        self._next = _next_cells(cells)

    def reset(self, num_envs: int, seed: tf.Tensor) -> GridWorldState:
        return GridWorldState(tf.fill([num_envs], self._start))

    def step(self, state: GridWorldState, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        if self.slip > 0.0:
            coin, choice = tf.unstack(uniform([2, state.cell.shape[0]], seed))
            action = tf.where(coin < self.slip, tf.cast(choice * 4.0, tf.int32), action)
        cell = tf.gather(tf.constant(self._next), state.cell * 4 + action)
        terminated = tf.gather(tf.constant(self._goal), cell)
        return StepOutput(GridWorldState(cell), tf.where(terminated, 1.0, self.step_reward), terminated)

    def observe(self, state: GridWorldState) -> tf.Tensor:
        rows, columns = self.observation_space.shape
        return tf.reshape(tf.one_hot(state.cell, rows * columns), [-1, rows, columns])


def _cells(grid: Sequence[str]) -> np.ndarray:
    """The checked characters of the map, `[rows, columns]`."""
    if isinstance(grid, str) or not all(isinstance(row, str) for row in grid):
        raise TypeError(f"grid={grid!r} must be a sequence of strings, one for each row.")
    if not grid or not grid[0] or any(len(row) != len(grid[0]) for row in grid):
        raise ValueError(f"grid={grid!r} must have rows, all of the same length.")
    cells = np.array([list(row) for row in grid])
    unknown = sorted(set(cells.ravel()) - {START, GOAL, WALL, FREE})
    if unknown:
        raise ValueError(
            f"grid contains unknown cells {', '.join(map(repr, unknown))}; use {START!r}, {GOAL!r}, {WALL!r} and {FREE!r}."
        )
    if np.sum(cells == START) != 1 or not np.any(cells == GOAL):
        raise ValueError(f"grid={grid!r} must have one start {START!r}, and at least one goal {GOAL!r}.")
    return cells


def _next_cells(cells: np.ndarray) -> np.ndarray:
    """The cell that each move from each cell leads to: int32 `[cells * 4]`."""
    rows, columns = np.indices(cells.shape)
    ends = []
    for down, right in MOVES:
        row = np.clip(rows + down, 0, cells.shape[0] - 1)
        column = np.clip(columns + right, 0, cells.shape[1] - 1)
        blocked = cells[row, column] == WALL
        ends.append(np.where(blocked, rows * cells.shape[1] + columns, row * cells.shape[1] + column).ravel())
    return np.stack(ends, axis=1).ravel().astype(np.int32)
