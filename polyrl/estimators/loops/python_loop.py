"""`PythonLoop`: environments in Python. Step them, then store, learn and act in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.engine.compiler import Compiler
from polyrl.engine.layout import Layout
from polyrl.envs import EnvDriver, Episode, Transitions
from polyrl.envs.observations import as_features
from polyrl.envs.states import may_keep
from polyrl.estimators.inputs import describe, spec_of_states
from polyrl.estimators.loops.environment_log import EnvironmentLog
from polyrl.estimators.loops.learner import Learner
from polyrl.estimators.loops.loop import NEVER, IterationResult, Loop, Remaining, Spaces, UpdateSchedule, mean_loss
from polyrl.replay.frames import check_stack

STACKS_CHECKED = 100
"""Steps of a run in which stacked frames are compared."""


class PythonLoop(Loop):
    """Environments in Python: an advance is one step of each, and one compiled call that stores, learns and acts.

    They are reset at once, as for a start at `timestep`: only that shows what their states are. `keeps_actions` says whether a
    checkpoint holds the actions since the last reset.
    """

    def __init__(
        self,
        driver: EnvDriver,
        learner: Learner,
        compiler: Compiler,
        schedule: UpdateSchedule,
        timestep: int,
        keeps_actions: bool,
    ):
        super().__init__(learner, compiler, schedule)
        self.num_envs = driver.num_envs
        self._driver, self._log = driver, EnvironmentLog(driver, learner.scope.seed, keeps_actions)
        self.resets_environments = not self._log.are_whole
        self.may_keep = may_keep(driver.env)
        self._log.reset(timestep)
        self._restored: np.ndarray | None = None
        self._actions = np.zeros(0)
        self.state_spec = spec_of_states(driver.state, driver.env.single_observation_space)
        self.environment = describe(self.state_spec, driver.env.single_observation_space, driver.env.single_action_space)
        states = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), driver.state)
        numbers = tf.TensorSpec([self.num_envs], tf.float32)
        action = tf.TensorSpec([self.num_envs, *driver.action_spec.shape], driver.action_spec.dtype)
        number, count = tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int32)
        self._structure = [states, action, numbers, numbers, numbers, states, states, count, count]
        self._inputs = Layout(tf.nest.flatten(self._structure))
        self.form = (type(self), self._structure)
        self._outputs = Layout([action, number, number, *learner.memory.drawn_specs.values()])
        self._stack, self._unchecked = learner.memory.frame_stack, STACKS_CHECKED
        self._flat_states = not isinstance(states, dict)

    @property
    def spaces(self) -> Spaces:
        return self._driver.env.single_observation_space, self._driver.env.single_action_space

    def build(self) -> None:
        self._learner.build(self.state_spec, self.num_envs, self._driver.action_spec)
        self._convolves = self._learner.keeps_out_xla()
        # XLA takes some 2 seconds to compile and saves about 1 ms in each update; on a CPU, nothing with large convolutions.
        self.xla_from = NEVER if self._convolves else 1_000

    def start(self, timestep: int) -> np.ndarray:
        self._compiler.write_back()
        if self._restored is not None:
            self._actions, self._restored = self._restored, None
            self._compiler.load()
            return self._actions
        if timestep != self._log.started_at:
            self._log.reset(timestep)
        self._learner.memory.start_episodes()
        if self._stack is not None:
            check_stack(as_features(self._driver.state)["state"])
        self._actions = self._learner.first_actions(self._driver.state)
        self._compiler.load()  # The first of temporally correlated noise.
        return self._actions

    def write_environment(self, directory: Path, new_episodes: bool) -> None:
        noises = [variable.numpy() for variable in self._carried()]
        new_episodes = new_episodes or self._actions.size == 0  # As in pre-training.
        self._log.write(directory, None if new_episodes else {"actions": self._actions, "noises": noises})

    def read_environment(self, directory: Path, state: Mapping[str, Any]) -> None:
        if state["num_envs"] != self.num_envs:
            return
        more = self._log.read(directory)
        if more is not None:
            self._restored = more["actions"]
            for variable, value in zip(self._carried(), more["noises"], strict=True):
                variable.assign(value)

    def advance(self, timestep: int, remaining: Remaining, watch: bool = False) -> IterationResult:
        transitions, episodes = self._step()
        updates = min(self._schedule.due(timestep, timestep + self.num_envs), remaining.updates)
        before = None
        if watch and updates:
            self._compiler.write_back()
            before = self._learner.snapshot()
        # With XLA nothing keeps the memory of an input; without, a variable may share it.
        inputs = self._packed([*transitions, self._driver.state, updates, len(episodes)], copy=not self._compiler.xla)
        unrolled = self._unrolled(updates)
        call = self._compiler.call(("iteration", unrolled), lambda: (self._iteration(unrolled), self._inputs.specs))
        outputs = call(*inputs)
        actions, loss, rate = self._outputs.unpack_arrays(outputs, 3)
        drawn = [] if before is None else self._outputs.unpack_arrays(outputs)[3:]
        self._actions = actions
        result = IterationResult(self.num_envs, updates, float(loss), actions, float(rate), episodes)
        return self._summarized(result, before, drawn)

    def _iteration(self, unrolled: int | None) -> Callable[..., list[tf.Tensor]]:
        """The call of an advance: a fixed number of updates in a row, or if None as many as the inputs say."""

        def iteration(*inputs: tf.Tensor) -> list[tf.Tensor]:
            transitions, state, updates, finished = self._unpacked(inputs)
            self._learner.store(transitions)
            self._learner.count(self.num_envs, finished)
            done = self._learner.updates(updates if unrolled is None else unrolled)
            actions, rate = self._learner.act(state, transitions.ended)
            return self._outputs.pack([actions, mean_loss(done), rate, *done.drawn.values()])

        return iteration

    # What an advance is made of. ----------------------------------------------------------------------------------------

    def _step(self) -> tuple[Transitions, list[Episode]]:
        """One step of each environment. The first steps of a run are checked: do they have the form the memory expects?"""
        transitions, episodes = self._driver.step(self._actions)
        self._log.note(self._actions)  # Afterwards: a step that fails has not been taken.
        if self._stack is not None and self._unchecked:
            self._unchecked -= 1
            check_stack(as_features(transitions.state)["state"], as_features(transitions.next_state)["state"])
        return transitions, episodes

    def _packed(self, inputs: list[Any], copy: bool = True) -> list[tf.Tensor]:
        return self._inputs.pack_arrays(inputs if self._flat_states else tf.nest.flatten(inputs), copy)

    def _unpacked(self, inputs: tuple[tf.Tensor, ...]) -> tuple[Transitions, Any, tf.Tensor, tf.Tensor]:
        """Transitions, the states to act on, the updates to do, and the episodes that ended."""
        *columns, state, updates, finished = tf.nest.pack_sequence_as(self._structure, self._inputs.unpack(inputs))
        return Transitions(*columns), state, updates, finished

    def _unrolled(self, updates: int) -> int | None:
        """How many updates the call for `updates` of them unrolls; None for a loop that does any number.

        The most frequent numbers need no loop, and XLA's loops on a CPU slow convolutions down twentyfold.
        """
        return updates if updates < 2 or (self._convolves and self._compiler.xla) else None
