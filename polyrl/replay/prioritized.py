"""`PrioritizedReplay`: transitions that surprised the model are sampled more often."""

from __future__ import annotations

from collections.abc import Mapping

from polyrl.replay.base import Replay
from polyrl.replay.storage import Written
from polyrl.replay.sum_tree import SumTree
from polyrl.validation import check_float, check_int

import tensorflow as tf


class PrioritizedReplay(Replay):
    """Samples in proportion to `priority^alpha` (Schaul et al. 2016, the proportional variant).

    A batch also holds `weights` float32 `[B]`, the importance weights, and `index` int32 `[B]`, for `update_priorities`. New
    transitions get the largest priority there has been, at first 1.

    Args:
        size: capacity, in transitions.
        batch_size: rows of a sample.
        n_step: steps of a transition, see `Replay`.
        frame_stack: frames that a state stacks, see `Replay`.
        alpha: how much priorities count, in [0, 1]; 0 samples uniformly.
        beta: how far the weights make up for it at the first update, in [0, 1].
        beta_steps: updates (`global_step`) over which beta grows linearly to 1; best all those of a run.
        epsilon: added to each priority, so that none is zero.
    """

    def __init__(
        self,
        size: int = 50_000,
        batch_size: int = 64,
        *,
        n_step: int = 1,
        frame_stack: int | None = None,
        alpha: float = 0.6,
        beta: float = 0.4,
        beta_steps: int = 100_000,
        epsilon: float = 1e-6,
    ):
        super().__init__(size, batch_size, n_step=n_step, frame_stack=frame_stack)
        self.alpha = check_float("alpha", alpha, 0.0, 1.0)
        self.beta = check_float("beta", beta, 0.0, 1.0)
        self.beta_steps = check_int("beta_steps", beta_steps, minimum=1)
        # Below, a float32 could round the leaf of a live row to zero.
        self.epsilon = check_float("epsilon", epsilon, 1e-30)

    def build(self, specs: Mapping[str, tf.TensorSpec], num_envs: int = 1) -> None:
        new = not self._specs
        super().build(specs, num_envs)
        if new:
            self._tree = SumTree(self._storage.capacity)
            self.max_priority = tf.Variable(1.0, trainable=False, name="max_priority")

    def sample(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        index, value = self._tree.sample(seed, self.batch_size)
        # (N P(i))^-beta over the largest of the batch; N and the sum of all values cancel out.
        weights = tf.pow(tf.reduce_min(value) / value, self.beta_at(step))
        return {**self._storage.gather(tf.cast(index, tf.int64)), "weights": weights, "index": index}

    def update_priorities(self, index: tf.Tensor, priorities: tf.Tensor) -> None:
        """Gives the rows at `index` `[B]`, as sampled, new priorities `[B]`, of which the magnitude counts.

        A row that is there several times gets the largest. Rows that are gone meanwhile stay so, and one whose new priority
        is not finite keeps its old one.
        """
        priorities = tf.abs(tf.cast(priorities, tf.float32)) + self.epsilon
        present = self._tree.get(index)
        taken = (present > 0.0) & tf.math.is_finite(priorities)
        self._tree.update(index, tf.where(taken, tf.pow(priorities, self.alpha), present))
        self.max_priority.assign(tf.maximum(self.max_priority, tf.reduce_max(tf.where(taken, priorities, 0.0))))

    def beta_at(self, step: tf.Tensor | int) -> tf.Tensor:
        """Beta after `step` updates, a float32 scalar."""
        progress = tf.minimum(tf.cast(step, tf.float32) / self.beta_steps, 1.0)
        return self.beta + (1.0 - self.beta) * progress

    def _note(self, written: Written) -> None:
        new = tf.fill(written.fresh.shape, tf.pow(self.max_priority, self.alpha))
        values = tf.concat([new, tf.zeros(written.dead.shape)], axis=0)
        self._tree.update(tf.concat([written.fresh, written.dead], axis=0), values)

    _tree: SumTree
