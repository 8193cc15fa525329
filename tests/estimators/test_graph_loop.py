"""`GraphLoop`: the whole loop in the graph does what a naive loop in Python does."""

from __future__ import annotations

import dataclasses
import itertools
from typing import NamedTuple

import ml_collections
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete
from tiny_agents import assert_equal, counters, make_agent, q_model_fn, rows, weights

from polyrl.configs import AdamConfig, ConstantExplorationConfig
from polyrl.engine.compiler import Compiler
from polyrl.envs.compiled import CartPole, CompiledEnvironment, StepOutput
from polyrl.estimators import Agent, EstimatorSpec, RunConfig
from polyrl.estimators.graph_driver import GraphDriver
from polyrl.estimators.graph_loop import GraphLoop
from polyrl.estimators.hooks import Hook
from polyrl.estimators.learner import Learner
from polyrl.estimators.loop import Remaining, UpdateSchedule
from polyrl.estimators.model_fn import bind
from polyrl.models.scope import Scope, current_scope
from polyrl.replay import UniformReplay

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
            following = (place + action) % 7
            reward = following + action / 2
            terminated = following == 6
            truncated = self.limit is not None and t + 1 >= self.limit and not terminated
            self.rows.append((place, t, action, reward, float(terminated), float(truncated), following, t + 1))
            self.places[n], self.lengths[n] = following, t + 1
            self.rewards[n] += reward
            if terminated or truncated:
                self.episodes.append((self.rewards[n], t + 1, n, truncated))
                self.places[n], self.lengths[n], self.rewards[n] = n % 3, 0, 0.0
        self.timestep += self.num_envs
        self.episode = len(self.episodes)
        for moment in range(begin + 1, self.timestep + 1):
            if moment > self.first_update and moment % self.frequency == 0 and updates > 0:
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
        place, t, action, reward, done, truncated, following, after = table.T
        states = {"state": np.stack([place, t], axis=1), "next_state": np.stack([following, after], axis=1)}
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


# As a naive loop. -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("num_envs", "limit", "first_update", "frequency"),
    [
        (1, 5, 4, 1),
        (1, None, 10, 3),
        (3, 5, 4, 1),  # Three updates in an iteration.
        (3, 4, 17, 2),  # One or two.
        (4, 5, 20, 10),  # One in two or three iterations.
        (5, 1, 5, 5),  # All episodes are over at once.
    ],
)
def test_actions_rows_updates_and_episodes_are_those_of_a_naive_loop(tmp_path, num_envs, limit, first_update, frequency, jit):
    agent, watch = train(
        tmp_path, Ring(num_envs, limit), jit, first_update=first_update, update_frequency=frequency, timesteps=120
    )
    naive = Naive(num_envs, limit, first_update, frequency).run(timesteps=120)
    check(agent, watch, naive)
    assert naive.step > 5
    assert {action for *_, action, _, _, _, _, _ in naive.rows} == {0, 1, 2}
    kinds = {truncated for *_, truncated in naive.episodes}
    assert kinds == ({False} if limit is None else {True, False} if limit > 1 else {True})


@pytest.mark.parametrize("timesteps", [1, 2, 99, 100, 101, 230])
def test_a_budget_of_environment_steps_ends_exactly(tmp_path, timesteps):
    agent, watch = train(tmp_path, Ring(), first_update=BATCH, timesteps=timesteps)
    check(agent, watch, Naive(1, 5, BATCH, 1).run(timesteps=timesteps))
    assert counters(agent)[1] == timesteps


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("episodes", [1, 2, 13])
def test_a_budget_of_episodes_ends_in_mid_chunk_with_the_iteration_that_reaches_it(tmp_path, num_envs, episodes):
    agent, watch = train(tmp_path, Ring(num_envs), first_update=BATCH, episodes=episodes)
    naive = Naive(num_envs, 5, BATCH, 1).run(episodes=episodes)
    check(agent, watch, naive)
    assert episodes <= naive.episode < episodes + num_envs
    assert naive.timestep < 100


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("steps", [1, 7])
def test_a_budget_of_updates_ends_in_mid_chunk_with_the_iteration_that_reaches_it(tmp_path, num_envs, steps):
    """As with environments in Python, whose run ends there."""
    agent, watch = train(tmp_path, Ring(num_envs), first_update=BATCH, update_frequency=2, steps=steps)
    check(agent, watch, Naive(num_envs, 5, BATCH, 2).run(updates=steps))


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("steps", [1, 7])
def test_a_budget_of_updates_is_never_exceeded(tmp_path, num_envs, steps):
    agent, _ = train(tmp_path, Ring(num_envs), first_update=BATCH, steps=steps)
    assert counters(agent)[0] == steps


def test_the_first_of_several_budgets_ends_the_run(tmp_path):
    agent, watch = train(tmp_path / "a", Ring(), first_update=BATCH, timesteps=50, episodes=3)
    check(agent, watch, Naive(1, 5, BATCH, 1).run(timesteps=50, episodes=3))
    assert counters(agent)[2] == 3
    agent, watch = train(tmp_path / "b", Ring(), first_update=BATCH, timesteps=9, episodes=30)
    assert counters(agent)[1] == 9


def test_nothing_is_learned_before_the_first_update(tmp_path):
    agent, watch = train(tmp_path, Ring(2), first_update=60, timesteps=60)
    check(agent, watch, Naive(2, 5, 60, 1).run(timesteps=60))
    assert counters(agent)[0] == 0


# The loop by itself. ----------------------------------------------------------------------------------------------------


def new_loop(num_envs: int, schedule: UpdateSchedule, chunk: int):
    scope, memory = Scope(0), UniformReplay(2_000, BATCH)
    learner = Learner(bind(noting_model_fn, ml_collections.FrozenConfigDict(), RunConfig()), scope, memory)
    loop = GraphLoop(GraphDriver(Ring(num_envs), scope), learner, Compiler(), schedule, chunk)
    loop.build()
    loop.prepare(0, "off")
    loop.start()
    return loop, scope


@pytest.mark.parametrize(("num_envs", "chunk"), [(1, 100), (3, 10), (4, 1_000), (7, 1_000)])
def test_advances_report_what_they_did_and_end_at_multiples_of_the_chunk(num_envs, chunk):
    loop, scope = new_loop(num_envs, UpdateSchedule(10, 4), chunk)
    naive, timestep, episodes = Naive(num_envs, 5, 10, 4), 0, []
    size = max(-(-chunk // num_envs), 100) * num_envs
    sizes = []
    for timesteps, updates in [(25, UNLIMITED), *[(UNLIMITED, UNLIMITED)] * 2, (1, UNLIMITED), (UNLIMITED, 3)]:
        progress = loop.advance(timestep, Remaining(timesteps, updates, UNLIMITED))
        before = naive.step
        while naive.timestep < timestep + progress.timesteps:
            naive.iterate(updates - (naive.step - before))
        timestep += progress.timesteps
        sizes.append(progress.timesteps)
        episodes += [dataclasses.astuple(episode) for episode in progress.episodes]
        assert progress.updates == naive.step - before
        # The loss of update `k` is `k`.
        assert progress.loss == pytest.approx(np.mean(range(before, naive.step)) if naive.step > before else 0.0)
        last = naive.rows[-num_envs:]
        assert progress.actions.tolist() == [action for _, _, action, *_ in last]
    assert sizes[0] == -(-25 // num_envs) * num_envs
    assert sizes[0] + sizes[1] == size
    assert sizes[2:4] == [size, num_envs]
    assert progress.updates in range(3, 3 + num_envs)
    assert episodes == naive.episodes
    assert int(scope.global_timestep) == timestep


def test_an_advance_ends_with_the_iteration_of_the_last_episode():
    loop, _ = new_loop(3, UpdateSchedule(10, 4), 1_000)
    naive = Naive(3, 5, 10, 4)
    for episodes in (1, 4, 2):
        progress = loop.advance(naive.timestep, Remaining(UNLIMITED, UNLIMITED, episodes))
        before = naive.timestep
        naive.run(episodes=naive.episode + episodes)
        assert progress.timesteps == naive.timestep - before
        assert progress.timesteps > 0
    assert naive.timestep < 100


# Going on. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_a_resumed_run_starts_new_episodes_and_goes_on_counting(tmp_path, jit):
    naive = Naive(3, 5, 10, 2)
    for timesteps in (31, 22, 40):
        agent, watch = train(tmp_path, Ring(3), jit, first_update=10, update_frequency=2, timesteps=timesteps)
        before = len(naive.episodes)
        naive.start()
        naive.run(timesteps=naive.timestep + timesteps)
        assert watch.episodes == naive.episodes[before:]
    watch.episodes = naive.episodes
    check(agent, watch, naive)


def test_the_same_agent_goes_on_with_the_same_environment_and_with_another(tmp_path):
    env = Ring(2)
    agent = make_agent(noting_model_fn, model_dir=tmp_path, batch_size=BATCH, size=5_000, jit="on")
    naive, watch = Naive(2, 5, 10, 2), Watch()
    for own in (env, env, Ring(2)):
        agent.train(own, first_update=10, update_frequency=2, timesteps=30, hooks=[watch])
        naive.start()
        naive.run(timesteps=naive.timestep + 30)
    check(agent, watch, naive)


class Meddling(Hook):
    """Looks at everything after each advance."""

    def __init__(self):
        self.times = 0

    def after_act(self, run):
        run.request_summaries()
        run.evaluate(Ring(2), 2)
        run.request_checkpoint()
        self.times += run.stored > 0


@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_what_a_hook_does_between_advances_changes_nothing_in_the_training(tmp_path, jit):
    model_fn = q_model_fn(num_states=2, summaries=["loss"], exploration_config=ConstantExplorationConfig(0.3))
    found = []
    for name, hooks in (("plain", []), ("meddled", [Meddling()])):
        agent, watch = train(
            tmp_path / name, Ring(2), jit, model_fn, hooks, first_update=10, update_frequency=4, timesteps=2_100
        )
        found.append((weights(agent), rows(agent), watch.episodes))
    assert hooks[0].times == len(watch.counters) > 6  # Advances that are watched are one step of each environment.
    for first, second in zip(*found, strict=True):
        if isinstance(first, dict):
            assert_equal(first, second)
        else:
            assert first == second


# CartPole. --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_cart_pole_in_the_loop_steps_as_it_does_eagerly(tmp_path):
    """Each row follows from its state and action, each episode goes on where it was."""
    env = CartPole(3)
    agent, watch = train(tmp_path, env, "on", q_model_fn(num_actions=2, exploration_config=ConstantExplorationConfig(0.5)),
                         first_update=50, update_frequency=3, timesteps=600)  # fmt: skip
    stored = {name: column[:600].reshape([200, 3, *column.shape[1:]]) for name, column in rows(agent).items()}
    lengths, episodes = [0] * 3, []
    for i, n in itertools.product(range(200), range(3)):
        row = {name: column[i, n] for name, column in stored.items()}
        # In the order of the state: (x, x_dot, theta, theta_dot).
        state = type(env.reset(1, tf.zeros([2], tf.int32)))(*(tf.constant([value]) for value in row["state"]))
        after = env.step(state, tf.constant([row["action"]]), tf.zeros([2], tf.int32))
        np.testing.assert_allclose(row["next_state"], env.observe(after.state)[0], rtol=1e-5, atol=1e-6)
        assert (row["reward"], row["done"]) == (1.0, float(after.terminated[0]))
        lengths[n] += 1
        if row["done"] or row["truncated"]:
            episodes.append((float(lengths[n]), lengths[n], n, bool(row["truncated"])))
            lengths[n] = 0
            if i < 199:
                assert np.abs(stored["state"][i + 1, n]).max() <= 0.05
        elif i < 199:
            np.testing.assert_array_equal(stored["state"][i + 1, n], row["next_state"])
    assert watch.episodes == episodes
    assert len(episodes) > 5
    first = stored["state"][0]
    assert len({row.tobytes() for row in first}) == 3  # Each begins in a place of its own.


# Learning. --------------------------------------------------------------------------------------------------------------


class ChainState(NamedTuple):
    link: tf.Tensor


class Chain(CompiledEnvironment):
    """Four links: action 1 goes on, and to the end of the chain for a reward of 1; action 0 takes 0.2 and ends at once."""

    LENGTH = 4
    observation_space = Box(0, 1, (LENGTH + 1,), np.float32)
    action_space = Discrete(2)
    max_episode_steps = 10

    def reset(self, num_envs, seed):
        return ChainState(tf.zeros([num_envs], tf.int32))

    def step(self, state, action, seed):
        link = state.link + action
        reward = tf.where(action == 0, 0.2, tf.where(link == self.LENGTH, 1.0, 0.0))
        return StepOutput(ChainState(link), reward, (action == 0) | (link == self.LENGTH))

    def observe(self, state):
        return tf.one_hot(state.link, self.LENGTH + 1)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_the_chain_is_solved(tmp_path, seed):
    model_fn = q_model_fn(
        "ddqn",
        units=16,
        num_states=Chain.LENGTH + 1,
        num_actions=2,
        optimizer_config=AdamConfig(0.01),
        exploration_config=ConstantExplorationConfig(0.5),
        target_update_frequency=10,
        clip_gradients=10.0,
        discount=0.9,
    )
    agent = make_agent(model_fn, model_dir=tmp_path, batch_size=32, size=4_000, seed=seed, jit="on")
    agent.train(Chain(8), first_update=64, update_frequency=8, timesteps=4_000)
    result = agent.evaluate(Chain(8), 20)
    assert (result["min_reward"], result["mean_ep_length"]) == (1.0, Chain.LENGTH)
