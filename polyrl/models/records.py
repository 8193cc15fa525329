"""The records that a Q model's steps pass on: the transitions of a batch, and what the networks give for them."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from polyrl.models.q_network import QModelSpec
from polyrl.models.sequences import Steps


class Batch(NamedTuple):
    """`B` transitions to learn from.

    `inputs` and `next_inputs` are what the networks are given of the states, `[B, ...]` or dicts; `action` int32 `[B]`, or
    float32 `[B, k]`; `reward` float32 `[B]`, of all steps that the transition covers; `discount` float32 `[B]`, the factor on
    the value of the next state, 0 where the episode terminated. These may be None: `mask` and `next_mask` bool `[B, A]`, the
    legal actions; `weights` float32 `[B]`, of the rows in the mean loss; `expert` float32 `[B]`, 1 for demonstrations;
    `steps`, how the rows follow each other, if they are of sequences; `covered` int32 `[B]`, the steps that each transition
    covers, if that may be more than one.
    """

    inputs: Any
    action: tf.Tensor
    reward: tf.Tensor
    discount: tf.Tensor
    next_inputs: Any
    mask: tf.Tensor | None = None
    next_mask: tf.Tensor | None = None
    weights: tf.Tensor | None = None
    expert: tf.Tensor | None = None
    steps: Steps | None = None
    covered: tf.Tensor | None = None


class Forward(NamedTuple):
    """What the networks give for a batch: the online one for its states, both for its next states.

    `of_target` is what the target network gives for the states themselves, for models with `NEEDS_TARGET`; they read it as
    `target`. Where there are masks, the `q` of illegal actions is the lowest float32 in it, too.

    Without a target network `next_target` is `next_online`. Where there are masks, the `q` of illegal actions in the next
    states is the lowest float32.
    """

    online: QModelSpec
    next_online: QModelSpec
    next_target: QModelSpec
    double: bool = False
    of_target: QModelSpec | None = None

    @property
    def target(self) -> QModelSpec:
        """What the target network gives for the states themselves; an AttributeError for models without `NEEDS_TARGET`."""
        if self.of_target is None:
            raise AttributeError(
                "Forward.target: what the target network gives for the states themselves is computed for models that say so; "
                "set NEEDS_TARGET = True in the class."
            )
        return self.of_target

    @property
    def selector(self) -> QModelSpec:
        """The output whose `q` chooses the next action: the target network's, or with `double` the online one's."""
        return self.next_online if self.double else self.next_target
