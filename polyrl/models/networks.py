"""`Networks`: the online network, which the loss trains, and the target network, which follows it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras

from polyrl import ops
from polyrl.models import features as features_of
from polyrl.models.layer_configs import differences, lambda_difference, layer_configs
from polyrl.models.q_network import QModelSpec, QNetwork
from polyrl.models.records import Batch, Forward
from polyrl.models.scope import Scope, stream_seed
from polyrl.models.sequences import after_last_steps
from polyrl.modes import Modes
from polyrl.networks import SameInEveryMode
from polyrl.networks.drawing import drawing
from polyrl.networks.unrolling import ForwardPass, Unroll, unrolling

QGraphFn = Callable[[str, Any], QModelSpec]

ALONE = Unroll()
"""Each row is the first step of an episode."""


class OnlinePass(NamedTuple):
    """What a pass of the online network gives.

    `spec`; `states`, what recurrent layers remember after each row, `[B, H]`, None without such layers; in an update also
    `moved`, non-trainable variables with the values that the pass would leave in them, and the losses of `regularisation`,
    scalars.
    """

    spec: QModelSpec
    states: tf.Tensor | None
    moved: list[tuple[Any, tf.Tensor]]
    regularisation: list[tf.Tensor]


class Periods(tf.Module):
    """How many of the target network's periods, in environment steps, had ended at the last update: `ended`, an int64."""

    def __init__(self) -> None:
        super().__init__(name="periods")
        self.ended = tf.Variable(0, dtype=tf.int64, trainable=False, name="ended")


class Networks:
    """The two networks of a Q model, found in its scope or built there at their first use.

    Args:
        scope: where they live, as `<name>/online` and `<name>/target`.
        name: the model's.
        build_graph_fn: returns the function from `(mode, inputs)` to a `QModelSpec`.
        features: `features()` are some that they will be called on, a tensor `[B, ...]` or a dict.
        needed: `needed()` are the fields of a `QModelSpec` that the model cannot do without.
    """

    def __init__(
        self,
        scope: Scope,
        name: str,
        build_graph_fn: Callable[[], QGraphFn],
        features: Callable[[], Any],
        needed: Callable[[], Sequence[str]],
    ):
        self._scope, self._name, self._build_graph_fn, self._features, self._needed = (
            scope,
            name,
            build_graph_fn,
            features,
            needed,
        )

    @property
    def online(self) -> QNetwork:
        """The network that the loss trains."""
        return self._scope.get(f"{self._name}/online", lambda: self._new("online"))

    @property
    def target(self) -> QNetwork:
        """The network that follows the online one; equal to it at first."""

        def build() -> QNetwork:
            online = self.online  # Built first, and in all modes: the target network may then be lazy.
            network = self._new("target")
            _check_same(online.model, network.model)
            network.copy_from(online)
            return network

        return self._scope.get(f"{self._name}/target", build)

    def run(self, inputs: Any, mode: str, learns: bool, unroll: Unroll) -> OnlinePass:
        """Runs the online network. The pass leaves all variables alone: averages of batch normalisation move when an update is
        applied.

        Args:
            inputs: `[B, ...]`.
            mode: of the graph.
            learns: whether layers such as dropout are told that they train.
            unroll: how the rows follow each other, and what recurrent layers remember.
        """
        averages = self.online.model.non_trainable_variables if learns else []
        before = [variable.read_value() for variable in averages]
        with self._drawing("online" if learns else "acting", mode), unrolling(unroll) as forward:
            spec = self.online(inputs, mode, training=learns)
        _check_once(forward, self.online)
        # Before the next pass: those of activities are of the last one.
        regularisation = list(self.online.model.losses) if learns else []
        moved = [(variable, variable.read_value()) for variable in averages]
        for variable, value in zip(averages, before, strict=True):
            variable.assign(value)
        return OnlinePass(spec, forward.states, moved, regularisation)

    def forward(
        self,
        online: QModelSpec,
        states: tf.Tensor | None,
        batch: Batch,
        mode: str,
        use_target: bool,
        double: bool = False,
        needs_target: bool = False,
        unroll: Unroll = ALONE,
    ) -> Forward:
        """What a loss compares; in the next states the `q` of illegal actions is the lowest float32.

        In the next states recurrent layers remember what they did after the last step, of their own network.

        Args:
            online: the online network's output on the batch's states.
            states: what its recurrent layers remember after them, `[B, H]`; None without such layers.
            batch: the transitions.
            mode: of the graphs.
            use_target: whether there is a target network; the online one stands in for it otherwise.
            double: whether the online network chooses the next action.
            needs_target: whether the target network's output on the states themselves is needed, too.
            unroll: as of the online network's pass.
        """
        next_online, _ = self._pass("next_online", batch.next_inputs, mode, _following(states, batch))
        next_target, target = next_online, None
        role = "target" if use_target else "online"
        if needs_target or (use_target and states is not None):
            target, states = self._pass("target", batch.inputs, mode, unroll, role)
            target = target._replace(q=ops.mask_values(target.q, batch.mask))
        if use_target:
            next_target, _ = self._pass("next_target", batch.next_inputs, mode, _following(states, batch), role)
        if batch.next_mask is not None:
            features_of.check_legal("labels['next_action_mask']", batch.next_mask, batch.discount > 0.0)
            masked = (spec._replace(q=ops.mask_values(spec.q, batch.next_mask)) for spec in (next_online, next_target))
            next_online, next_target = masked
        return Forward(online, next_online, next_target, double, target if needs_target else None)

    def _pass(
        self, stream: str, inputs: Any, mode: str, unroll: Unroll, role: str = "online"
    ) -> tuple[QModelSpec, tf.Tensor | None]:
        """What a network gives, as in acting; and what its recurrent layers remember afterwards."""
        network = self.target if role == "target" else self.online
        with self._drawing(stream, mode), unrolling(unroll) as forward:
            spec = network(inputs, mode)
        return spec, forward.states

    def _drawing(self, role: str, mode: str) -> contextlib.AbstractContextManager[None]:
        """A forward pass; in training, layers with noise draw it, by a stream for each of them and for each role.

        Another one for each update, and for each step of acting.
        """
        if mode != Modes.TRAIN:
            return contextlib.nullcontext()
        count = self._scope.global_timestep if role == "acting" else self._scope.global_step
        stream = f"network/{self._name}/{role}"
        return drawing(lambda number: self._scope.random_seed(f"{stream}/{number}", count.read_value()), role != "acting")

    def _new(self, role: str) -> QNetwork:
        seed, _ = stream_seed(self._scope.seed, f"initialisation/{self._name}")
        inputs = features_of.network_inputs(self._features())
        specs = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), inputs)
        return QNetwork(self._build_graph_fn(), specs, seed, f"{self._name}_{role}", self._needed(), lazy=role == "target")


def _check_once(forward: ForwardPass, network: QNetwork) -> None:
    """A ValueError if a recurrent layer was run more than once: its state would be that of two."""
    if forward.taken != network.state_size:
        raise ValueError(
            f"graph_fn: its recurrent layers remember {network.state_size} numbers, and {forward.taken} were asked for in a "
            "pass. Each layer Recurrent must be called once; make another one for another call."
        )


def _following(states: tf.Tensor | None, batch: Batch) -> Unroll:
    """The next states, each by itself, where recurrent layers remember what they did at the end of the transition."""
    return ALONE if states is None else Unroll(after_last_steps(states, batch.covered))


def torso_and_heads(graph_fn: Callable[[str, Any], tf.Tensor], head: Callable[[tf.Tensor], QModelSpec]) -> QGraphFn:
    """The function from `(mode, inputs)` to a `QModelSpec`: the user's `graph_fn`, then the heads."""

    def graph(mode: str, inputs: Any) -> QModelSpec:
        outputs = graph_fn(mode, inputs)
        rank = getattr(getattr(outputs, "shape", None), "rank", None)
        if rank != 2:
            shape = tuple(outputs.shape) if rank is not None else outputs
            hint = " End with `layers.Flatten()`." if rank is not None and rank > 2 else ""
            raise ValueError(f"graph_fn must return one row of features for each state, [B, features]; got {shape}.{hint}")
        _check_torso(outputs, inputs)
        # Heads and losses compute in float32, whatever the precision policy of tf-keras has the torso do.
        return head(outputs if outputs.dtype == tf.float32 else tf.cast(outputs, tf.float32))

    if isinstance(graph_fn, SameInEveryMode):
        return SameInEveryMode(functools.partial(graph, Modes.TRAIN))
    return graph


def _check_torso(outputs: Any, inputs: Any) -> None:
    """Refuses what has the rank of a torso's output, but is not a valid one.

    Raises:
        TypeError: for what is not made of real numbers.
        ValueError: for what is not computed from the inputs, or has no columns.
    """
    asked = "graph_fn must return one row of features for each state, [B, features]"
    if not (outputs.dtype.is_floating or outputs.dtype.is_integer or outputs.dtype.is_bool):
        raise TypeError(f"{asked}, of real numbers; got {outputs.dtype.name}.")
    symbolic = any(tf_keras.backend.is_keras_tensor(part) for part in tf.nest.flatten(inputs))
    if symbolic and not tf_keras.backend.is_keras_tensor(outputs):
        raise ValueError(f"{asked}, computed from its inputs; got {type(outputs).__name__} {tuple(outputs.shape)} of its own.")
    if not outputs.shape[1]:
        raise ValueError(f"{asked}; got {tuple(outputs.shape)}: the number of features must be known, and at least 1.")


def _check_same(online: tf_keras.Model, target: tf_keras.Model) -> None:
    """A ValueError if the target network computes something else than the online one, although it has the same variables."""
    found = differences(layer_configs(online), layer_configs(target))
    difference = found[0] if found else lambda_difference(online, target)
    if difference is not None:
        raise ValueError(
            "graph_fn builds another network at each call, so that the target network would not be the online one's copy, nor "
            f"that of a run that resumes ({difference}). Make what is random once, outside of graph_fn, or from a fixed seed."
        )
