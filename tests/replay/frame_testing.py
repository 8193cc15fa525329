"""What the tests of frame stacks share: a world whose frames say where they come from, and a naive memory of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from replay_testing import World, arrays, check_batch, seed

from polyrl.replay import PrioritizedReplay, Replay, UniformReplay

MEMORIES = {"uniform": UniformReplay, "prioritized": PrioritizedReplay}


def specs_of(state: tf.TensorSpec) -> dict[str, tf.TensorSpec]:
    scalar = tf.TensorSpec([], tf.float32)
    return {"state": state, "action": tf.TensorSpec([], tf.int32), "reward": scalar, "done": scalar, "next_state": state}


class FrameWorld(World):
    """A world whose frames `[2, 3]` say where they are; also keeps the rows that a naive memory would hold."""

    def __init__(self, seed: int, num_envs: int, stack: int, end: float = 0.15, dtype: Any = np.uint8):
        super().__init__(seed, num_envs, end)
        self.stack, self.dtype = stack, dtype
        # For each environment one entry per row: time and age of the transition that starts there, or None.
        self.rows: list[list[tuple[int, int] | None]] = [[] for _ in range(num_envs)]

    def frame(self, env: int, episode: int, step: int) -> np.ndarray:
        noise = (31 * env + 17 * episode + 7 * step) % 251
        return np.array([[env, episode // 250, episode % 250], [step // 250, step % 250, noise]], self.dtype)

    def state(self, env: int, time: int, episode: int, step: int) -> np.ndarray:
        return np.stack([self.frame(env, episode, max(step - back, 0)) for back in reversed(range(self.stack))], axis=-1)

    def start_episodes(self) -> None:
        for env, history in enumerate(self.histories):
            if history and not history[-1]["done"] and not history[-1]["truncated"]:
                self.rows[env].append(None)
        super().start_episodes()

    def _step(self, env: int) -> dict[str, Any]:
        _, age = self._at[env]
        row = super()._step(env)
        self.rows[env].append((len(self.histories[env]), age))
        if row["done"] or row["truncated"]:
            self.rows[env].append(None)
        return row

    def places(self, batch: dict[str, np.ndarray]) -> list[tuple[int, int]]:
        """Environment and time of each row of a batch, found by its newest frame."""
        times = {(env, *self._key(r)): t for env in range(self.num_envs) for t, r in enumerate(self.histories[env])}
        return [(int(s[0, 0, -1]), times[(int(s[0, 0, -1]), *self._key({"state": s}))]) for s in batch["state"]]

    def _key(self, row: dict[str, Any]) -> tuple[float, ...]:
        return tuple(row["state"][..., -1].ravel().tolist())

    def positions(self, ring: int) -> dict[int, tuple[int, int]]:
        """Positions of the transitions whose frames are all stored, with their environment and time."""
        found = {}
        for env, rows in enumerate(self.rows):
            # The newest observation has a row as well, at which no transition starts.
            newest = len(rows) - 1 if not rows or rows[-1] is None else len(rows)
            for number, row in enumerate(rows):
                if row is not None and number - min(row[1], self.stack - 1) > newest - ring:
                    found[env * ring + number % ring] = (env, row[0])
        return found


def built(kind: str = "uniform", size: int = 60, num_envs: int = 2, stack: int = 4, batch_size: int = 12, **arguments: Any):
    world = FrameWorld(arguments.pop("seed", 0), num_envs, stack, arguments.pop("end", 0.15), arguments.pop("dtype", np.uint8))
    memory = MEMORIES[kind](size, batch_size, frame_stack=stack, **arguments)
    memory.build(world.specs(), num_envs)
    return world, memory


def check(world: FrameWorld, memory: Replay, number: int, n: int = 1, sample: Any = None) -> dict[str, np.ndarray]:
    """The valid rows are those of a naive memory, and a batch holds what happened there."""
    expected = world.positions(memory.size // world.num_envs)
    reach = memory.columns["reach"].numpy()
    assert np.flatnonzero(reach).tolist() == sorted(expected)
    assert int(memory.stored().numpy()) == len(expected)
    if isinstance(memory, PrioritizedReplay):
        leaves = memory._tree.get(tf.range(len(reach))).numpy()
        np.testing.assert_array_equal(leaves > 0, reach > 0)
    batch = arrays((sample or memory.sample)(seed(number)))
    places = world.places(batch)
    assert set(places) <= set(expected.values())
    check_batch(world, batch, n, places)
    if "index" in batch:
        assert [expected[index] for index in batch["index"].tolist()] == places
    return batch
