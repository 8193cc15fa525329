"""`Acting`: the call in which an actor acts for all its environments, packed and compiled as those of a run in one process.

An actor of `minatar_breakout_dqn` with 4 environments takes 68 microseconds for a step (`scripts/benchmarks/stages.py`). It
took 161 when its inputs were not packed and XLA compiled nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from polyrl.engine.compiler import Compiler
from polyrl.engine.layout import Layout
from polyrl.estimators.loops.learner import Learner
from polyrl.policies import BoundedTensorSpec


class Acted(NamedTuple):
    """What was done for `N` states.

    `actions` `[N, ...]`; `rate`: of exploration, NaN if there is none; `network_state`: what a recurrent network remembered
    before it saw them, float32 `[N, H]`, None of another network.
    """

    actions: np.ndarray
    rate: float
    network_state: np.ndarray | None


class Acting:
    """Acts for `N` states at a time, and counts the steps.

    The variables are out of date after a call until `write_back`; values that are assigned to them are taken by `load`.

    Args:
        learner: built for acting in such states.
        states: specs of `N` states, `[N, ...]`, or a dict of them.
        action: the spec of one action.
        jit: whether XLA compiles it: `'on'`, `'off'`, or `'auto'`, which is unless a network convolves in a way that XLA is
            slow at.
    """

    def __init__(self, learner: Learner, states: Any, action: BoundedTensorSpec, jit: str):
        self._learner = learner
        count = tf.nest.flatten(states)[0].shape[0]
        self._structure = [states, tf.TensorSpec([count], tf.bool), tf.TensorSpec([], tf.int32)]
        self._inputs = Layout(tf.nest.flatten(self._structure))
        outputs = [tf.TensorSpec([count, *action.shape], action.dtype), tf.TensorSpec([], tf.float32)]
        if learner.recurrence is not None:
            outputs.append(tf.TensorSpec(learner.recurrence.before.shape, learner.recurrence.before.dtype))
        self._outputs = Layout(outputs)
        self._compiler = Compiler(tell=lambda _: None)
        xla = jit == "on" or (jit == "auto" and not learner.keeps_out_xla())
        self._compiler.start([learner.scope, *learner.modules], self._probe, xla)

    def __call__(self, states: Any, is_first: np.ndarray, timesteps: int) -> Acted:
        """The exploring actions for the present states.

        Args:
            states: arrays of the specs.
            is_first: which of them are the first of an episode, bool `[N]`.
            timesteps: environment steps since the call before.
        """
        # With XLA nothing keeps the memory of an input; without, a variable may share it.
        inputs = self._inputs.pack_arrays(tf.nest.flatten([states, is_first, timesteps]), copy=not self._compiler.xla)
        call = self._compiler.call("act", lambda: (self._act, self._inputs.specs))
        actions, rate, *network_state = self._outputs.unpack_arrays(call(*inputs))
        return Acted(actions, float(rate), network_state[0] if network_state else None)

    def write_back(self) -> None:
        """Brings the variables up to date."""
        self._compiler.write_back()

    def load(self) -> None:
        """Takes the variables' values."""
        self._compiler.load()

    def _act(self, *inputs: tf.Tensor) -> list[tf.Tensor]:
        states, is_first, timesteps = tf.nest.pack_sequence_as(self._structure, self._inputs.unpack(inputs))
        learner = self._learner
        learner.scope.global_timestep.assign_add(tf.cast(timesteps, tf.int64))
        actions, rate = learner.act(states, is_first)
        remembered = [] if learner.recurrence is None else [learner.recurrence.before.read_value()]
        return self._outputs.pack([actions, rate, *remembered])

    def _probe(self) -> list[tf.Tensor]:
        return self._act(*(tf.zeros(spec.shape, spec.dtype) for spec in self._inputs.specs))
