"""`Learner`: what a training run does on tensors. Act, store, update.

This page is the algorithm. How it is compiled is the business of `polyrl.engine.compiler`, and what environments do that of
the loops: they trace these methods into their calls.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from polyrl.engine import functional
from polyrl.engine.collection import without_collection
from polyrl.engine.shared_trace import SharedTrace
from polyrl.engine.tracing import outside_of_graphs, traced
from polyrl.envs import Transitions
from polyrl.envs.observations import as_features, split_columns
from polyrl.estimators import extra_ops, threads
from polyrl.estimators.loops.last_states import try_last_states
from polyrl.estimators.loops.panel_calls import PanelCalls, Snapshot
from polyrl.estimators.loops.recurrence import Recurrence, check_memory, check_no_recurrent_layers
from polyrl.estimators.loops.unsaved_draws import stateful_draws
from polyrl.estimators.model_fn import ModelActions, ModelFn, acting_predictions, checked
from polyrl.estimators.strategies import Learnt, Strategy
from polyrl.models.features import NETWORK_STATE
from polyrl.models.q_network import QNetwork
from polyrl.models.scope import Scope
from polyrl.modes import Modes
from polyrl.networks.convolution import keeps_out_xla
from polyrl.policies import BoundedTensorSpec, StepType
from polyrl.replay import Replay
from polyrl.spec import EstimatorSpec
from polyrl.summaries import Summaries


class Updates(NamedTuple):
    """What some updates did: how many, int32 scalar; the sum of their losses, float32 scalar; what the first one drew."""

    count: Any
    loss: Any
    drawn: dict[str, Any]


class Learner:
    """Acts with a model, stores transitions, and updates the model from the memory.

    Everything it changes is a variable of the scope or the memory.

    Attributes:
        hooks: the model's `training_hooks`.
        summary_options: the groups of panels that the model asks for.
        support: of a distribution over returns, see `extra_ops.support`; None if there is none.
        unsaved_draws: the `STATEFUL_DRAWS` of an update.
        acting_graph: in which the model acts, after `build`.
        strategy: how several compute an update; None for one alone.
        built: the arguments that `build` was called with last.
        recurrence: what the model's network remembers of the present episodes; None for one that remembers nothing.
    """

    def __init__(self, model_fn: ModelFn, scope: Scope, memory: Replay, strategy: Strategy | None = None):
        self.scope = scope
        self.memory = memory
        self.strategy = strategy
        self.hooks: tuple[Any, ...] = ()
        self.summary_options: tuple[str, ...] = ()
        self.support: tuple[float, ...] | None = None
        self.unsaved_draws: tuple[str, ...] = ()
        self.recurrence: Recurrence | None = None
        self.model_fn = model_fn
        self._action_dtype = tf.int32
        self._actions: ModelActions | None = None
        self._built: tuple[Any, int] | None = None
        self.built: tuple[Any, ...] = ()
        self._first_act: Any = None
        self._traced_update: Any = None
        self.acting_graph = tf.Graph()
        self._together: Strategy | None = None
        self._token = object()  # The memory does not keep the learner alive.
        self._panels: Any = None

    # What calls are made of. --------------------------------------------------------------------------------------------

    def act(self, state: Any, is_first: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The exploring actions `[N, ...]` for the present states, and the exploration rate (NaN if there is none).

        Args:
            state: `[N, ...]`, or a dict.
            is_first: which states are the first of an episode, bool `[N]`; by default all.
        """
        features = as_features(state)
        count = features["state"].shape[0]
        is_first = tf.ones([count], tf.bool) if is_first is None else is_first
        features["step_type"] = tf.where(is_first, StepType.FIRST, StepType.MID)
        if self.recurrence is not None:
            features[NETWORK_STATE] = self.recurrence.after.read_value()
        with self.scope.active():
            spec = self.model_fn(features=features, labels=None, mode=Modes.TRAIN)
        predictions = acting_predictions(spec, Modes.TRAIN, count)
        self._remember(predictions.get(NETWORK_STATE), is_first)
        self._actions = ModelActions.of(spec)
        return tf.cast(predictions["results"], self._action_dtype), extra_ops.exploration_rate(spec)

    def store(self, transitions: Transitions) -> None:
        """Stores one step of `N` environments."""
        columns = transitions.columns()
        if self.recurrence is not None:
            columns[NETWORK_STATE] = self.recurrence.before.read_value()
        self.memory.add(columns)

    def count(self, timesteps: int, episodes: tf.Tensor) -> None:
        """Counts environment steps and finished episodes."""
        self.scope.global_timestep.assign_add(timesteps)
        self.scope.global_episode.assign_add(tf.cast(episodes, tf.int64))

    def updates(self, count: tf.Tensor | int) -> Updates:
        """Does `count` updates. An int unrolls the loop."""
        updates = self._no_updates()
        if isinstance(count, int):
            for _ in range(count):
                updates = Updates(*self._traced_update(*updates))
            return updates
        return Updates(*functional.loops().while_loop(lambda done, *_: done < count, self._traced_update, list(updates)))

    def update(self, count: tf.Tensor, loss: tf.Tensor, drawn: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        """One more update: draws a batch, computes the loss and its gradients, applies them, and notes the new priorities.

        The arguments are the fields of `Updates` before it, the results those after it.
        """
        step = self.scope.global_step.read_value()
        batch = self.memory.draw(self.scope.random_seed("replay", step), step)
        features, labels = split_columns(self.memory.read(batch))
        if self._together is None:
            learnt = self.learn(features, labels)
        else:
            learnt = self._together.learn(self.learn, features, labels, self.scope.global_timestep)
        learnt.train_op()
        if learnt.priorities is not None:
            self.memory.update_priorities(batch["index"], learnt.priorities)
        first = {name: tf.where(count == 0, values, drawn[name]) for name, values in batch.items()}
        return count + 1, loss + learnt.loss, first

    def learn(self, features: Mapping[str, tf.Tensor], labels: Mapping[str, tf.Tensor]) -> Learnt:
        """What the model finds in a batch, or in a share of one."""
        with self.scope.active():
            spec = self.model_fn(features=features, labels=labels, mode=Modes.TRAIN)
        train_op = self._train_op(spec)
        share = self.memory.batch_size // (1 if self._together is None else self._together.count)
        priorities = extra_ops.priorities(spec, share) if self.memory.PRIORITIZED else None
        return Learnt(train_op, tf.cast(spec.loss, tf.float32), priorities)

    # Before and between calls. ------------------------------------------------------------------------------------------

    def build(self, state: Any, num_envs: int, action: BoundedTensorSpec) -> None:
        """Creates every variable (networks, optimizer, memory) without running anything.

        `state` is the spec of one state, or a dict of specs; `action` that of one action. The model comes first: what it
        refuses leaves the memory alone.
        """
        # What is refused changes nothing for the environment before.
        with self._kept_if_refused(), without_collection():
            if self._built != (state, num_envs):
                self.build_acting(state, num_envs, action)
            assert self._actions is not None
            self._actions.check(action)
            if self._built == (state, num_envs):
                return
            try_last_states(self.act, self.scope, state, num_envs)
            if self.memory.demonstrations is not None:
                if not action.dtype.is_integer:
                    raise ValueError("Demonstrations teach discrete actions; those of the environment are continuous.")
                self.memory.demonstrations.check(state, int(action.maximum) + 1)
            scalar, one = tf.TensorSpec([], tf.float32), tf.TensorSpec(action.shape, action.dtype)
            self.memory.belong_to(self._token)
            self.memory.xla = self.scope.xla
            columns = Transitions(state, one, scalar, scalar, scalar, state).columns()
            if self.recurrence is not None:
                check_memory(self.memory)
                columns[NETWORK_STATE] = tf.TensorSpec(self.recurrence.before.shape[1:], tf.float32)
            self.memory.build(columns, num_envs)
            self._together = None  # By one alone, at first: what it creates belongs to no replica.
            traced_once = traced(self.update).get_concrete_function(*self._no_updates())
            if self.strategy is not None:
                self._together = self.strategy
                # A call by itself also in loops, in which processes would not find each other's collective operations.
                apart = traced(self.update, experimental_attributes={"_noinline": True})
                traced_once = apart.get_concrete_function(*self._no_updates())
            self._traced_update = SharedTrace(self.update, traced_once)
            self.unsaved_draws = stateful_draws(traced_once.graph.as_graph_def())
            if self.recurrence is None:
                check_no_recurrent_layers(self.scope)
            self._built, self.built, self._panels = (state, num_envs), (state, num_envs, action), None

    def build_acting(self, state: Any, num_envs: int, action: BoundedTensorSpec) -> None:
        """Creates the networks, and nothing that only learning needs; the arguments are those of `build`."""
        states = tf.nest.map_structure(lambda spec: tf.TensorSpec([num_envs, *spec.shape], spec.dtype), state)
        self._action_dtype = action.dtype
        self.recurrence = None
        # A new function: it is traced again also for an environment that was there before another one.
        self._first_act = traced(self.act)
        self.acting_graph = self._first_act.get_concrete_function(states).graph

    def build_following(self, state: Any, num_envs: int, action: BoundedTensorSpec, rows: Sequence[Any]) -> None:
        """Creates what learning needs, of a run that another process has: `rows` are specs of a share's features and labels,
        the other arguments are those of `build`."""
        self.build_acting(state, num_envs, action)
        self._together = self.strategy
        traced(lambda *batch: self.learn(*batch).train_op()).get_concrete_function(*rows)

    def probe(self) -> tf.Tensor:
        """One update, to be traced: the compiler finds out by it which variables an update assigns, and how."""
        return self.updates(1).loss

    def first_actions(self, state: Any) -> np.ndarray:
        """The exploring actions `[N, ...]` for the first states of episodes; the variables must be up to date."""
        return self._first_act(tf.nest.map_structure(tf.constant, state))[0].numpy()

    @property
    def modules(self) -> list[tf.Module]:
        """What holds variables in addition to the scope and the memory."""
        return [] if self.recurrence is None else [self.recurrence]

    def keeps_out_xla(self) -> bool:
        """Whether a network convolves in a way that XLA is slow at."""
        return keeps_out_xla(self.scope.submodules)

    def advice_on_threads(self) -> str | None:
        """What is to be said of networks that more than one core slows down; None if there is nothing."""
        networks = [part for part in self.scope.parts.values() if isinstance(part, QNetwork)]
        return threads.advice(networks, self.memory.batch_size)

    def snapshot(self) -> Snapshot:
        """The values that a loss is computed from, weights and random generators, for `summaries`."""
        if self._panels is None:
            traced_once = traced(self._build_summaries).get_concrete_function(dict(self.memory.drawn_specs))
            self._panels = PanelCalls(traced_once, self.memory)
        return self._panels.read()

    def summaries(self, before: Snapshot, drawn: dict[str, Any]) -> Summaries:
        """What the model's panels show of an update that has been done; it changes nothing.

        Args:
            before: a `snapshot` taken before the update.
            drawn: what the update drew.
        """
        return self._panels.show(before, drawn)

    # Parts. -------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _kept_if_refused(self) -> Iterator[None]:
        """What is remembered and what was traced stays what it was if the `with` block raises."""
        before = self.recurrence, self._traced_update
        try:
            yield
        except BaseException:
            self.recurrence, self._traced_update = before
            raise

    def _remember(self, network_state: tf.Tensor | None, is_first: tf.Tensor) -> None:
        """Keeps what a recurrent network remembers after acting, `[N, H]`, None of another network; `is_first` bool `[N]`."""
        if network_state is None:
            return
        if self.recurrence is None:
            shape = network_state.shape
            self.recurrence = outside_of_graphs(lambda: Recurrence(shape))
        self.recurrence.move_on(is_first, network_state)

    def _build_summaries(self, drawn: dict[str, tf.Tensor]) -> Summaries:
        features, labels = split_columns(self.memory.read(drawn))
        with self.scope.active():
            spec = self.model_fn(features=features, labels=labels, mode=Modes.TRAIN)
        return extra_ops.summaries(spec)

    def _train_op(self, spec: EstimatorSpec) -> Callable[[], tf.Tensor]:
        """The `train_op` of what `model_fn` returned; notes what else it says of the training."""
        train_op = checked(spec, Modes.TRAIN).train_op
        if train_op is None or spec.loss is None:
            raise ValueError(
                "model_fn must return loss and train_op in mode 'train' with labels: return model(features, labels)."
            )
        self.hooks = tuple(spec.training_hooks)
        self.summary_options = extra_ops.summary_options(spec)
        self.support = extra_ops.support(spec)
        extra_ops.summaries(spec)  # Before there is something to lose, not when they are written.
        return train_op

    def _no_updates(self) -> Updates:
        drawn = {name: tf.zeros(spec.shape, spec.dtype) for name, spec in self.memory.drawn_specs.items()}
        return Updates(tf.constant(0), tf.constant(0.0), drawn)
