"""Shards write what they hold into a checkpoint of the run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyrl.distributed.cluster import Cluster
from polyrl.distributed.local_cluster import LocalCluster
from polyrl.distributed.remote_errors import first_line
from polyrl.distributed.wire import unpack
from polyrl.errors import CheckpointWriteError, UnansweredError

ANSWERED_WITHIN = 60.0
"""Seconds within which the shards have to answer before they write: one that is stopped or cut off would hold up the run."""


class ShardDiedError(RuntimeError):
    """A shard was to write, and has died.

    Attributes:
        shard: its number.
    """

    def __init__(self, shard: int):
        super().__init__(f"Shard {shard} died")
        self.shard = shard


def save_shards(cluster: Cluster | LocalCluster, shards: Sequence[Any], directory: Path) -> list[dict[str, Any]]:
    """Has each shard write its memories below a directory; what each says of itself.

    Raises:
        UnansweredError: if one of them does not answer.
        CheckpointWriteError: if one cannot write.
        ShardDiedError: if one has died.
    """
    until = time.monotonic() + ANSWERED_WITHIN
    for index, call in enumerate([shard.status.remote() for shard in shards]):
        if not cluster.wait_for(call, max(until - time.monotonic(), 0.0)):
            raise UnansweredError(f"Replay shard {index} has not answered for {ANSWERED_WITHIN:g} seconds")
    statuses = []
    for index, call in enumerate([shard.save.remote(str(directory)) for shard in shards]):
        try:
            statuses.append(unpack(cluster.get(call))[1])
        except cluster.DIED as error:
            raise ShardDiedError(index) from error
        except OSError as error:
            raise CheckpointWriteError(f"Replay shard {index} could not write to {directory}: {first_line(error)}") from error
    return statuses
