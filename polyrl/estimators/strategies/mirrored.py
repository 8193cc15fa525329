"""`Mirrored`: the devices of this process compute an update together."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from polyrl.engine.replicas import Replica
from polyrl.estimators.strategies.learnt import Columns, Compute, Learnt, learn_share, share_of


class Mirrored:
    """All GPUs of this process; without any, its logical CPUs: `tf.distribute.MirroredStrategy`.

    The variables stay plain ones, on one device, from which the others read; the gradients' means are applied there once.
    """

    def __init__(self) -> None:
        found = [device.name for kind in ("GPU", "CPU") for device in tf.config.list_logical_devices(kind)]
        gpus = [name for name in found if "GPU" in name]
        self._strategy = tf.distribute.MirroredStrategy(gpus or found)
        self.count = self._strategy.num_replicas_in_sync
        self.described = f"{self.count} {'GPUs' if gpus else 'CPU devices'} of this process"

    def learn(self, compute: Compute, features: Columns, labels: Columns, timestep: tf.Variable) -> Learnt:
        """See `Strategy.learn`."""
        found: list[Learnt] = []

        @tf.autograph.experimental.do_not_convert
        def of_replica() -> tf.Tensor:
            context = tf.distribute.get_replica_context()

            def add(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
                return list(context.all_reduce(tf.distribute.ReduceOp.SUM, list(tensors)))

            replica = Replica(context.replica_id_in_sync_group, self.count, add)
            found.append(learn_share(replica, compute, *share_of(replica, features, labels)))
            return found[-1].loss

        self._strategy.run(of_replica)
        return found[0]
