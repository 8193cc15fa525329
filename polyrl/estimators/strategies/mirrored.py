"""`Mirrored`: the devices of this process compute an update together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from polyrl.engine.replicas import Replica
from polyrl.estimators.strategies.learnt import Columns, Compute, Learnt, learn_share, share_of


@functools.cache
def devices() -> tf.distribute.MirroredStrategy:
    """All GPUs, or the logical CPUs; one strategy for all of this process, as it numbers what devices send each other."""
    names = [device.name for device in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")]
    return tf.distribute.MirroredStrategy(names)


class Mirrored:
    """All GPUs of this process; without any, its logical CPUs: `tf.distribute.MirroredStrategy`.

    The variables stay plain ones, on one device, from which the others read; the gradients' means are applied there once.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._strategy = devices()
        self.count = self._strategy.num_replicas_in_sync
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU device"
        self.described = f"{self.count} {kind}s of this process" if self.count > 1 else f"the only {kind} of this process"

    def learn(self, compute: Compute, features: Columns, labels: Columns, timestep: tf.Variable) -> Learnt:
        """See `Strategy.learn`."""
        found: list[Learnt] = []

        @tf.autograph.experimental.do_not_convert
        def of_replica() -> tf.Tensor:
            context = tf.distribute.get_replica_context()

            def add(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
                return [context.all_reduce(tf.distribute.ReduceOp.SUM, tensor) for tensor in tensors]

            replica = Replica(context.replica_id_in_sync_group, self.count, add)
            found.append(learn_share(replica, compute, *share_of(replica, features, labels)))
            return found[-1].loss

        self._strategy.run(of_replica)
        return found[0]
