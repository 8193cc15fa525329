"""A resumed run is the run that was not interrupted, and the same seed gives the same run."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from tiny_agents import assert_equal, counters, differ, q_model_fn, rows, weights
from tiny_envs import BanditEnv, ScheduleEnv, vector

from polyrl.configs import DecayExplorationConfig
from polyrl.estimators.hooks import Hook

BATCH = 4


LENGTH = 4


EXPLORATION = {"exploration_config": DecayExplorationConfig(decay_steps=40, min_exploration_rate=0.1)}


class Look(Hook):
    """What a run holds at its begin, and its exploration rates and actions, iteration by iteration."""

    def __init__(self, agent):
        self._agent = agent
        self.rates, self.actions = [], []

    def begin(self, run):
        self.weights, self.rows, self.counters = weights(self._agent), rows(self._agent), counters(self._agent)

    def after_act(self, run):
        self.rates.append(run.exploration_rate)
        self.actions.append(run.actions.tolist())


def schedule(first: int = 0, num_envs: int = 2):
    """Environments whose episodes have four steps."""
    return vector(*(ScheduleEnv(number, (LENGTH,), first=first) for number in range(num_envs)))


# What comes back. -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "jit"), [("dqn", "on"), pytest.param("c51_double", "off", marks=pytest.mark.slow)])
def test_a_run_resumed_between_episodes_is_the_run_that_was_not_interrupted(agent, tmp_path, kind, jit):
    """F11: weights, optimizer, target network, memory, exploration and sampling go on bit for bit."""
    steps = 2 * LENGTH * 4
    model_fn = q_model_fn(kind, target_update_frequency=5, **EXPLORATION)
    straight = agent(model_fn, model_dir=tmp_path / "straight", jit=jit)
    whole = Look(straight)
    straight.train(schedule(), first_update=BATCH, update_frequency=2, timesteps=2 * steps, hooks=[whole])
    first = agent(model_fn, jit=jit)
    one = Look(first)
    first.train(schedule(), first_update=BATCH, update_frequency=2, timesteps=steps, hooks=[one])
    second = agent(model_fn, jit=jit)
    two = Look(second)
    second.train(schedule(first=4), first_update=BATCH, update_frequency=2, timesteps=steps, hooks=[two])
    assert counters(second) == counters(straight)
    assert one.actions + two.actions == whole.actions
    assert one.rates + two.rates == whole.rates
    assert_equal(rows(second), rows(straight))
    assert_equal(weights(second), weights(straight))


def test_everything_is_there_again_before_the_resumed_run_begins(agent):
    model_fn = q_model_fn(target_update_frequency=5)
    first = agent(model_fn, size=10)
    first.train(schedule(), first_update=BATCH, timesteps=18)
    second = agent(model_fn, size=10)
    look = Look(second)
    second.train(schedule(), first_update=BATCH, timesteps=2, hooks=[look])
    assert look.counters == counters(first) == (14, 18, 4)
    assert_equal(look.rows, rows(first))
    assert_equal(look.weights, weights(first))
    slots = [name for name in look.weights if "optimizer" in name]
    numbers = sum(look.weights[name].size for name in slots if look.weights[name].ndim)
    assert numbers == 2 * sum(value.size for name, value in look.weights.items() if "online" in name)  # Adam's two slots.
    assert differ({name: look.weights[name] for name in slots}, {name: np.zeros(1) for name in slots})
    kernels = [look.weights[f"Model/{role}/dense/kernel"] for role in ("online", "target")]
    assert not np.array_equal(*kernels)  # So that one restored in place of the other would be seen.


@pytest.mark.slow
def test_the_same_agent_resumes_too(agent):
    trained = agent(q_model_fn())
    trained.train(schedule(), first_update=BATCH, timesteps=8)
    before = weights(trained)
    look = Look(trained)
    trained.train(schedule(), first_update=BATCH, timesteps=8, hooks=[look])
    assert_equal(look.weights, before)
    assert counters(trained) == (12, 16, 4)


@pytest.mark.slow
def test_a_resumed_run_may_have_another_number_of_environments(agent):
    agent().train(schedule(num_envs=2), first_update=BATCH, timesteps=8)
    result = agent().train(schedule(num_envs=3), first_update=BATCH, timesteps=6)
    assert result.global_timestep == 14


def test_a_resumed_run_plays_other_episodes_than_the_first_one_did(agent):
    seeds = []
    for _ in range(2):
        env = ScheduleEnv()
        agent().train(env, first_update=BATCH, timesteps=3)
        seeds.append(env.seeds[0])
    assert seeds[0] != seeds[1]


def test_a_resumed_run_says_so_and_a_new_one_does_not(agent, caplog):
    caplog.set_level(logging.INFO, "polyrl")
    agent().train(schedule(), first_update=BATCH, timesteps=8)
    assert "Resuming" not in caplog.text
    agent().train(schedule(), first_update=BATCH, timesteps=2)
    (record,) = [record.getMessage() for record in caplog.records if "Resuming" in record.getMessage()]
    for words in ("ckpt-000000008", "environment step 8", "update 4", "episode 2", "8 transitions"):
        assert words in record


def run_with(agent, directory: Path, seed: int, jit: str):
    model_fn = q_model_fn("dqn" if jit == "on" else "c51", num_states=3, **EXPLORATION)
    trained = agent(model_fn, model_dir=directory, seed=seed, jit=jit)
    look = Look(trained)
    env = vector(BanditEnv(), BanditEnv())
    trained.train(env, first_update=6, update_frequency=2, timesteps=60, hooks=[look])
    return trained, look


# Determinism. -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_run_bit_for_bit(agent, tmp_path, jit):
    """F7: of all random streams one alone was seeded."""
    (first, a), (second, b) = (run_with(agent, tmp_path / name, 5, jit) for name in "ab")
    assert_equal(weights(first), weights(second))
    assert_equal(rows(first), rows(second))
    assert a.actions == b.actions
    assert differ(weights(first), a.weights)


@pytest.mark.slow
def test_another_seed_gives_other_weights_environments_and_actions(agent, tmp_path):
    (first, a), (second, b) = (run_with(agent, tmp_path / str(seed), seed, "off") for seed in (5, 6))
    assert differ(a.weights, b.weights)  # Those at the begin.
    assert differ({"state": rows(first)["state"]}, {"state": rows(second)["state"]})
    assert a.actions != b.actions
    assert differ(weights(first), weights(second))
