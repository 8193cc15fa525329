"""What the tests of the memories share: environments whose states identify themselves, and a naive memory of their steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

COMPILATIONS = {
    "eager": lambda function: function,
    "function": lambda function: tf.function(function, autograph=False),
    "xla": lambda function: tf.function(function, autograph=False, jit_compile=True),
}


class World:
    """`N` environments whose episodes end at random; keeps the history of each environment.

    A state is the vector (environment, time, episode, step of the episode): no two are equal.
    """

    def __init__(self, seed: int, num_envs: int, end: float = 0.15):
        self.rng = np.random.default_rng(seed)
        self.num_envs, self.end = num_envs, end
        self.histories: list[list[dict[str, Any]]] = [[] for _ in range(num_envs)]
        self._at = [(0, 0)] * num_envs

    def state(self, env: int, time: int, episode: int, step: int) -> np.ndarray:
        return np.array([env, time, episode, step], np.float32)

    def step(self) -> dict[str, tf.Tensor]:
        """One step of all environments, in the format of `Replay.add`."""
        rows = [self._step(env) for env in range(self.num_envs)]
        for history, row in zip(self.histories, rows, strict=True):
            history.append(row)
        return {key: tf.constant(np.stack([row[key] for row in rows])) for key in rows[0]}

    def start_episodes(self) -> None:
        """All environments start new episodes; in the naive memory the previous steps were truncated."""
        for env, history in enumerate(self.histories):
            if history:
                history[-1] = {**history[-1], "truncated": np.float32(1.0)}
            self._at[env] = (self._at[env][0] + 1, 0)

    def specs(self) -> dict[str, tf.TensorSpec]:
        vector, scalar = tf.TensorSpec(self.state(0, 0, 0, 0).shape, self.state(0, 0, 0, 0).dtype), tf.TensorSpec([])
        action = tf.TensorSpec([], tf.int32)
        columns = {"reward": scalar, "done": scalar, "truncated": scalar}
        return {"state": vector, "action": action, **columns, "next_state": vector}

    def naive_window(self, env: int, time: int, n: int) -> list[dict[str, Any]]:
        """The steps that count in a window starting at `time`, up to the newest step."""
        window = []
        for row in self.histories[env][time : time + n]:
            window.append(row)
            if row["done"] or row["truncated"]:
                break
        return window

    def _step(self, env: int) -> dict[str, Any]:
        episode, step = self._at[env]
        time = len(self.histories[env])
        done, truncated = self.rng.random(2) < self.end
        self._at[env] = (episode + 1, 0) if done or truncated else (episode, step + 1)
        return {
            "state": self.state(env, time, episode, step),
            "action": np.int32(self.rng.integers(2**31)),
            "reward": np.float32(self.rng.normal()),
            "done": np.float32(done),
            "truncated": np.float32(truncated),
            "next_state": self.state(env, time + 1, episode, step + 1),
        }


def check_batch(world: World, batch: dict[str, np.ndarray], n: int, places: list[tuple[int, int]]) -> None:
    """Every row of a batch equals, bit for bit, the history of the world at `places` (environment, time)."""
    for row, (env, time) in enumerate(places):
        window = world.naive_window(env, time, n)
        first, last = window[0], window[-1]
        np.testing.assert_array_equal(batch["state"][row], first["state"])
        np.testing.assert_array_equal(batch["action"][row], first["action"])
        np.testing.assert_array_equal(batch["next_state"][row], last["next_state"])
        if n == 1:
            assert batch["reward"][row] == first["reward"]
            assert batch["done"][row] == first["done"]
            continue
        steps = len(window)
        assert [step["reward"] for step in window] == batch["reward"][row][:steps].tolist()
        assert [step["done"] for step in window] == batch["done"][row][:steps].tolist()
        ended = (batch["done"][row] + batch["truncated"][row]) > 0
        # The window ends with the episode, at the newest step, or after n steps.
        assert not ended[: steps - 1].any()
        assert ended[steps - 1] or steps == n
        assert batch["truncated"][row][steps - 1] or not last["truncated"]


def arrays(batch: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in batch.items()}


def seed(number: int) -> tf.Tensor:
    return tf.constant([number, 7], tf.int32)
