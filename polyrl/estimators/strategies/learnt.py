"""What a learner and a strategy have in common: rows in, a `Learnt` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from polyrl.engine.replicas import Replica, as_replica

Columns = Mapping[str, tf.Tensor]


class Learnt(NamedTuple):
    """What a model found in some rows: the `train_op` that applies it, the loss, float32 scalar, and the rows' priorities,
    float32 `[B]`; None for a memory without."""

    train_op: Callable[[], Any]
    loss: tf.Tensor
    priorities: tf.Tensor | None


Compute = Callable[[Columns, Columns], Learnt]
"""From features and labels, as of a batch."""


class Strategy(Protocol):
    """How several compute an update.

    Attributes:
        count: how many there are.
        described: what they are, in words.
    """

    count: int
    described: str

    def learn(self, compute: Compute, features: Columns, labels: Columns, timestep: tf.Variable) -> Learnt:
        """What all of them find in a batch; the gradients are the means over all. It is called while a graph is traced.

        Args:
            compute: what one of them finds in its share.
            features: of the batch.
            labels: of the batch.
            timestep: the scope's `global_timestep`.
        """


def share_of(replica: Replica, features: Columns, labels: Columns) -> tuple[Columns, Columns]:
    """The replica's rows of a batch; a ValueError if they cannot be divided equally."""
    own: tuple[Columns, Columns] = tf.nest.map_structure(replica.rows, (dict(features), dict(labels)))
    return own


def learn_share(replica: Replica, compute: Compute, features: Columns, labels: Columns) -> Learnt:
    """What all replicas find, as one of them has it, that computes `share_of` the batch.

    Raises:
        ValueError: if `train_op` does not apply the mean of all replicas' gradients.
    """
    with as_replica(replica):
        learnt = compute(features, labels)
    if not replica.averaged:
        raise ValueError(
            "model_fn returned a train_op whose gradients are not averaged over the replicas, so that each would learn "
            "something else. Those of BaseModel._build_train_op are; a train_op of your own applies "
            "polyrl.engine.replicas.mean_gradients(gradients)."
        )
    values = [learnt.loss / replica.count]
    if learnt.priorities is not None:
        values.append(replica.spread(learnt.priorities))
    loss, *priorities = replica.sum(values)
    return Learnt(learnt.train_op, loss, priorities[0] if priorities else None)
