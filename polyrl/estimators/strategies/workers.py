"""`Workers`: the processes of a cluster compute an update together, by `tf.distribute`'s connection between them.

The first, the chief, has the run: environments, memory, hooks, checkpoints. The others have the models alone. For each update
the chief sends each of them its share of the batch, and all compute the gradients of theirs and apply the same means.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from polyrl.engine.replicas import Replica
from polyrl.engine.tracing import traced
from polyrl.errors import CheckpointMismatchError, LostWorkerError, gist
from polyrl.estimators import tf_config
from polyrl.estimators.signals import ended_by_signals
from polyrl.estimators.strategies.collectives import Group, as_words, from_words, size_in_words
from polyrl.estimators.strategies.learnt import Columns, Compute, Learnt, learn_share, share_of
from polyrl.estimators.strategies.meeting import meet
from polyrl.estimators.threads import has_computed
from polyrl.estimators.training_result import TrainingResult

END, UPDATE, FAILED = 0, 1, 2
"""What the first word of a message says: the run has ended, here is a batch, the run has failed."""

LOST = ("Collective ops is aborted", "Socket closed", "Connection reset", "failed to connect to all addresses")
"""What TensorFlow's errors say if a process is gone."""

SAME = "Run the same program, with the same arguments and packages, in each process."

HEAD = 3
"""Words before the batch: what it is, and the environment steps."""


_connected: dict[tuple[str, ...], Group] = {}
"""By the addresses: the connection is that of the process, and is made once."""


def connected(tell: Callable[[str], None]) -> Group:
    """The processes that `TF_CONFIG` names, which find each other here; once in each process.

    Args:
        tell: shows a line.

    Raises:
        ValueError: if the variable does not name them, or this process has computed something already, or has several GPUs.
    """
    index, addresses = tf_config.learners()
    if tuple(addresses) not in _connected:
        if has_computed():
            raise ValueError(
                "strategy='multi_worker' comes too late: TensorFlow computes in this process already. Make the first Agent "
                "before anything is computed."
            )
        others = [address for place, address in enumerate(addresses) if place != index]
        tell(f"Process {index} of the cluster listens at {addresses[index]}, and waits for {', '.join(others) or 'nobody'}.")
        _connected[tuple(addresses)] = _connect(index, addresses, others, tell)
    return _connected[tuple(addresses)]


def _connect(index: int, addresses: list[str], others: list[str], tell: Callable[[str], None]) -> Group:
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": addresses}), task_type="worker", task_id=index, rpc_layer="grpc"
    )
    if len(tf.config.list_physical_devices("GPU")) > 1:
        raise ValueError(
            "strategy='multi_worker': each process computes on one GPU, and this one has several. Start a process for each of "
            "them, with CUDA_VISIBLE_DEVICES."
        )
    try:
        with ended_by_signals():
            meet(addresses[index], others, tell)
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (tf.errors.OpError, OSError) as error:
        raise ValueError(
            f"strategy='multi_worker': process {index} cannot listen at {addresses[index]}: {gist(error).rstrip('.')}. Does "
            "another process listen there?"
        ) from error
    return Group(index, len(addresses), strategy)


class Workers:
    """This process and the others that `TF_CONFIG` names; `tell` shows a line.

    Attributes:
        count: how many there are.
        index: of this one; 0 is the chief.
        rows: in the chief, specs of the features and labels of a share.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._group = connected(tell)
        self.index, self.count = self._group.index, self._group.count
        self.described = f"{self.count} processes, this is {'the chief' if self.leads else f'worker {self.index}'}"
        self._first, self._width = 0, HEAD
        self.rows: tuple[dict[str, tf.TensorSpec], ...] = ()

    @property
    def leads(self) -> bool:
        """Whether this process is the chief."""
        return self.index == 0

    def learn(self, compute: Compute, features: Columns, labels: Columns, timestep: tf.Variable) -> Learnt:
        """See `Strategy.learn`; in the chief."""
        replicas = [Replica(index, self.count, self._group.sum) for index in range(self.count)]
        shares = [share_of(replica, features, labels) for replica in replicas]
        head = tf.concat([[UPDATE], tf.bitcast(timestep.read_value(), tf.int32)], 0)
        others = [tf.concat([head, *map(as_words, tf.nest.flatten(share))], 0) for share in shares[1:]]
        own = tf.zeros([HEAD + sum(size_in_words(column) for column in tf.nest.flatten(shares[0]))], tf.int32)
        words = tf.stack([own, *others])  # Its own it has.
        self.rows = tuple({name: tf.TensorSpec(v.shape, v.dtype) for name, v in part.items()} for part in shares[0])
        # Operations of one number have one shape: another batch has others.
        self._first, self._width = self._group.new_numbers(), words.shape[1]
        with self._group.numbered(self._first):
            self._group.scatter(words)
            return learn_share(replicas[0], compute, *shares[0])

    @contextlib.contextmanager
    def leading(self, about: dict[str, Any], variables: list[tf.Variable]) -> Iterator[Callable[[TrainingResult], None]]:
        """In the chief: the others take part in what is learned in the `with` block, from these values of the variables.

        It gives a function that says how the run has ended.

        Raises:
            CheckpointMismatchError: if another process would learn something else.
            LostWorkerError: if another process is gone.
        """
        result: list[TrainingResult] = []
        with _lost_named():
            self._group.broadcast(json.dumps({**about, "first": self._first}).encode())
            if (refusing := self._group.refusing(False)) > 0:
                raise CheckpointMismatchError(
                    f"{refusing} of the other processes of the cluster cannot learn what this one learns; each says what "
                    f"differs. {SAME}"
                )
            for variable in variables:
                self._group.broadcast(variable.numpy().tobytes())
            try:
                yield result.append
            except BaseException as error:
                # After an error of TensorFlow's the others may be in the middle of an update: they notice when this one ends.
                if not isinstance(error, (LostWorkerError, tf.errors.OpError)):
                    self._say(FAILED)
                    self._group.broadcast(f"{type(error).__name__}: {error}".encode())
                raise
            self._say(END)
            self._group.broadcast(json.dumps(dataclasses.asdict(result[0]), default=str).encode())

    def answer(self, takes_part: bool) -> None:
        """In another process: tells the chief, after `about`, whether this one takes part; all do, or none."""
        with _lost_named():
            refusing = self._group.refusing(not takes_part)
        if takes_part and refusing:
            raise CheckpointMismatchError(
                f"{refusing} of the other processes of the cluster cannot learn what the chief learns."
            )

    def about(self) -> dict[str, Any]:
        """In another process: what the chief says of the run, once it begins."""
        with _lost_named():
            about = dict(json.loads(self._group.broadcast(None)))
        self._first = about["first"]
        return about

    def follow(
        self, compute: Compute, rows: tuple[dict[str, tf.TensorSpec], ...], variables: list[tf.Variable], timestep: tf.Variable
    ) -> TrainingResult:
        """In another process: takes part in the chief's updates until its run ends; how that was.

        Args:
            compute: what this process finds in its share.
            rows: specs of the features and labels of its share.
            variables: in the chief's order; they take its values.
            timestep: the scope's `global_timestep`.

        Raises:
            LostWorkerError: if the chief or another process is gone.
            RuntimeError: if the run has failed.
        """
        specs = tf.nest.flatten(rows)
        sizes = [HEAD, *map(size_in_words, specs)]

        def update(words: tf.Tensor) -> list[tf.Tensor]:
            head, *columns = tf.split(words, sizes)
            timestep.assign(tf.bitcast(head[1:], tf.int64))
            batch = [from_words(column, spec) for column, spec in zip(columns, specs, strict=True)]
            with self._group.numbered(self._first + 1):
                replica = Replica(self.index, self.count, self._group.sum)
                learn_share(replica, compute, *tf.nest.pack_sequence_as(rows, batch)).train_op()
            return []

        with _lost_named():
            for variable in variables:
                data = self._group.broadcast(None)
                variable.assign(tf.reshape(tf.io.decode_raw(data, variable.dtype), variable.shape))
            learn = traced(update, input_signature=[tf.TensorSpec([sum(sizes)], tf.int32)])
            nothing = tf.zeros([self.count, sum(sizes)], tf.int32)
            while True:
                with self._group.numbered(self._first):
                    words = self._group.scatter(nothing)
                kind = int(words[0].numpy())
                if kind != UPDATE:
                    break
                learn(words)
            said = self._group.broadcast(None)
        if kind == FAILED:
            raise RuntimeError(f"The chief's run has failed: {said.decode()}")
        fields = json.loads(said)
        return TrainingResult(**{**fields, "checkpoint": Path(fields["checkpoint"])})

    def _say(self, kind: int) -> None:
        """Has the others, which wait for a batch, end."""
        with self._group.numbered(self._first):
            word = tf.fill([self.count, 1], kind)
            self._group.scatter(tf.concat([word, tf.zeros([self.count, self._width - 1], tf.int32)], 1))


@contextlib.contextmanager
def _lost_named() -> Iterator[None]:
    """TensorFlow's error for a process that is gone becomes a `LostWorkerError`."""
    try:
        yield
    except tf.errors.OpError as error:
        if not _is_of_the_group(error):
            raise
        raise LostWorkerError(
            "Another process of the cluster is gone, or does something else, so that no update can be computed. Start all of "
            f"them again by the same commands: the run resumes from its newest checkpoint. TensorFlow says: {_reason(error)}"
        ) from error


def _is_of_the_group(error: BaseException) -> bool:
    """Whether an error is one of the connection between processes."""
    return isinstance(error, LostWorkerError) or (
        isinstance(error, tf.errors.OpError) and any(words in str(error) for words in LOST)
    )


def _reason(error: BaseException) -> str:
    """The line of TensorFlow's that says it."""
    lines = [line for line in str(error).splitlines() if any(words in line for words in LOST)]
    return re.sub(r"\{\{.*?\}\}\s*", "", lines[0]).strip() if lines else gist(error)
