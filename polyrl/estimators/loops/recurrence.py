"""`Recurrence`: what a recurrent network remembers of the episodes that a training run is in."""

from __future__ import annotations

import tensorflow as tf

from polyrl.models.features import NETWORK_STATE
from polyrl.models.scope import Scope
from polyrl.networks import Recurrent
from polyrl.replay import Replay


class Recurrence(tf.Module):
    """Of `N` environments, float32 `[N, H]` each. A checkpoint holds it where environments continue in mid-episode.

    Attributes:
        before: before the state that was acted in last; 0 where it was the first of an episode.
        after: after it.
    """

    def __init__(self, shape: tf.TensorShape):
        super().__init__(name="recurrence")
        self.before = tf.Variable(tf.zeros(shape), trainable=False, name="before")
        self.after = tf.Variable(tf.zeros(shape), trainable=False, name="after")

    def move_on(self, is_first: tf.Tensor, network_state: tf.Tensor) -> None:
        """Notes what the network remembers after another state; `is_first` bool `[N]`."""
        before = self.after.read_value()
        self.before.assign(tf.where(is_first[:, tf.newaxis], tf.zeros_like(before), before))
        self.after.assign(network_state)


def check_memory(memory: Replay) -> None:
    """A ValueError for a memory that a recurrent model cannot learn from."""
    if not memory.SEQUENCES:
        raise ValueError(
            f"The model's network is recurrent, and a {type(memory).__name__} gives single transitions; use "
            "SequenceReplay(size, batch_size, sequence_length=...)."
        )


def check_no_recurrent_layers(scope: Scope) -> None:
    """A ValueError if a network remembers something that acting does not hand on: it would know nothing of earlier states."""
    if any(isinstance(module, Recurrent) for module in scope.submodules):
        raise ValueError(
            f"A network of model_fn is recurrent, and predictions in mode 'train' without labels have no {NETWORK_STATE!r}: "
            "nothing would be remembered. Return what the model gives there."
        )
