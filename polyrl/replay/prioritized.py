"""`PrioritizedReplay`: transitions with a large TD error are sampled more often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from polyrl.demos import Demonstrations
from polyrl.replay.base import HINTS, Replay
from polyrl.replay.checking import checked_index
from polyrl.replay.mixed import MixedStorage
from polyrl.replay.storage import Written
from polyrl.replay.sum_tree import SumTree
from polyrl.validation import check_float, check_int, explains

DEMO_EPSILON = 1.0

CHUNK = 1_000
"""Number of demonstrations whose first priorities are set at once."""


@explains(HINTS)
class PrioritizedReplay(Replay):
    """Samples in proportion to `priority^alpha` (Schaul et al. 2016, the proportional variant).

    A batch also holds `weights` float32 `[B]`, the importance-sampling weights, and `index` int32 `[B]`, the argument of
    `update_priorities`. New transitions get the largest priority seen so far, initially 1.

    Args:
        size: capacity, in transitions.
        batch_size: number of transitions in a batch.
        n_step: number of steps in an n-step transition, see `Replay`.
        frame_stack: number of frames that a state stacks, see `Replay`.
        alpha: exponent of the priorities, in [0, 1]; 0 samples uniformly.
        beta: exponent of the importance-sampling weights at the first update, in [0, 1].
        beta_steps: gradient updates (`global_step`) over which beta grows linearly to 1; usually those of a whole run.
        epsilon: added to each priority, so that none is zero.
        demonstrations: episodes that are kept permanently, see `Replay`.
        demo_epsilon: added to the priorities of demonstrations instead of `epsilon`, so that they are sampled more often
            (Hester et al. 2018 use 1.0, and 0.001 for the agent's own).
    """

    PRIORITIZED: ClassVar[bool] = True
    FURTHER_ARGUMENTS: ClassVar[tuple[str, ...]] = ("alpha", "beta", "beta_steps", "epsilon", "demo_epsilon")

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
        # A smaller epsilon could round the leaf of a stored row to zero in float32.
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
                # In chunks: an update of the tree compares all of its rows with each other.
                for start in range(0, len(self._demo_positions), CHUNK):
                    positions = tf.constant(self._demo_positions[start : start + CHUNK], tf.int32)
                    self._tree.update(positions, tf.ones(positions.shape))

    def draw(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        return self._drawn(seed, self.batch_size, step)

    def _drawn(self, seed: tf.Tensor, count: int, step: tf.Tensor | int) -> dict[str, tf.Tensor]:
        """Positions `index` int32 `[count]` by their priorities, and their `weights`; other arguments as of `draw`."""
        assert self.storage.capacity  # An error before `build`.
        index, value = self._tree.sample(seed, count)
        value = tf.where(value > 0.0, value, 1.0)  # In an empty tree they are all 0.
        # (N P(i))^-beta, divided by the largest in the batch; N and the sum of all values cancel out.
        weights = tf.pow(tf.reduce_min(value) / value, self.beta_at(step))
        return {"index": index, "weights": weights}

    def read(self, drawn: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**super().read(drawn), **drawn}

    @property
    def drawn_specs(self) -> dict[str, tf.TensorSpec]:
        return {**super().drawn_specs, "weights": tf.TensorSpec([self.batch_size], tf.float32)}

    def update_priorities(self, index: tf.Tensor, priorities: tf.Tensor) -> None:
        """Sets the priorities `[B]` (their absolute values) of the sampled rows `index` `[B]`.

        A row that occurs several times gets the largest of its priorities. Rows that can no longer be sampled stay at zero,
        and a row whose new priority is not finite keeps its old one.
        """
        index = checked_index(index, self.storage.capacity)
        priorities = tf.convert_to_tensor(priorities)
        if not priorities.shape.is_compatible_with(index.shape):
            raise ValueError(f"priorities has shape {tuple(priorities.shape)}; expected that of index, {tuple(index.shape)}.")
        epsilon: tf.Tensor | float = self.epsilon
        if isinstance(self.storage, MixedStorage):
            epsilon = tf.where(self.storage.is_demo(index), self.demo_epsilon, self.epsilon)
        priorities = tf.abs(tf.cast(priorities, tf.float32)) + epsilon
        present = self._tree.get(index)
        taken = (present > 0.0) & tf.math.is_finite(priorities)
        self._tree.update(index, tf.where(taken, tf.pow(priorities, self.alpha), present))
        self.max_priority.assign(tf.maximum(self.max_priority, tf.reduce_max(tf.where(taken, priorities, 0.0))))

    def mass(self) -> tf.Tensor:
        return self._tree.total()

    def beta_at(self, step: tf.Tensor | int) -> tf.Tensor:
        """Beta after `step` updates, a float32 scalar."""
        progress = tf.minimum(tf.cast(step, tf.float32) / self.beta_steps, 1.0)
        return self.beta + (1.0 - self.beta) * progress

    def _after_add(self, written: Written) -> None:
        new = tf.fill(written.new.shape, tf.pow(self.max_priority, self.alpha))
        values = tf.concat([new, tf.zeros(written.invalid.shape)], axis=0)
        self._tree.set(tf.concat([written.new, written.invalid], axis=0), values)

    _tree: SumTree
