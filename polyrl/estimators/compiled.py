"""The compiled calls: all that happens on tensors between two steps of the environments."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from polyrl import functional
from polyrl.envs import Transitions
from polyrl.estimators.carried import CarriedState, PlainState
from polyrl.estimators.model_fn import ModelFn
from polyrl.models.scope import Scope
from polyrl.modes import Modes
from polyrl.replay import Replay
from polyrl.summaries import Summaries

import numpy as np
import tensorflow as tf
import tf_keras

T = TypeVar("T")

logger = logging.getLogger("polyrl")


class TrainingCalls:
    """Builds and compiles what a training loop does on tensors: store, learn, act.

    Everything it changes is a variable of the scope, the memory, or the modules it is started with. Compiled with XLA, their
    values are carried from call to call in a few tensors, see `CarriedState`; the variables are behind until `push`.
    """

    def __init__(self, model_fn: ModelFn, scope: Scope, memory: Replay):
        self._model_fn = model_fn
        self._scope = scope
        self._memory = memory
        self._act = tf.function(self.build_act, autograph=False)
        self._state: CarriedState | PlainState = PlainState()
        self._started: tuple[bool, Sequence[tf.Module]] | None = None
        self._compiled: dict[Hashable, Callable[..., Any]] = {}
        self._kept: dict[int, tuple[Any, Any]] = {}
        self._built: tuple[tf.TensorSpec, int] | None = None
        self._unroll = False
        self._summaries: Any = None
        self.summary_options: tuple[str, ...] = ()
        self.hooks: tuple[Any, ...] = ()

    def build(self, state: tf.TensorSpec, num_envs: int, num_actions: int) -> None:
        """Creates every variable (networks, optimizer, memory) without running anything; `state` is the spec of one state.

        The model comes first: what it refuses leaves the memory alone.
        """
        if self._built == (state, num_envs):
            self._model_fn.check_num_actions(num_actions)
            return
        states = tf.TensorSpec([num_envs, *state.shape], state.dtype)
        self._act.get_concrete_function(states)
        self._model_fn.check_num_actions(num_actions)
        scalar, action = tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int32)
        self._memory.build(Transitions(state, action, scalar, scalar, scalar, state)._asdict(), num_envs)
        tf.function(self._build_update, autograph=False).get_concrete_function()
        self._built, self._started, self._summaries = (state, num_envs), None, None

    def kept(self, key: Any, build: Callable[[], T]) -> T:
        """The module that was built for the object `key`, so that what is compiled for it can be used again."""
        if id(key) not in self._kept:
            self._kept[id(key)] = (key, build())
        return self._kept[id(key)][1]

    def start(self, jit: bool, modules: Sequence[tf.Module] = ()) -> None:
        """Gets ready for calls, with XLA or without; `modules` hold variables besides those of the scope and the memory.

        The variables must have their values. What was compiled for the same modules is kept.
        """
        if self._started == (jit, modules):
            self._state.pull()
            return
        self._started, self._compiled, self._state = (jit, modules), {}, PlainState()
        self._unroll = jit and self.has_convolution()
        if jit:
            try:
                self._state = CarriedState([self._scope, self._memory, *modules], self._build_update)
            except functional.NotFunctionalError as error:
                logger.warning("The training loop goes on without XLA, slower: %s", error)

    def compiled(
        self, key: Hashable, build: Callable[[], tuple[Callable[..., list[tf.Tensor]], Sequence[tf.TensorSpec]]]
    ) -> Callable[..., list[tf.Tensor]]:
        """The call that goes by the name `key`.

        At first `build()` gives what is compiled: a function of tensors, made of the `build_...` methods, and its specs.
        """
        if key not in self._compiled:
            self._compiled[key] = self._compile(key, *build())
        return self._compiled[key]

    def _compile(
        self, key: Hashable, function: Callable[..., list[tf.Tensor]], specs: Sequence[tf.TensorSpec]
    ) -> Callable[..., list[tf.Tensor]]:
        if isinstance(self._state, PlainState):
            return self._state.compile(function, specs)
        logger.info("Compiling the training loop with XLA; this takes some seconds.")
        started = time.monotonic()
        compiled = self._state.compile(function, specs)

        def first(*inputs: tf.Tensor) -> list[tf.Tensor]:
            try:
                outputs = compiled(*inputs)  # XLA compiles at the first call.
            except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
                reason = str(error).strip().splitlines()[0]
                logger.warning("XLA cannot compile the training loop, which goes on without it, slower: %s", reason)
                self._state.push()
                self._state, self._compiled = PlainState(), {}
                return self.compiled(key, lambda: (function, specs))(*inputs)
            logger.info("Compiled in %.1f s.", time.monotonic() - started)
            self._compiled[key] = compiled
            return outputs

        return first

    def act(self, state: np.ndarray) -> np.ndarray:
        """The exploring actions int32 `[N]` for `state` `[N, ...]`; the variables must be up to date."""
        return self._act(tf.constant(state))[0].numpy()

    def pull(self) -> None:
        """Takes over what was assigned to variables besides the calls."""
        self._state.pull()

    def push(self) -> None:
        """Brings all variables up to date."""
        self._state.push()

    @property
    def xla(self) -> bool:
        """Whether calls are compiled by XLA."""
        return isinstance(self._state, CarriedState)

    @property
    def unroll(self) -> bool:
        """Whether loops are to be unrolled: XLA's loops on a CPU slow convolutions down twentyfold."""
        return self._unroll

    def has_convolution(self) -> bool:
        """Whether a network convolves."""
        kinds = (tf_keras.layers.Conv1D, tf_keras.layers.Conv2D, tf_keras.layers.Conv3D)
        return any(isinstance(module, kinds) for module in self._scope.submodules)

    def summaries(self) -> Summaries:
        """The summaries of the next update, which is not done; the variables must be up to date."""
        if self._summaries is None:
            # Once in a thousand steps: not worth the seconds that XLA takes to compile it.
            self._summaries = tf.function(self._build_summaries, autograph=False).get_concrete_function()
            known = {variable.ref() for module in (self._scope, self._memory) for variable in module.variables}
            self._generators = [v for v in self._summaries.variables if v.ref() not in known]
        before = [variable.read_value() for variable in self._generators]
        summaries = self._summaries()
        for variable, value in zip(self._generators, before, strict=True):
            variable.assign(value)
        return summaries

    # What compiled functions are made of. -------------------------------------------------------------------------------

    def build_act(self, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The exploring actions int32 `[N]` for `state` `[N, ...]`, and the exploration rate (NaN if there is none)."""
        predictions, extra = self._model_fn.act({"state": state}, Modes.TRAIN)
        return predictions["results"], extra.get("exploration_rate", tf.constant(np.nan, tf.float32))

    def build_store(self, transitions: Transitions, finished: tf.Tensor) -> None:
        """Stores `N` transitions and counts their steps, and the episodes that they finished."""
        self._memory.add(transitions._asdict())
        self._scope.global_timestep.assign_add(transitions.reward.shape[0])
        self._scope.global_episode.assign_add(tf.cast(finished, tf.int64))

    def build_updates(self, updates: tf.Tensor | int) -> tf.Tensor:
        """Does so many updates; returns the sum of their losses, float32. An int unrolls the loop."""
        if isinstance(updates, int):
            return tf.add_n([tf.constant(0.0), *(self._build_update() for _ in range(updates))])
        return functional.while_loop(
            lambda done, total: done < updates,
            lambda done, total: (done + 1, total + self._build_update()),
            [tf.constant(0), tf.constant(0.0)],
        )[1]

    def _build_update(self) -> tf.Tensor:
        spec, labels = self._build_spec()
        spec.train_op()
        if "index" in labels:
            self._memory.update_priorities(labels["index"], spec.extra_ops["priorities"])
        return tf.cast(spec.loss, tf.float32)

    def _build_summaries(self) -> Summaries:
        return self._build_spec()[0].extra_ops.get("summaries", Summaries.empty())

    def _build_spec(self) -> tuple[Any, Mapping[str, tf.Tensor]]:
        step = self._scope.global_step.read_value()
        labels = self._memory.sample(self._scope.random_seed("replay", step), step)
        given = dict(labels)
        features: dict[str, Any] = {"state": given.pop("state")}
        spec = self._model_fn(features, given, Modes.TRAIN)
        if spec.train_op is None or spec.loss is None:
            raise ValueError("model_fn must return loss and train_op in mode 'train' with labels.")
        self.hooks = tuple(spec.training_hooks)
        self.summary_options = tuple(spec.extra_ops.get("summary_options", ()))
        return spec, labels


class RolloutCalls:
    """The calls of evaluation and prediction; they change nothing but the evaluation metrics."""

    def __init__(self, model_fn: ModelFn, jit: bool):
        self._model_fn = model_fn
        self.predict = tf.function(self._build_prediction, jit_compile=jit, autograph=False)
        self.greedy = tf.function(self._build_greedy, jit_compile=jit, autograph=False)
        self.measure = tf.function(self._build_measure, jit_compile=jit, autograph=False)
        self.metrics: dict[str, Any] = {}

    def build_evaluation(self, state: np.ndarray, num_actions: int) -> None:
        """Creates every variable that evaluation reads, without running anything; `state` is `[N, ...]`."""
        action, number = np.zeros(state.shape[0], np.int32), np.zeros(state.shape[0], np.float32)
        columns = Transitions(state, action, number, number, number, state)
        specs = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, tf.as_dtype(x.dtype)), columns)
        self.measure.get_concrete_function(specs, specs.state)
        self._model_fn.check_num_actions(num_actions)

    def build_prediction(self, state: np.ndarray, num_actions: int | None = None) -> None:
        """Creates every variable that prediction reads; `state` is `[B, ...]`."""
        self.predict.get_concrete_function(state, tf.TensorSpec([], tf.int64))
        if num_actions is not None:
            self._model_fn.check_num_actions(num_actions)

    def _build_prediction(self, state: tf.Tensor, clock: tf.Tensor) -> dict[str, tf.Tensor]:
        """PREDICT mode on `state` `[B, ...]`; `clock` int64 moves the policy's random stream."""
        return self._model_fn.act({"state": state}, Modes.PREDICT, clock)[0]

    def _build_greedy(self, state: tf.Tensor) -> tf.Tensor:
        """EVAL mode's actions, int32 `[B]`."""
        return self._model_fn.act({"state": state}, Modes.EVAL)[0]["results"]

    def _build_measure(self, transitions: Transitions, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss on `transitions`, with the metrics updated, and EVAL mode's actions for `state`."""
        labels = transitions._asdict()
        features = {"state": labels.pop("state")}
        spec = self._model_fn(features, labels, Modes.EVAL)
        if spec.loss is None:
            raise ValueError("model_fn must return a loss in mode 'eval' with labels.")
        if spec.evaluation_hooks:
            raise ValueError("evaluation_hooks are not run yet: leave them out, or act on what Agent.evaluate returns.")
        self.metrics = dict(spec.eval_metric_ops)
        return spec.loss, self._build_greedy(state)
