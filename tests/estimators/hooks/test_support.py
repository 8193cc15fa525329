"""Returns that leave the support of a distribution, or use little of it, are told."""

from __future__ import annotations

import logging
import re

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete
from tiny_agents import make_agent, q_model_fn

from polyrl.envs import GymEnvironment
from polyrl.envs.compiled import CartPole
from polyrl.estimators.hooks import support
from polyrl.estimators.hooks.support import discounted_returns
from polyrl.replay import UniformReplay

SLOW = pytest.mark.slow


class Paying(gymnasium.Env):
    """Episodes of ten steps; the last one pays."""

    observation_space, action_space = Box(0.0, 1.0, [4]), Discrete(3)

    def __init__(self, reward: float):
        self._reward = reward

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps = 0
        return self.np_random.random(4, np.float32), {}

    def step(self, action):
        self._steps += 1
        last = self._steps == 10
        return self.np_random.random(4, np.float32), self._reward if last else 0.0, last, False, {}


@pytest.fixture
def warnings(caplog, monkeypatch):
    monkeypatch.setattr(support, "FIRST", 20)
    monkeypatch.setattr(support, "LATE", 80)
    return lambda: [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def train(env, kind="c51", jit="off", timesteps=200, num_actions=3, **arguments):
    given = {"num_atoms": 11, "min_q_value": -10.0, "max_q_value": 10.0, "discount": 0.9} if kind == "c51" else {}
    agent = make_agent(q_model_fn(kind, num_actions=num_actions, **{**given, **arguments}), jit=jit)
    agent.train(env, timesteps=timesteps, first_update=4)


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
@pytest.mark.parametrize("num_envs", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_returns_beyond_the_support_are_told_once(warnings, jit, num_envs):
    train(GymEnvironment(Paying, num_envs, reward=1000.0), jit=jit)
    (text,) = warnings()
    # 1,000 at the last step, and 1,000 * 0.9 ** 9 at the first.
    assert "from 387.4 to 1000 were seen, beyond" in text
    assert "min_q_value=-10 to max_q_value=10" in text
    assert "min_q_value=-10 and max_q_value=1100" in text


@pytest.mark.slow
def test_negative_returns_beyond_it_too(warnings):
    train(GymEnvironment(Paying, reward=-30.0))
    (text,) = warnings()
    assert "from -30 to -11.62" in text
    assert "min_q_value=-32 and max_q_value=10" in text


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_environments_in_the_graph_too(warnings, jit):
    train(CartPole(num_envs=2), jit=jit, timesteps=2_000, num_actions=2, min_q_value=0.0, max_q_value=3.0)
    (text,) = warnings()
    assert "beyond" in text


@pytest.mark.slow
def test_little_use_is_told_later(warnings):
    train(GymEnvironment(Paying, reward=1.0), timesteps=79)
    assert not warnings()
    train(GymEnvironment(Paying, reward=1.0), timesteps=200)
    (text,) = warnings()
    assert "from 0.3874 to 1 were seen, in less than a tenth of" in text


@pytest.mark.slow
@pytest.mark.parametrize("reward", [9.0, -5.0, 0.0])
def test_what_fits_is_not_told(warnings, reward):
    train(GymEnvironment(Paying, reward=reward))
    assert not warnings()


@pytest.mark.slow
def test_models_without_a_support_are_left_alone(warnings):
    train(GymEnvironment(Paying, reward=1000.0), kind="dqn")
    assert not warnings()


class Going(Paying):
    """Every step pays; episodes never terminate, and are truncated after some steps, or never."""

    def __init__(self, reward: float, length: float):
        super().__init__(reward)
        self._length = length

    def step(self, action):
        self._steps += 1
        return self.np_random.random(4, np.float32), self._reward, False, self._steps >= self._length, {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reward", "length", "discount", "expected"),
    [
        (1_000.0, np.inf, 1.0, "from 1000 to 2e+04 were seen, of episodes that continue, beyond"),
        pytest.param(1_000.0, np.inf, 0.9999, "from 1000 to 1.998e+04 were seen, of episodes that continue", marks=SLOW),
        pytest.param(-1_000.0, np.inf, 1.0, "from -2e+04 to -1000 were seen", marks=SLOW),
        pytest.param(1.0, 5, 0.99, "from 100 to 100 are to be expected if rewards continue as they are", marks=SLOW),
        (-1.0, 5, 0.99, "from -100 to -100 are to be expected if rewards continue as they are"),
    ],
)
def test_rewards_without_an_end_are_told_though_no_return_is_known(warnings, reward, length, discount, expected):
    train(GymEnvironment(Going, reward=reward, length=length), discount=discount)
    (text,) = warnings()
    assert f"Discounted returns {expected}" in text


@pytest.mark.slow
def test_a_short_limit_does_not_tell_of_what_fits(warnings):
    train(GymEnvironment(Going, reward=0.05, length=5), discount=0.99)
    assert not warnings()


class Trading(Going):
    """Buys for the price, and sells for it in the next step; the first reward of an episode is that of a sale."""

    def step(self, action):
        state, reward, *rest = super().step(action)
        return state, reward if self._steps % 2 else -reward, *rest


@pytest.mark.slow
@pytest.mark.parametrize(("reward", "told"), [(1_000.0, True), (-1_000.0, True), (12.0, False), (5.0, False)])
def test_episodes_that_are_cut_off_tell_where_no_later_return_could_bring_theirs_back(warnings, reward, told):
    """Of rewards with both signs they told nothing before the 16,000th step, and then their mean, which was about 0."""
    train(GymEnvironment(Trading, reward=reward, length=6), discount=0.99, timesteps=60)
    assert len(warnings()) == told
    seen = "from -1000 to 29.41" if reward > 0 else "from -29.41 to 1000"
    assert all(f"{seen} were seen, of episodes that continue, beyond the support" in text for text in warnings())


@pytest.mark.slow
def test_a_resumed_run_does_not_tell_again(warnings, tmp_path):
    model = q_model_fn("c51", num_actions=3, num_atoms=11, min_q_value=-10.0, max_q_value=10.0, discount=0.9)
    for _ in range(2):
        make_agent(model, model_dir=tmp_path).train(GymEnvironment(Paying, reward=1000.0), timesteps=200, first_update=4)
    assert len(warnings()) == 1


def test_returns_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    reward = rng.normal(size=[60, 2])
    terminated, truncated = ((rng.random([60, 2]) < 0.1).astype(np.float32) for _ in range(2))
    expected = []
    for env in range(2):
        for start in range(60):
            total, factor, step = 0.0, 1.0, start
            while step < 60:
                total += factor * reward[step, env]
                factor *= 0.8
                step += 1
                if terminated[step - 1, env]:
                    factor = 0.0
                if terminated[step - 1, env] or truncated[step - 1, env]:
                    break
            if factor < 0.1:
                expected.append(total)
    found, weight = discounted_returns(reward, terminated, truncated, 0.8)
    np.testing.assert_allclose(sorted(found[weight < 0.1]), sorted(expected), rtol=1e-6)


def test_ends_of_episodes_are_found_in_stacks_of_frames():
    replay = UniformReplay(40, 2, frame_stack=2)
    state, scalar = tf.TensorSpec([3, 3, 2], tf.uint8), tf.TensorSpec([], tf.float32)
    specs = {"state": state, "action": tf.TensorSpec([], tf.int32), "reward": scalar, "done": scalar, "truncated": scalar}
    replay.build({**specs, "next_state": state}, num_envs=1)
    for step in range(9):
        states = tf.zeros([1, 3, 3, 2], tf.uint8)
        ends = {"done": tf.constant([float(step == 2)]), "truncated": tf.constant([float(step == 5)])}
        row = {"action": tf.zeros([1], tf.int32), "reward": tf.constant([10.0**step])}
        replay.add({"state": states, "next_state": states, **row, **ends})
    returns, weight = discounted_returns(*(column.numpy() for column in replay.newest(100)), 1.0)
    np.testing.assert_allclose(sorted({*returns[weight == 0.0].tolist()} - {0.0}), [100, 110, 111], rtol=1e-6)
    cut = sorted({*returns[weight == 1.0].tolist()} - {0.0})  # By the limit, and by the end of the window.
    np.testing.assert_allclose(cut, [1e5, 1.1e5, 1.11e5, 1e8, 1.1e8, 1.11e8], rtol=1e-6)


class Improving(Paying):
    """The first episode, and every third after it, fails at its third step; others pay 1 a step until they are truncated."""

    episodes = 0

    def reset(self, *, seed=None, options=None):
        self.episodes += 1
        return super().reset(seed=seed)

    def step(self, action):
        self._steps += 1
        fails = self.episodes % 3 == 1 and self._steps == 3
        return self.np_random.random(4, np.float32), -1.0 if fails else 1.0, fails, self._steps == 20, {}


@pytest.mark.slow
def test_truncated_episodes_count_beside_those_that_failed_early(warnings):
    """Only the returns of those that ended were looked at: the good ones left the support, and nobody was told."""
    train(GymEnvironment(Improving, reward=0.0), discount=0.99, min_q_value=-2.0, max_q_value=14.0)
    (text,) = warnings()
    assert "were seen, of episodes that continue, beyond the support" in text
    assert "min_q_value=-2 and max_q_value=18 would do" in text  # What was not left stays.


class Growing(Paying):
    """Each episode pays more than the one before."""

    paid = 0.0

    def reset(self, *, seed=None, options=None):
        self.paid += 5.0
        self._reward = self.paid
        return super().reset(seed=seed)


@pytest.mark.slow
def test_returns_that_leave_what_was_advised_are_told_again(warnings):
    """The first warning came when the agent acted at random; whoever followed it learned at the upper atom, in silence."""
    train(GymEnvironment(Growing, reward=0.0), timesteps=400)
    texts = [text for text in warnings() if "beyond the support" in text]
    advised = [float(re.search(r"max_q_value=(\S+) would do", text)[1]) for text in texts]
    assert 2 <= len(texts) <= 5  # Looks come after 20, 40, 80, 160 and 320 steps.
    assert advised == sorted(advised)
    assert advised[-1] > 2 * advised[0]
