"""`PrioritizedReplay`: transitions that surprised the model are sampled more often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from polyrl.demos import Demonstrations
from polyrl.replay.base import Replay
from polyrl.replay.mixed import MixedStorage
from polyrl.replay.storage import Written
from polyrl.replay.sum_tree import SumTree
from polyrl.validation import check_float, check_int

DEMO_EPSILON = 1.0

CHUNK = 1_000
"""Rows that get their first priorities in one go."""


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
        demonstrations: episodes that stay in the memory, see `Replay`.
        demo_epsilon: added to the priorities of demonstrations in place of `epsilon`, so that they are sampled more often
            (Hester et al. 2018, who have 1.0, and 0.001 for the others).
    """

    PRIORITIZED: ClassVar[bool] = True

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
        demonstrations: Demonstrations | None = None,
        demo_epsilon: float = DEMO_EPSILON,
    ):
        super().__init__(size, batch_size, n_step=n_step, frame_stack=frame_stack, demonstrations=demonstrations)
        self.alpha = check_float("alpha", alpha, 0.0, 1.0)
        self.beta = check_float("beta", beta, 0.0, 1.0)
        self.beta_steps = check_int("beta_steps", beta_steps, minimum=1)
        # Below, a float32 could round the leaf of a live row to zero.
        self.epsilon = check_float("epsilon", epsilon, 1e-30)
        self.demo_epsilon = check_float("demo_epsilon", demo_epsilon, 1e-30)
        if demonstrations is None and self.demo_epsilon != DEMO_EPSILON:
            raise ValueError(f"demo_epsilon={demo_epsilon} has no effect without demonstrations; give some, or leave it out.")

    def build(self, specs: Mapping[str, tf.TensorSpec], num_envs: int = 1) -> None:
        new = not self._specs
        super().build(specs, num_envs)
        if new:
            self._tree = SumTree(self._storage.capacity)
            self.max_priority = tf.Variable(1.0, trainable=False, name="max_priority")
            if self.demonstrations is not None:
                # Some at a time: an update of the tree compares all of its rows with each other.
                for begin in range(0, len(self._demo_positions), CHUNK):
                    positions = tf.constant(self._demo_positions[begin : begin + CHUNK], tf.int32)
                    self._tree.update(positions, tf.ones(positions.shape))

    def draw(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        index, value = self._tree.sample(seed, self.batch_size)
        # (N P(i))^-beta over the largest of the batch; N and the sum of all values cancel out.
        weights = tf.pow(tf.reduce_min(value) / value, self.beta_at(step))
        return {"index": index, "weights": weights}

    def read(self, drawn: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**super().read(drawn), **drawn}

    @property
    def drawn_specs(self) -> dict[str, tf.TensorSpec]:
        return {**super().drawn_specs, "weights": tf.TensorSpec([self.batch_size], tf.float32)}

    def update_priorities(self, index: tf.Tensor, priorities: tf.Tensor) -> None:
        """Gives the rows at `index` `[B]`, as sampled, new priorities `[B]`, of which the magnitude counts.

        A row that is there several times gets the largest. Rows that are gone meanwhile stay so, and one whose new priority
        is not finite keeps its old one.
        """
        epsilon: tf.Tensor | float = self.epsilon
        if isinstance(self._storage, MixedStorage):
            epsilon = tf.where(self._storage.is_demo(index), self.demo_epsilon, self.epsilon)
        priorities = tf.abs(tf.cast(priorities, tf.float32)) + epsilon
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
