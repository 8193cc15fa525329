"""An environment in the graph about which everything is known, and the loop over it as one would write it down."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete
from tiny_agents import counters, make_agent, rows

from polyrl.envs.compiled import CompiledEnvironment, StepOutput
from polyrl.estimators import Agent, EstimatorSpec
from polyrl.estimators.hooks import Hook
from polyrl.models.scope import current_scope

BATCH = 4


UNLIMITED = 2**62


class RingState(NamedTuple):
    place: tf.Tensor
    t: tf.Tensor


class Ring(CompiledEnvironment):
    """Seven places; action `a` goes `a` places on, for a reward of place + a / 2; place 6 ends the episode, or the limit does.

    Environment `n` begins at place `n` modulo 3.
    """

    observation_space = Box(0, 100, (2,), np.float32)
    action_space = Discrete(3)

    def __init__(self, num_envs: int = 1, limit: int | None = 5):
        super().__init__(num_envs)
        self.max_episode_steps = limit

    def reset(self, num_envs, seed):
        return RingState(tf.range(num_envs) % 3, tf.zeros([num_envs], tf.int32))

    def step(self, state, action, seed):
        place = (state.place + action) % 7
        reward = tf.cast(place, tf.float32) + tf.cast(action, tf.float32) / 2.0
        return StepOutput(RingState(place, state.t + 1), reward, place == 6)

    def observe(self, state):
        return tf.cast(tf.stack(state, axis=1), tf.float32)


def chosen(place: int, t: int, timestep: int) -> int:
    return (2 * place + t + timestep // 3) % 3


def noting_model_fn(features, labels, mode):
    """Acts as `chosen` says; notes at which environment step each update is done, and how many rows there are then."""
    scope = current_scope()
    log = scope.get("log", lambda: tf.Module())
    if not hasattr(log, "when"):
        with tf.init_scope():
            log.when = tf.Variable(tf.zeros([1_000], tf.int64), trainable=False, name="when")
    state = tf.cast(features["state"], tf.int32)
    timestep = tf.cast(scope.global_timestep.read_value(), tf.int32)
    predictions = {"results": (2 * state[:, 0] + state[:, 1] + timestep // 3) % 3}
    if labels is None:
        return EstimatorSpec(mode, predictions)

    def train_op():
        step = scope.global_step.read_value()
        log.when.scatter_nd_update(tf.reshape(step, [1, 1]), tf.reshape(scope.global_timestep.read_value(), [1]))
        return scope.global_step.assign_add(1)

    loss = tf.cast(scope.global_step.read_value(), tf.float32)
    return EstimatorSpec(mode, predictions, loss, train_op if mode == "train" else None)


@dataclasses.dataclass
class Naive:
    """The loop as one would write it down."""

    num_envs: int
    limit: int | None
    first_update: int
    frequency: int
    at_once: int = 1

    def __post_init__(self):
        self.timestep = self.step = self.episode = 0
        self.rows, self.episodes, self.when = [], [], []
        self.start()

    def start(self):
        """New episodes in all environments."""
        self.places = [n % 3 for n in range(self.num_envs)]
        self.lengths, self.rewards = [0] * self.num_envs, [0.0] * self.num_envs

    def iterate(self, updates: int = UNLIMITED) -> None:
        """One step of each environment, and no more than so many updates."""
        begin = self.timestep
        for n in range(self.num_envs):
            place, t = self.places[n], self.lengths[n]
            action = chosen(place, t, begin)
            next_state = (place + action) % 7
            reward = next_state + action / 2
            terminated = next_state == 6
            truncated = self.limit is not None and t + 1 >= self.limit and not terminated
            self.rows.append((place, t, action, reward, float(terminated), float(truncated), next_state, t + 1))
            self.places[n], self.lengths[n] = next_state, t + 1
            self.rewards[n] += reward
            if terminated or truncated:
                self.episodes.append((self.rewards[n], t + 1, n, truncated))
                self.places[n], self.lengths[n], self.rewards[n] = n % 3, 0, 0.0
        self.timestep += self.num_envs
        self.episode = len(self.episodes)
        for moment in range(begin + 1, self.timestep + 1):
            due = self.at_once if moment > self.first_update and moment % self.frequency == 0 else 0
            for _ in range(min(due, updates)):
                self.when.append(self.timestep)
                self.step, updates = self.step + 1, updates - 1

    def run(self, timesteps=UNLIMITED, updates=UNLIMITED, episodes=UNLIMITED) -> Naive:
        while self.timestep < timesteps and self.step < updates and self.episode < episodes:
            self.iterate(updates - self.step)
        return self

    @property
    def counters(self):
        return self.step, self.timestep, self.episode

    def columns(self) -> dict[str, np.ndarray]:
        table = np.array(self.rows, np.float32)
        place, t, action, reward, done, truncated, next_state, after = table.T
        states = {"state": np.stack([place, t], axis=1), "next_state": np.stack([next_state, after], axis=1)}
        return {**states, "action": action.astype(np.int32), "reward": reward, "done": done, "truncated": truncated}


class Watch(Hook):
    """Episodes, and the counters after each advance."""

    def __init__(self):
        self.episodes, self.counters = [], []

    def after_episode(self, run, episode):
        self.episodes.append(dataclasses.astuple(episode))

    def after_act(self, run):
        self.counters.append((run.step, run.timestep, run.episode))


def train(path, env, jit="off", model_fn=noting_model_fn, hooks=(), **arguments):
    agent = make_agent(model_fn, model_dir=path, batch_size=BATCH, size=5_000, jit=jit)
    watch = Watch()
    agent.train(env, hooks=[watch, *hooks], **arguments)
    return agent, watch


def check(agent: Agent, watch: Watch, naive: Naive) -> None:
    """Counters, episodes, every row of the memory, and when each update was done."""
    assert counters(agent) == naive.counters == watch.counters[-1]
    assert watch.episodes == naive.episodes
    stored = rows(agent)
    for name, expected in naive.columns().items():
        np.testing.assert_array_equal(stored[name][: naive.timestep], expected, err_msg=name)
        assert not stored[name][naive.timestep :].any()
    when = agent._scope.parts["log"].when.numpy()
    assert when[: naive.step].tolist() == naive.when
    assert not when[naive.step :].any()
