"""`GraphDriver`: steps an in-graph environment; its variables are the state the environments are in."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from polyrl.envs import Transitions
from polyrl.envs.actions import action_spec
from polyrl.envs.compiled import CompiledEnvironment, check_environment
from polyrl.envs.compiled.vector import restarted
from polyrl.estimators.inputs import describe, spec_of_states
from polyrl.models.scope import Scope


class StepLog(NamedTuple):
    """What a step reports about the current episodes, all `[N]`.

    `ended` bool; `truncated` bool, ended by a limit; `episode_reward` float32, the sum so far; `length` int32, the steps so
    far; `finite` bool, whether all of the next state is.
    """

    ended: Any
    truncated: Any
    episode_reward: Any
    length: Any
    finite: Any


class GraphDriver(tf.Module):
    """Holds `N` environments of a `CompiledEnvironment`, and starts the next episode where one ends.

    Args:
        env: the environment.
        scope: gives the environments their random seeds, which depend on its `global_timestep`.
    """

    def __init__(self, env: CompiledEnvironment, scope: Scope):
        super().__init__(name="environment")
        check_environment(env, env.num_envs)
        self.num_envs = env.num_envs
        self.action_spec = action_spec(env.action_space)
        self._env, self._scope = env, scope
        self.spaces = env.observation_space, env.action_space
        self._structure = env.reset(self.num_envs, tf.zeros([2], tf.int32))
        self.state_spec = spec_of_states(env.observe(self._structure), env.observation_space)
        self._leaves = [tf.Variable(leaf, trainable=False) for leaf in tf.nest.flatten(self._structure)]
        self._reward = tf.Variable(tf.zeros([self.num_envs]), trainable=False)
        self._length = tf.Variable(tf.zeros([self.num_envs], tf.int32), trainable=False)

    @property
    def described(self) -> dict[str, Any]:
        """What a checkpoint says of the environment; made at each call, as TensorFlow wraps the dicts that a module keeps."""
        kind = type(self._env)
        plain = {name: value for name, value in vars(self._env).items() if isinstance(value, (bool, int, float, str))}
        described = {"class": f"{kind.__module__}.{kind.__qualname__}", **plain}
        return {
            **describe(self.state_spec, self._env.observation_space, self._env.action_space),
            "compiled_env": described,
        }

    def reset(self) -> None:
        """Starts new episodes."""
        self._assign(self._env.reset(self.num_envs, self._scope.random_seed("environment/start")))
        self._reward.assign(tf.zeros_like(self._reward))
        self._length.assign(tf.zeros_like(self._length))

    def observe(self) -> tf.Tensor:
        """The present states, `[N, ...]`."""
        return self._env.observe(self._state())

    def is_first(self) -> tf.Tensor:
        """Which environments are at the first state of an episode, bool `[N]`."""
        return tf.equal(self._length.read_value(), 0)

    def step(self, action: tf.Tensor) -> tuple[Transitions, StepLog]:
        """Takes one action in each environment."""
        before = self._state()
        state, reward, terminated = self._env.step(before, action, self._scope.random_seed("environment/step"))
        episode_reward = self._reward.read_value() + reward
        length = self._length.read_value() + 1
        limit = self._env.max_episode_steps
        truncated = tf.zeros_like(terminated) if limit is None else (length >= limit) & ~terminated
        ended = terminated | truncated
        transitions = Transitions(
            self._env.observe(before),
            action,
            reward,
            tf.cast(terminated, tf.float32),
            tf.cast(truncated, tf.float32),
            self._env.observe(state),
        )
        fresh = self._env.reset(self.num_envs, self._scope.random_seed("environment/reset"))
        self._assign(restarted(ended, fresh, state))
        self._reward.assign(tf.where(ended, 0.0, episode_reward))
        self._length.assign(tf.where(ended, 0, length))
        return transitions, StepLog(ended, truncated, episode_reward, length, _finite(transitions.next_state))

    def _state(self) -> Any:
        return tf.nest.pack_sequence_as(self._structure, [leaf.read_value() for leaf in self._leaves])

    def _assign(self, state: Any) -> None:
        for leaf, value in zip(self._leaves, tf.nest.flatten(state), strict=True):
            leaf.assign(value)


def _finite(state: tf.Tensor) -> tf.Tensor:
    """Where all of a state `[N, ...]` is finite, bool `[N]`."""
    if not state.dtype.is_floating:
        return tf.ones([state.shape[0]], tf.bool)
    return tf.reduce_all(tf.math.is_finite(tf.reshape(state, [state.shape[0], -1])), axis=1)
