"""`MixedStorage`: the agent's own transitions, together with demonstrations that are never overwritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from polyrl.demos import Demonstrations
from polyrl.demos.demonstrations import DemoEpisode
from polyrl.engine.tracing import traced
from polyrl.replay.frames import FrameStorage
from polyrl.replay.storage import Rows, Storage, Written
from polyrl.replay.transitions import TransitionStorage

COLUMNS = ("state", "action", "reward", "done", "truncated", "next_state")


class MixedStorage(tf.Module):
    """Two storages in one range of positions: first the agent's own, then the demonstrations, which nothing overwrites.

    A batch has the additional column `expert` float32 `[B]`, 1 for demonstrations.

    Args:
        own: the agent's transitions, at positions below `own.capacity`.
        kept: the demonstrations, at the positions from `own.capacity` on.
        demo_rows: number of demonstrations in a draw; every row is one until the agent has stored transitions of its own.
    """

    def __init__(self, own: Storage, kept: Storage, demo_rows: int):
        super().__init__(name="mixed")
        self.own = own
        self.kept = kept
        self.capacity = own.capacity + kept.capacity
        self._demo_rows = demo_rows

    def is_demo(self, positions: tf.Tensor) -> tf.Tensor:
        """Whether each of the positions `[B]` holds a demonstration, bool `[B]`."""
        return positions >= self.own.capacity

    def add(self, rows: Mapping[str, tf.Tensor]) -> Written:
        return self.own.add(rows)

    def draw(self, seed: tf.Tensor, count: int) -> tf.Tensor:
        own = self.own.draw(seed, count)
        demos = self.kept.draw(tf.random.fold_in(seed, 1, alg="philox"), count) + self.own.capacity
        chosen = (tf.range(count) < self._demo_rows) | (self.own.stored() == 0)
        return tf.where(chosen, demos, own)

    def gather(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        demo = self.is_demo(positions)
        # Read both storages in full and select afterwards, so that no shape depends on which rows were drawn.
        first = tf.zeros_like(positions)
        own = self.own.gather(tf.where(demo, first, positions))
        kept = self.kept.gather(tf.where(demo, positions - self.own.capacity, first))
        batch = {name: tf.where(_like(demo, column), kept[name], column) for name, column in own.items()}
        return {**batch, "expert": tf.cast(demo, tf.float32)}

    def stored(self) -> tf.Tensor:
        return self.own.stored() + self.kept.stored()

    def start_episodes(self) -> None:
        self.own.start_episodes()

    @property
    def inserted(self) -> tf.Variable:
        """Number of the agent's own transitions ever stored."""
        return self.own.inserted

    def newest(self, steps: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return self.own.newest(steps)

    @property
    def rows(self) -> Rows:
        return self.own.rows._replace(constant=self.kept.variables)

    @property
    def columns(self) -> dict[str, tf.Tensor]:
        kept = self.kept.columns
        return {name: tf.concat([column, kept[name]], axis=0) for name, column in self.own.columns.items()}


def store_demonstrations(
    demonstrations: Demonstrations, specs: Mapping[str, tf.TensorSpec], n_step: int, frame_stack: int | None, xla: bool
) -> tuple[Storage, np.ndarray]:
    """The demonstrations in a storage of just the right size, and the positions int64 `[D]` at which their transitions start.

    Raises:
        ValueError: if they do not fit the transitions that `specs` describes.
    """
    unknown = sorted({*specs} - {*COLUMNS})
    if unknown:
        raise ValueError(f"The transitions have the columns {unknown}, which demonstrations do not have.")
    demonstrations.check(specs["state"])
    episodes = demonstrations.episodes
    if frame_stack is None:
        # A window needs `n_step` rows even if all the episodes together are shorter; it ends with its episode all the same.
        transitions = TransitionStorage(specs, max(demonstrations.steps, n_step), 1, n_step)
        for episode in episodes:
            transitions.add(
                {name: tf.constant(column) for name, column in episode.transitions().items() if _known(name, specs)}
            )
        return transitions, np.arange(demonstrations.steps)
    room = demonstrations.steps + len(episodes) + frame_stack + n_step
    frames = FrameStorage(specs, room, 1, n_step, frame_stack, xla)
    _add_one_by_one(frames, episodes, specs)
    starts = np.cumsum([0, *(episode.steps + 1 for episode in episodes[:-1])])
    of_episodes = [start + np.arange(episode.steps) for start, episode in zip(starts, episodes, strict=True)]
    for index, (episode, positions) in enumerate(zip(episodes, of_episodes, strict=True)):
        _check_stacks(frames, episode, positions, f"{demonstrations.source}: episode {index}")
    return frames, np.concatenate(of_episodes)


def _add_one_by_one(frames: FrameStorage, episodes: Sequence[DemoEpisode], specs: Mapping[str, tf.TensorSpec]) -> None:
    """Stores the frames step by step, because each step completes the row of the previous one."""
    scalar = tf.TensorSpec([], tf.float32)
    wanted = {"truncated": scalar, **specs}
    signature = {name: tf.TensorSpec([None, *spec.shape], spec.dtype) for name, spec in wanted.items()}

    def add(columns: Mapping[str, tf.Tensor]) -> None:
        def step(row: tf.Tensor) -> tuple[tf.Tensor]:
            frames.add({name: column[row][tf.newaxis] for name, column in columns.items()})
            return (row + 1,)

        tf.while_loop(lambda row: row < tf.shape(columns["action"])[0], step, [tf.constant(0)])

    store = traced(add, input_signature=[signature])
    for episode in episodes:
        store({name: tf.constant(column) for name, column in episode.transitions().items()})


def _check_stacks(frames: FrameStorage, episode: DemoEpisode, positions: np.ndarray, name: str) -> None:
    """Raises a ValueError unless the states rebuilt from single frames equal the observations."""
    for start in range(0, len(positions), 256):
        batch = frames.gather(tf.constant(positions[start : start + 256]))
        states = batch["state"].numpy()
        if not np.array_equal(states, episode.observations[start : start + len(states)]):
            break
    else:
        if np.array_equal(batch["next_state"][-1], episode.observations[-1]):
            return
    raise ValueError(
        f"{name}: the observations are not stacks of the newest frames (with the first frame of an episode repeated); use a "
        "memory without frame_stack, or record them in the environment that stacks the frames."
    )


def _known(name: str, specs: Mapping[str, tf.TensorSpec]) -> bool:
    return name in specs or name == "truncated"


def _like(mask: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
    """A mask `[B]` reshaped to `[B, 1, ...]`, of the same rank as the column."""
    return tf.reshape(mask, [-1, *[1] * (column.shape.rank - 1)])
