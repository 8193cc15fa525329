"""`MixedStorage`: what the agent has lived through, and behind it demonstrations that stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from polyrl.demos import Demonstrations
from polyrl.demos.demonstrations import DemoEpisode
from polyrl.replay.frames import FrameStorage
from polyrl.replay.storage import Storage, Written
from polyrl.replay.transitions import TransitionStorage

COLUMNS = ("state", "action", "reward", "done", "truncated", "next_state")


class MixedStorage(tf.Module):
    """A storage whose positions are followed by those of demonstrations, which nothing overwrites.

    A sample has a column more: `expert` float32 `[B]`, 1 for demonstrations.

    Args:
        own: the agent's transitions, at positions below `own.capacity`.
        kept: the demonstrations.
        fingerprint: of the demonstrations.
        demo_rows: how many rows of a draw are demonstrations; all of them as long as the agent has none of its own.
    """

    def __init__(self, own: Storage, kept: Storage, fingerprint: str, demo_rows: int):
        super().__init__(name="mixed")
        self.own = own
        # A checkpoint knows its variables by such keys: one that holds other demonstrations does not fit.
        self.kept = {fingerprint: kept}
        self.capacity = own.capacity + kept.capacity
        self._fingerprint, self._demo_rows = fingerprint, demo_rows

    @property
    def _kept(self) -> Storage:
        return self.kept[self._fingerprint]

    def is_demo(self, positions: tf.Tensor) -> tf.Tensor:
        """Which of the positions `[B]` are those of demonstrations, bool `[B]`."""
        return positions >= self.own.capacity

    def add(self, rows: Mapping[str, tf.Tensor]) -> Written:
        return self.own.add(rows)

    def draw(self, seed: tf.Tensor, count: int) -> tf.Tensor:
        own = self.own.draw(seed, count)
        demos = self._kept.draw(tf.random.fold_in(seed, 1, alg="philox"), count) + self.own.capacity
        chosen = (tf.range(count) < self._demo_rows) | (self.own.stored() == 0)
        return tf.where(chosen, demos, own)

    def gather(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        demo = self.is_demo(positions)
        # Both are read in full, and one is dropped: no shape depends on which rows were drawn.
        first = tf.zeros_like(positions)
        own = self.own.gather(tf.where(demo, first, positions))
        kept = self._kept.gather(tf.where(demo, positions - self.own.capacity, first))
        batch = {name: tf.where(_like(demo, column), kept[name], column) for name, column in own.items()}
        return {**batch, "expert": tf.cast(demo, tf.float32)}

    def stored(self) -> tf.Tensor:
        return self.own.stored() + self._kept.stored()

    def start_episodes(self) -> None:
        self.own.start_episodes()

    @property
    def inserted(self) -> tf.Variable:
        """Transitions of the agent's that were ever stored."""
        return self.own.inserted

    @property
    def columns(self) -> dict[str, tf.Tensor]:
        kept = self._kept.columns
        return {name: tf.concat([column, kept[name]], axis=0) for name, column in self.own.columns.items()}


def store_demonstrations(
    demonstrations: Demonstrations, specs: Mapping[str, tf.TensorSpec], n_step: int, frame_stack: int | None, xla: bool
) -> tuple[Storage, np.ndarray]:
    """The demonstrations in a storage just large enough, and the positions int64 `[D]` at which their transitions start.

    Raises:
        ValueError: if they do not fit the transitions that `specs` describe.
    """
    unknown = sorted({*specs} - {*COLUMNS})
    if unknown:
        raise ValueError(f"The transitions have the columns {unknown}, which demonstrations do not have.")
    demonstrations.check(specs["state"])
    episodes = demonstrations.episodes
    if frame_stack is None:
        # The windows of the last steps end with their episodes; more room than there are steps is for episodes too short.
        transitions = TransitionStorage(specs, max(demonstrations.steps, n_step), 1, n_step)
        for episode in episodes:
            transitions.add(
                {name: tf.constant(column) for name, column in episode.transitions().items() if _known(name, specs)}
            )
        return transitions, np.arange(demonstrations.steps)
    room = demonstrations.steps + len(episodes) + frame_stack + n_step
    frames = FrameStorage(specs, room, 1, n_step, frame_stack, xla)
    _add_one_by_one(frames, episodes, specs)
    begins = np.cumsum([0, *(episode.steps + 1 for episode in episodes[:-1])])
    places = [begin + np.arange(episode.steps) for begin, episode in zip(begins, episodes, strict=True)]
    for index, (episode, positions) in enumerate(zip(episodes, places, strict=True)):
        _check_stacks(frames, episode, positions, f"{demonstrations.source}: episode {index}")
    return frames, np.concatenate(places)


def _add_one_by_one(frames: FrameStorage, episodes: Sequence[DemoEpisode], specs: Mapping[str, tf.TensorSpec]) -> None:
    """Frames are stored step by step: a step completes the one before."""
    scalar = tf.TensorSpec([], tf.float32)
    wanted = {"truncated": scalar, **specs}
    signature = {name: tf.TensorSpec([None, *spec.shape], spec.dtype) for name, spec in wanted.items()}

    def add(columns: Mapping[str, tf.Tensor]) -> None:
        def step(row: tf.Tensor) -> tuple[tf.Tensor]:
            frames.add({name: column[row][tf.newaxis] for name, column in columns.items()})
            return (row + 1,)

        tf.while_loop(lambda row: row < tf.shape(columns["action"])[0], step, [tf.constant(0)])

    store = tf.function(add, input_signature=[signature], autograph=False)
    for episode in episodes:
        store({name: tf.constant(column) for name, column in episode.transitions().items()})


def _check_stacks(frames: FrameStorage, episode: DemoEpisode, positions: np.ndarray, name: str) -> None:
    """Rebuilding gives the same states, or they are no stacks of frames."""
    for begin in range(0, len(positions), 256):
        batch = frames.gather(tf.constant(positions[begin : begin + 256]))
        states = batch["state"].numpy()
        if not np.array_equal(states, episode.observations[begin : begin + len(states)]):
            break
    else:
        if np.array_equal(batch["next_state"][-1], episode.observations[-1]):
            return
    raise ValueError(
        f"{name}: the observations are no stacks of the newest frames, the first one of an episode repeated; use a memory "
        "without frame_stack, or record them in the environment that stacks the frames."
    )


def _known(name: str, specs: Mapping[str, tf.TensorSpec]) -> bool:
    return name in specs or name == "truncated"


def _like(mask: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
    """A mask `[B]` as `[B, 1, ...]`, of the column's rank."""
    return tf.reshape(mask, [-1, *[1] * (column.shape.rank - 1)])
