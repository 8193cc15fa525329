"""Continuous actions through the loops: NAF learns, its noise goes on, and all ways to run it are one run."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_agents import assert_equal, counters, q_model_fn, rows, weights
from tiny_envs import BanditEnv, TargetEnv, vector

from polyrl import configs, ops
from polyrl.configs import (
    AdamConfig,
    ConstantExplorationConfig,
    OrnsteinUhlenbeckExplorationConfig,
    RandomDecayExplorationConfig,
    RandomExplorationConfig,
)
from polyrl.envs import EnvDriver
from polyrl.envs.compiled import Pendulum
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import Hook
from polyrl.models import NAFModel
from polyrl.models.scope import Scope
from polyrl.networks import mlp
from polyrl.replay import PrioritizedReplay, UniformReplay

BATCH, LENGTH = 8, 4
LOW, HIGH = np.array(TargetEnv.LOW), np.array(TargetEnv.HIGH)
PROCESS = OrnsteinUhlenbeckExplorationConfig(sigma=0.3)
SLOW = pytest.mark.slow
OFF = {"save_summary_timesteps": None, "save_checkpoints_timesteps": None, "max_overhead": None}


def naf_fn(units=8, **arguments):
    """A `model_fn` of NAF for a `TargetEnv`."""
    given = {"summaries": [], "action_low": TargetEnv.LOW, "action_high": TargetEnv.HIGH, **arguments}

    def model_fn(features, labels, mode):
        return NAFModel(mode, mlp([units]), 3, 2, **given)(features, labels)

    return model_fn


def pendulum_fn(features, labels, mode):
    model = NAFModel(
        mode, mlp([8]), 3, 1, action_low=-2.0, action_high=2.0, exploration_config=PROCESS, summaries=[], name="Swing"
    )
    return model(features, labels)


class Look(Hook):
    """The counters, the actions and the rates of each iteration."""

    def __init__(self):
        self.counters, self.actions, self.rates = [], [], []

    def after_act(self, run):
        self.counters.append((run.step, run.timestep, run.episode))
        self.actions.append(np.array(run.actions))
        self.rates.append(run.exploration_rate)


def targets(num_envs=2, length=LENGTH):
    """The second one's episodes are truncated; the others end."""
    return vector(*(TargetEnv(length, limit=number == 1) for number in range(num_envs)))


def run(path, model_fn, env=None, memory=None, timesteps=200, hooks=(), **config):
    memory = UniformReplay(100, BATCH) if memory is None else memory
    agent = Agent(model_fn, memory, path, RunConfig(**{"jit": "off", **OFF, **config}))
    look = Look()
    env = targets() if env is None else env
    agent.train(env, first_update=memory.batch_size, update_frequency=2, timesteps=timesteps, hooks=[*hooks, look])
    return agent, look


# Learning. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [pytest.param(False, marks=SLOW), True])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=SLOW)])
def test_naf_learns_the_best_action_of_each_state(tmp_path, seed, overlap):
    """Two numbers of different ranges. Actions at random cost about 1 on average; the best cost nothing."""
    learning = {"optimizer_config": AdamConfig(0.003), "clip_gradients": None, "target_update_frequency": 1}
    noise = RandomDecayExplorationConfig(1.0, decay_steps=800, min_exploration_rate=0.1)
    agent, _ = run(
        tmp_path,
        naf_fn(32, exploration_config=noise, **learning),
        vector(*(TargetEnv() for _ in range(4))),
        UniformReplay(10_000, 64),
        timesteps=2_400,
        overlap=overlap,
        seed=seed,
    )
    assert agent.evaluate("polyrl/TinyTarget-v0", 30)["mean_reward"] > -0.02
    for point, best in enumerate(TargetEnv.TARGETS):
        action = agent.act(np.eye(3, dtype=np.float32)[point])
        np.testing.assert_allclose((action - best) / ((HIGH - LOW) / 2), np.zeros(2), atol=0.15)


# One run in many ways. --------------------------------------------------------------------------------------------------

EXPLORATIONS = {
    "ornstein_uhlenbeck": PROCESS,
    "random_decay": RandomDecayExplorationConfig(0.5, decay_steps=150),
    "random": RandomExplorationConfig(),
}


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("name", EXPLORATIONS)
def test_a_run_with_xla_is_the_run_without(tmp_path, name, overlap):
    """Actions, counters and memory, and the weights but for rounding; with noise from the very first action on."""
    model_fn = naf_fn(exploration_config=EXPLORATIONS[name], optimizer_config=AdamConfig(0.003))
    (fast, seen), (plain, expected) = (run(tmp_path / jit, model_fn, jit=jit, overlap=overlap) for jit in ("on", "off"))
    assert seen.counters == expected.counters
    assert np.shape(seen.actions) == (100, 2, 2)
    np.testing.assert_allclose(seen.actions, expected.actions, rtol=1e-3, atol=1e-3)
    for column, values in rows(fast).items():
        np.testing.assert_allclose(values, rows(plain)[column], rtol=1e-3, atol=1e-3, err_msg=column)
    for label, value in weights(fast).items():
        np.testing.assert_allclose(value, weights(plain)[label], rtol=1e-2, atol=1e-3, err_msg=label)


class Noise(Hook):
    """What was added to the mean at each step, before the range cuts it off."""

    def __init__(self, agent):
        self._agent, self.noise = agent, []

    def after_act(self, run):
        run._sync()
        (part,) = self._agent._scope.unsaved_modules()
        self.noise.append(part.noise.numpy())


@pytest.mark.parametrize("jit", ["off", "on"])
def test_noise_goes_on_through_an_episode_and_begins_at_zero_in_the_next(tmp_path, jit):
    """E1, E3: what is added in a run with XLA or without is what a loop over environments and steps adds."""
    agent = Agent(naf_fn(exploration_config=PROCESS), UniformReplay(100, BATCH), tmp_path, RunConfig(jit=jit, **OFF))
    look = Noise(agent)
    agent.train(targets(), first_update=BATCH, timesteps=2 * 5 * LENGTH, hooks=[look])
    scope = Scope()

    def drawn(timestep):
        return ops.normal([2, 2], scope.random_seed("exploration", tf.constant(timestep, tf.int64))).numpy()

    noise = PROCESS.sigma * drawn(0)  # The first action's, of the start.
    for iteration, found in enumerate(look.noise, start=1):
        fresh = iteration % LENGTH == 0
        noise = (0.0 if fresh else (1 - PROCESS.theta) * noise) + PROCESS.sigma * drawn(2 * iteration)
        np.testing.assert_allclose(found, noise, rtol=1e-4, atol=1e-5, err_msg=f"{iteration}")


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", "on"])
def test_a_run_resumed_between_episodes_is_the_run_that_was_not_interrupted(tmp_path, jit):
    """Bit for bit: the noise begins anew with the episodes. The points shown are the same in each episode here."""

    class Fixed(TargetEnv):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=0)

    def env():
        return vector(Fixed(LENGTH), Fixed(LENGTH, limit=True))

    model_fn = naf_fn(exploration_config=PROCESS)
    steps = 2 * LENGTH
    straight, whole = run(tmp_path / "straight", model_fn, env(), timesteps=12 * steps, jit=jit)
    _, first = run(tmp_path / "parts", model_fn, env(), timesteps=5 * steps, jit=jit)
    resumed, second = run(tmp_path / "parts", model_fn, env(), timesteps=7 * steps, jit=jit)
    assert first.counters + second.counters == whole.counters
    np.testing.assert_array_equal([*first.actions, *second.actions], whole.actions)
    assert_equal(weights(resumed), weights(straight))
    assert_equal(rows(resumed), rows(straight))


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", "on"])
def test_a_resumed_run_may_have_other_environments_in_number_and_another_exploration(tmp_path, jit):
    agent, _ = run(tmp_path, naf_fn(exploration_config=PROCESS), timesteps=20, jit=jit)
    agent.train(targets(3), first_update=BATCH, timesteps=30)  # The same agent, and a new one.
    agent, _ = run(tmp_path, naf_fn(exploration_config=PROCESS), targets(1), timesteps=10, jit=jit)
    agent, _ = run(tmp_path, naf_fn(exploration_config=ConstantExplorationConfig(0.1)), timesteps=20, jit=jit)
    agent, _ = run(tmp_path, naf_fn(exploration_config=PROCESS), timesteps=20, jit=jit)
    assert counters(agent)[1] == 100


@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=SLOW)])
def test_evaluations_and_checkpoints_in_mid_run_leave_the_noise_alone(tmp_path, jit):
    class Meddling(Hook):
        def after_act(self, run):
            if run.timestep % 14 == 0:
                run.evaluate(targets(), 2)
                run.request_checkpoint()

    model_fn = naf_fn(exploration_config=PROCESS, eval_metrics_config=[configs.MetricConfig("Mean", "td_error")])
    plain, expected = run(tmp_path / "plain", model_fn, timesteps=100, jit=jit)
    ours, seen = run(tmp_path / "meddled", model_fn, timesteps=100, jit=jit, hooks=[Meddling()])
    np.testing.assert_array_equal(seen.actions, expected.actions)
    assert_equal(weights(ours), weights(plain))


# Memories. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_step", "memory"),
    [
        (1, UniformReplay),
        (3, PrioritizedReplay),
        pytest.param(1, PrioritizedReplay, marks=SLOW),
        pytest.param(3, UniformReplay, marks=SLOW),
    ],
)
def test_memories_keep_numbers_as_they_were_done(tmp_path, memory, n_step):
    """Each row's action is one that the environment got, bit for bit; and updates happen."""
    env = TargetEnv(LENGTH)
    agent, _ = run(tmp_path, naf_fn(), vector(env), memory(100, BATCH, n_step=n_step), timesteps=60)
    stored = rows(agent)["action"]
    assert (stored.dtype, stored.shape[1:]) == (np.float32, (2,))
    np.testing.assert_array_equal(stored[:60], np.array(env.actions)[:60])
    assert counters(agent)[0] == 26
    assert all(np.isfinite(value).all() for value in weights(agent).values())


# Acting. ----------------------------------------------------------------------------------------------------------------


def test_acting_gives_an_array_for_one_state_and_for_many(tmp_path):
    agent, _ = run(tmp_path, naf_fn(), timesteps=20)
    one, many = agent.act(np.eye(3)[0]), agent.act(np.eye(3))
    assert isinstance(one, np.ndarray)
    assert (one.shape, one.dtype, many.shape) == ((2,), np.float32, (3, 2))
    np.testing.assert_allclose(one, many[0], rtol=1e-6)
    assert ((many >= LOW) & (many <= HIGH)).all()


def test_predictions_are_those_of_each_step(tmp_path):
    agent, _ = run(tmp_path, naf_fn(), timesteps=20)
    steps = list(agent.predict(TargetEnv(LENGTH), episodes=2))
    assert len(steps) == 2 * LENGTH
    for step in steps:
        assert step["results"].shape == step["mean"].shape == (2,)
        assert np.shape(step["q"]) == ()
        np.testing.assert_allclose(step["results"], agent.act(step["state"]), rtol=1e-5)


def test_an_evaluation_acts_by_the_mean_and_reports_a_loss(tmp_path):
    agent, _ = run(tmp_path, naf_fn(exploration_config=RandomExplorationConfig()), timesteps=20)
    env = TargetEnv(LENGTH)
    result = agent.evaluate(env, 3)
    assert np.isfinite(result["loss"])
    best = {tuple(action.round(4)) for action in agent.act(np.eye(3))}
    assert {tuple(action.round(4)) for action in env.actions} <= best


# Environments in the graph. ---------------------------------------------------------------------------------------------


def pendulum_noise(agent, num_envs, steps):
    """The noise after so many steps of an episode, by a loop."""
    noise = np.zeros([num_envs, 1])
    for step in range(steps):
        seed = agent._scope.random_seed("exploration", tf.constant(step * num_envs, tf.int64))
        noise = (1 - PROCESS.theta) * noise * (step % 200 > 0) + PROCESS.sigma * ops.normal([num_envs, 1], seed).numpy()
    return noise


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["on", "off"])
def test_a_pendulum_in_the_graph(tmp_path, jit):
    """Several hundred steps, more than an episode; the noise after them is that of a loop."""
    agent = Agent(pendulum_fn, UniformReplay(1_000, BATCH), tmp_path, RunConfig(jit=jit, **OFF))
    result = agent.train(Pendulum(num_envs=2), first_update=BATCH, update_frequency=4, timesteps=500)
    assert (result.global_timestep, result.global_step, result.global_episode) == (500, 123, 2)
    (part,) = agent._scope.unsaved_modules()
    np.testing.assert_allclose(part.noise, pendulum_noise(agent, 2, 250), rtol=1e-3, atol=1e-4)
    stored = rows(agent)["action"][:500]
    assert (stored.shape, stored.dtype) == ((500, 1), np.float32)
    assert ((stored >= -2) & (stored <= 2)).all()
    assert len(np.unique(stored)) > 250
    again = Agent(pendulum_fn, UniformReplay(1_000, BATCH), tmp_path, RunConfig(jit=jit, **OFF))
    assert again.train(Pendulum(num_envs=2), first_update=BATCH, timesteps=100).global_timestep == 600


@pytest.mark.slow
def test_the_loop_in_the_graph_with_xla_is_the_one_without(tmp_path):
    found = []
    for jit in ("off", "on"):
        agent = Agent(pendulum_fn, UniformReplay(1_000, BATCH), tmp_path / jit, RunConfig(jit=jit, **OFF))
        agent.train(Pendulum(num_envs=2), first_update=BATCH, update_frequency=4, timesteps=100)
        found.append(rows(agent))
    for column in found[0]:
        np.testing.assert_allclose(found[0][column], found[1][column], rtol=2e-3, atol=2e-3, err_msg=column)


# The environment's side. ------------------------------------------------------------------------------------------------


class PickyEnv(gymnasium.Env):
    """Takes float64 within bounds that float32 rounds outwards."""

    observation_space = Box(0, 1, (3,), np.float32)
    action_space = Box(-0.1, 0.1, (2,), np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return np.zeros(3, np.float32), 0.0, True, False, {}


def test_an_environment_of_float64_gets_its_own_bounds_and_none_beyond():
    assert float(np.float32(0.1)) > 0.1
    driver = EnvDriver(vector(PickyEnv()))
    driver.reset([0])
    for end in (-0.1, 0.1):
        transitions, _ = driver.step(np.full([1, 2], end, np.float32))
        assert transitions.action.dtype == np.float32


# What is logged. --------------------------------------------------------------------------------------------------------

LOGGED = [
    ("naf", PROCESS, 0.3),
    ("dqn", configs.BoltzmannExplorationConfig(8.0, 2.0, 10), 2.0),
    pytest.param("naf", configs.GreedyExplorationConfig(), 0.0, marks=SLOW),
    pytest.param("naf", ConstantExplorationConfig(0.25), 0.25, marks=SLOW),
    pytest.param("naf", RandomExplorationConfig(), 1.0, marks=SLOW),
    pytest.param("naf", RandomDecayExplorationConfig(0.5, decay_steps=10, min_exploration_rate=0.125), 0.125, marks=SLOW),
    pytest.param("dqn", configs.GreedyExplorationConfig(), 0.0, marks=SLOW),
    pytest.param("dqn", RandomExplorationConfig(), 1.0, marks=SLOW),
]


@pytest.mark.parametrize(("kind", "config", "rate"), LOGGED, ids=str)
def test_the_rate_is_in_tensorboard_whatever_the_config_is(tmp_path, kind, config, rate):
    """E10."""
    arguments = {"exploration_config": config, "summaries": ["exploration"]}
    model_fn = naf_fn(**arguments) if kind == "naf" else q_model_fn(num_states=3, **arguments)
    env = targets() if kind == "naf" else vector(BanditEnv(), BanditEnv())
    _, look = run(tmp_path, model_fn, env, timesteps=40, save_summary_timesteps=20)
    assert look.rates[-1] == pytest.approx(rate)
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    values = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("rollout/exploration_rate")]
    assert values[-1] == pytest.approx(rate)
