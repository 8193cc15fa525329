"""Environments that step while the learner runs."""

from __future__ import annotations

import threading
import time

import gymnasium
import numpy as np
import pytest
from tiny_agents import assert_equal, counters, make_agent, q_model_fn, rows, weights
from tiny_envs import BanditEnv, ChainEnv

from polyrl.estimators.hooks import Hook

BATCH = 4


class Counts(Hook):
    """The counters as each update leaves them."""

    def __init__(self):
        self.seen = []

    def after_update(self, run):
        self.seen.append((run.step, run.timestep))


class ThreadEnv(gymnasium.Env):
    """Waits in each step until the learner has stored the step before: a loop that learns afterwards would wait for ever."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,))
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, memory):
        self.memory, self.steps = memory, 0

    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.float32), {}

    def step(self, action):
        waited = threading.Event()
        for _ in range(2_000):
            if int(self.memory.inserted.numpy()) >= self.steps:
                break
            waited.wait(0.005)
        else:
            raise TimeoutError("The learner did not run beside the environment.")
        self.steps += 1
        return np.zeros(3, np.float32), 0.0, False, False, {}


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_run(tmp_path, jit):
    runs = []
    for name in "ab":
        agent = make_agent(q_model_fn(num_states=3), model_dir=tmp_path / name, overlap=True, jit=jit, seed=3)
        agent.train(BanditEnv(), first_update=6, timesteps=60)
        runs.append(agent)
    assert_equal(weights(runs[0]), weights(runs[1]))
    assert_equal(rows(runs[0]), rows(runs[1]))


@pytest.mark.slow
@pytest.mark.parametrize("budget", [{"timesteps": 30}, {"steps": 13}, {"episodes": 9}])
def test_nothing_is_left_out_at_the_end(tmp_path, budget):
    """The checkpoint holds the last step and its update, though a loop learns one step later."""
    ended = []
    for overlap in (False, True):
        agent = make_agent(q_model_fn(num_states=4, num_actions=2), model_dir=tmp_path / str(overlap), overlap=overlap)
        result = agent.train(ChainEnv(), first_update=BATCH, **budget)
        assert counters(agent) == (result.global_step, result.global_timestep, result.global_episode)
        assert int(agent.memory.stored().numpy()) == result.global_timestep
        ended.append(counters(agent))
    if "timesteps" in budget:
        assert ended[0][:2] == ended[1][:2]
    if "steps" in budget:
        assert ended[0][0] == ended[1][0] == 13


@pytest.mark.slow
def test_hooks_see_each_update_once(tmp_path):
    counts = Counts()
    agent = make_agent(q_model_fn(num_states=3), overlap=True, model_dir=tmp_path)
    agent.train(BanditEnv(), first_update=BATCH, timesteps=12, hooks=[counts])
    assert [step for step, _ in counts.seen] == list(range(1, 9))


@pytest.mark.slow
def test_the_learner_runs_while_the_environment_steps(tmp_path):
    agent = make_agent(q_model_fn(num_states=3), overlap=True, model_dir=tmp_path)
    env = ThreadEnv(agent.memory)
    agent.train(env, first_update=BATCH, timesteps=20)
    assert env.steps == 20


def test_an_overlapped_run_is_resumed(tmp_path):
    for timesteps in (20, 20):
        agent = make_agent(q_model_fn(num_states=3), overlap=True, model_dir=tmp_path)
        agent.train(BanditEnv(), first_update=BATCH, timesteps=timesteps)
    assert counters(agent)[:2] == (36, 40)
    assert int(agent.memory.stored().numpy()) == 40


@pytest.mark.slow
def test_it_learns(tmp_path):
    agent = make_agent(
        q_model_fn(num_states=3, units=16, clip_gradients=10.0), overlap=True, model_dir=tmp_path, batch_size=32
    )
    agent.train(BanditEnv(), first_update=64, timesteps=1_500)
    assert agent.evaluate("polyrl/TinyBandit-v0", 30)["mean_reward"] == 1.0


class Timed(BanditEnv):
    """Steps that take as long as they are told, without Python."""

    seconds = 0.0

    def step(self, action):
        time.sleep(self.seconds)
        return super().step(action)


@pytest.mark.parametrize(("seconds", "steps", "told"), [(0.0, 200, 1), (0.0, 199, 0), (0.001, 210, 0)])
def test_who_overlaps_quick_steps_is_told_once_that_it_does_not_pay(monkeypatch, caplog, seconds, steps, told):
    monkeypatch.setattr(Timed, "seconds", seconds)
    if seconds == 0.0:  # On a busy machine half of the steps may take longer than half a millisecond.
        monkeypatch.setattr("polyrl.estimators.loops.overlap.QUICK", 0.1)
    with caplog.at_level("WARNING", "polyrl"):
        make_agent(q_model_fn(num_states=3), overlap=True).train(Timed(), first_update=steps, timesteps=steps + 5 * told)
    assert caplog.text.count("less than it costs to learn beside it; the run is faster with overlap=False.") == told
