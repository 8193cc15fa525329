"""`RolloutMemory`: the newest steps of all environments, each learned from some times and then forgotten."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from polyrl.replay.base import HINTS, Replay
from polyrl.replay.sequences import SequenceStorage
from polyrl.replay.storage import Storage
from polyrl.validation import explains


@explains(HINTS)
class RolloutMemory(Replay):
    """Holds one rollout: `size / num_envs` consecutive steps of each environment, for models that learn on-policy.

    A batch has whole sequences, those of `batch_size * num_envs / size` environments; in `size / batch_size` consecutive
    updates each environment occurs once, in an order that is drawn anew each time. So with `update_frequency=size` and
    `updates_at_once=epochs * size / batch_size` each rollout is gone through `epochs` times (Schulman et al. 2017).

    Args:
        size: transitions of a rollout, of all environments together.
        batch_size: transitions in a batch; divides `size`.
    """

    def __init__(self, size: int = 1_024, batch_size: int = 256):
        super().__init__(size, batch_size)
        if self.size % self.batch_size:
            raise ValueError(f"batch_size={batch_size} must divide size={size}: a rollout is divided into batches.")
        self._batches = self.size // self.batch_size

    def draw(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        """The steps of the environments of a batch, one environment after the other: `index` int32 `[B]`; see `Replay.draw`.

        `step` says which batch of the rollout it is, and so each of them has its turn.
        """
        step = tf.cast(step, tf.int64)
        epoch, batch = step // self._batches, tf.cast(step % self._batches, tf.int32)
        # By the epoch, not the step: all batches of an epoch have one order.
        seeds = tf.stack([tf.cast(seed[0], tf.int64), epoch])
        drawn = tf.random.stateless_uniform([self.num_envs], seeds, None, None, tf.int32, alg="philox")
        order = tf.argsort(drawn)
        chosen = tf.gather(order, batch * self._sequences + tf.range(self._sequences))  # [S]
        oldest = tf.maximum(self.inserted.read_value() - self.size, 0)
        steps = tf.range(self.size // self.num_envs) * self.num_envs  # [T]
        numbers = oldest + tf.cast(chosen[:, tf.newaxis] + steps, tf.int64)  # [S, T]
        return {"index": tf.cast(tf.reshape(numbers, [-1]) % self.size, tf.int32)}

    def read(self, drawn: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The sequences: each column `[S, T, ...]`, see `SequenceStorage.gather`."""
        first = drawn["index"][:: self.size // self.num_envs]  # [S]
        return super().read({"index": first})

    @property
    def in_lockstep(self) -> bool:
        return True

    @property
    def _sequences(self) -> int:
        """Environments in a batch, `S`."""
        return self.num_envs // self._batches

    def _build_storage(self, specs: Mapping[str, tf.TensorSpec], num_envs: int) -> Storage:
        if self.size % num_envs or num_envs % self._batches:
            raise ValueError(
                f"size={self.size} must be a multiple of num_envs={num_envs}, and num_envs of size / batch_size="
                f"{self._batches}: a batch has the whole rollout of some environments."
            )
        return SequenceStorage(specs, self.size, num_envs, self.size // num_envs)
