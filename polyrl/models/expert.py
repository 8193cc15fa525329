"""`ExpertLoss`: the supervised term of learning from demonstrations (DQfD, Hester et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from polyrl import ops
from polyrl.models.records import Batch
from polyrl.validation import check_float

MARGIN = 0.8
"""The paper's margin, for action values of its log-scaled rewards."""

WEIGHT = 1.0
"""The paper's weight of the term, lambda_2."""


class ExpertLoss(NamedTuple):
    """`weight * expert * J_E`, with `J_E` of `ops.large_margin_loss`: nothing on rows that are not demonstrations."""

    margin: float
    weight: float

    @classmethod
    def checked(cls, use_expert_demo: bool, margin: float, weight: float) -> ExpertLoss | None:
        """The term, or None without demonstrations.

        Raises:
            ValueError: for a margin or a weight that are negative, or that nothing would use.
        """
        margin = check_float("expert_margin", margin, 0.0)
        weight = check_float("expert_weight", weight, 0.0)
        if use_expert_demo:
            return cls(margin, weight)
        for name, value, default in (("expert_margin", margin, MARGIN), ("expert_weight", weight, WEIGHT)):
            if value != default:
                raise ValueError(f"{name}={value} has no effect without use_expert_demo=True; set that, or leave it out.")
        return None

    def check_labels(self, labels: Mapping[str, tf.Tensor]) -> None:
        """Raises a KeyError if the labels do not say which rows are demonstrations."""
        if "expert" not in labels:
            raise KeyError(
                "labels must contain 'expert' with use_expert_demo=True: float32 [B], 1 for rows that are demonstrations, "
                "else 0. A replay memory adds it that has demonstrations, as UniformReplay(demonstrations="
                "polyrl.demos.load('demos.npz')); without any, leave use_expert_demo False. "
                f"They have {sorted(labels)}."
            )

    def __call__(self, q: tf.Tensor, batch: Batch) -> tf.Tensor:
        """The term for each row, `[B]`, of the online values `q` `[B, A]`; zero for a batch that does not tell experts.

        Illegal actions have the lowest float32 as their value, so they never count as the best other action.
        """
        expert = tf.zeros_like(q[:, 0]) if batch.expert is None else batch.expert
        return self.weight * expert * ops.large_margin_loss(q, batch.action, self.margin)

    def mean(self, q: tf.Tensor, batch: Batch) -> tf.Tensor:
        """The mean of the term over the demonstrations of a batch, a scalar; zero if there are none."""
        experts = tf.zeros_like(q[:, 0]) if batch.expert is None else batch.expert
        return tf.reduce_sum(self(q, batch)) / tf.maximum(tf.reduce_sum(experts), 1.0)
