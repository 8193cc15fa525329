"""The compiled calls: all that happens on tensors between two steps of the environments."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
import tf_keras

from polyrl.engine import functional
from polyrl.engine.carried import CarriedState, PlainState
from polyrl.envs import Transitions
from polyrl.envs.observations import as_features, split_columns
from polyrl.estimators.model_fn import ModelFn
from polyrl.models.scope import Scope
from polyrl.modes import Modes
from polyrl.policies import BoundedTensorSpec, StepType
from polyrl.replay import Replay
from polyrl.summaries import Summaries

T = TypeVar("T")

logger = logging.getLogger("polyrl")

CONVOLUTIONS = tuple(
    getattr(tf_keras.layers, name)
    for name in ("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
)

XLA_ERRORS = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)
"""What a call raises that XLA cannot compile."""


class TrainingCalls:
    """Builds and compiles what a training loop does on tensors: store, learn, act.

    Everything it changes is a variable of the scope, the memory, or the modules it is started with. Compiled with XLA, their
    values are carried from call to call in a few tensors, see `CarriedState`; the variables are behind until `push`.
    """

    def __init__(self, model_fn: ModelFn, scope: Scope, memory: Replay):
        self._model_fn = model_fn
        self._scope = scope
        self._memory = memory
        self._act: Any = None
        self._state: CarriedState | PlainState = PlainState()
        self._started: tuple[bool, Sequence[tf.Module]] | None = None
        self._compiled: dict[Hashable, Callable[..., Any]] = {}
        self._kept: dict[int, tuple[Any, Any]] = {}
        self._built: tuple[Any, int] | None = None
        self._action_dtype = tf.int32
        self._unroll = False
        self._summaries: Any = None
        self.summary_options: tuple[str, ...] = ()
        self.hooks: tuple[Any, ...] = ()

    def build(self, state: Any, num_envs: int, action: BoundedTensorSpec) -> None:
        """Creates every variable (networks, optimizer, memory) without running anything.

        `state` is the spec of one state, or a dict of specs; `action` that of one action.

        The model comes first: what it refuses leaves the memory alone.
        """
        if self._built == (state, num_envs):
            self._model_fn.check_action_spec(action)
            return
        states = tf.nest.map_structure(lambda spec: tf.TensorSpec([num_envs, *spec.shape], spec.dtype), state)
        self._action_dtype = action.dtype
        # A new one: it may create variables when it is traced for the first time only.
        self._act = tf.function(self.build_act, autograph=False)
        self._act.get_concrete_function(states)
        self._model_fn.check_action_spec(action)
        scalar, one = tf.TensorSpec([], tf.float32), tf.TensorSpec(action.shape, action.dtype)
        if self._memory.demonstrations is not None:
            if not action.dtype.is_integer:
                raise ValueError("Demonstrations teach discrete actions; those of the environment are numbers.")
            self._memory.demonstrations.check(state, int(action.maximum) + 1)
        self._memory.xla = self._scope.xla
        self._memory.build(Transitions(state, one, scalar, scalar, scalar, state).columns(), num_envs)
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
                self._leave_xla(error)

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
        try:
            compiled = self._state.compile(function, specs)
        except functional.NotFunctionalError as error:
            self._leave_xla(error)
            return self._state.compile(function, specs)

        def first(*inputs: tf.Tensor) -> list[tf.Tensor]:
            try:
                outputs = compiled(*inputs)  # XLA compiles at the first call.
            except XLA_ERRORS as error:
                self._leave_xla(error)
                return self.compiled(key, lambda: (function, specs))(*inputs)
            logger.info("Compiled in %.1f s.", time.monotonic() - started)
            self._compiled[key] = compiled
            return outputs

        return first

    def _leave_xla(self, error: Exception) -> None:
        """Goes on with the variables themselves, brought up to date."""
        logger.warning("XLA cannot compile the training loop, which goes on without it, slower: %s", first_line(error))
        self._state.push()
        self._state, self._compiled, self._unroll = PlainState(), {}, False

    def act(self, state: Any) -> np.ndarray:
        """The exploring actions `[N, ...]` for the first states of episodes, `[N, ...]` or a dict.

        The variables must be up to date.
        """
        return self._act(tf.nest.map_structure(tf.constant, state))[0].numpy()

    def learn(self, updates: int) -> float:
        """Does so many updates, at least one, without a step of the environments; their mean loss."""
        if self._unroll:  # One by one: a long row of them would take minutes to compile.
            one: Any = (lambda: [self._build_update()], [])
            return float(np.mean([self.compiled("update", lambda: one)()[0].numpy() for _ in range(updates)]))
        many = (lambda updates: [self.build_updates(updates)], [tf.TensorSpec([], tf.int32)])
        return float(self.compiled("updates", lambda: many)(tf.constant(updates))[0].numpy()) / updates

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

    def unrolled(self, updates: int) -> int | None:
        """How many updates a call for so many is to have one after the other; None for a loop, of any number.

        The most frequent numbers need no loop, and XLA's loops on a CPU slow convolutions down twentyfold.
        """
        return updates if self._unroll or updates < 2 else None

    def has_convolution(self) -> bool:
        """Whether a network convolves."""
        return any(isinstance(module, CONVOLUTIONS) for module in self._scope.submodules)

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

    def build_act(
        self, state: Any, begins: tf.Tensor | None = None, clock: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The exploring actions `[N, ...]` for the present states, and the exploration rate (NaN if there is none).

        Args:
            state: `[N, ...]`, or a dict.
            begins: which states are the first of an episode, bool `[N]`; by default all.
            clock: int64, moves the random streams; by default `global_timestep`.
        """
        features = as_features(state)
        count = features["state"].shape[0]
        step_type = tf.fill([count], StepType.FIRST) if begins is None else tf.where(begins, StepType.FIRST, StepType.MID)
        predictions, extra = self._model_fn.act({**features, "step_type": step_type}, Modes.TRAIN, clock)
        rate = tf.cast(extra.get("exploration_rate", np.nan), tf.float32)
        return tf.cast(predictions["results"], self._action_dtype), rate

    def build_store(self, transitions: Transitions, finished: tf.Tensor) -> None:
        """Stores `N` transitions and counts their steps, and the episodes that they finished."""
        self._memory.add(transitions.columns())
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
        spec = self._model_fn(*split_columns(labels), Modes.TRAIN)
        if spec.train_op is None or spec.loss is None:
            raise ValueError("model_fn must return loss and train_op in mode 'train' with labels.")
        self.hooks = tuple(spec.training_hooks)
        self.summary_options = tuple(spec.extra_ops.get("summary_options", ()))
        return spec, labels


def first_line(error: Exception) -> str:
    """Of an error's message."""
    return str(error).strip().splitlines()[0]
