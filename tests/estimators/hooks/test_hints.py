"""What is said of runs that do not learn, once each; and what is not said of runs that do."""

from __future__ import annotations

import logging
import types
from typing import Any

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.envs import Episode
from polyrl.estimators import Agent, EstimatorSpec, RunConfig
from polyrl.estimators.budget import Budget
from polyrl.estimators.hooks import Hook
from polyrl.estimators.hooks.hints import HintsHook
from polyrl.models import DQNModel
from polyrl.networks import mlp
from polyrl.replay import RolloutMemory, UniformReplay
from polyrl.summaries import Summaries


class Rewards(gymnasium.Env):
    """Three steps with the same reward each."""

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, reward: float = 1.0):
        self._reward, self._t = reward, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return np.ones(2, np.float32), {}

    def step(self, action):
        self._t += 1
        return np.ones(2, np.float32), self._reward, self._t == 3, False, {}


def hints(
    caplog, reward: float = 1.0, timesteps: int = 60, model_dir: Any = None, env: Any = None, **arguments: Any
) -> list[str]:
    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        model = DQNModel(mode, mlp([4]), num_states=2, num_actions=2, name="DQN", **arguments)
        return model(features, labels)

    config = RunConfig(progress=False, jit="off", save_summary_timesteps=5, max_overhead=None)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "polyrl"):
        Agent(model_fn, UniformReplay(100, 4), model_dir, config).train(
            env or Rewards(reward), first_update=4, max_timesteps=timesteps
        )
    return [text for text in caplog.messages if "when_it_does_not_learn" in text]


def test_a_run_that_learns_is_left_alone(caplog):
    assert hints(caplog) == []


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e6, 0.1, 1e-7])
def test_a_learning_rate_far_off_is_told_at_the_start(caplog, rate):
    from polyrl.configs import AdamConfig

    told = hints(caplog, timesteps=3, optimizer_config=AdamConfig(rate))
    assert (
        [text for text in told if f"learning_rate={rate:g} of DQN is" in text and "adam hardly ever learns" in text]
        == told
        != []
    )


@pytest.mark.slow
@pytest.mark.parametrize(("reward", "scale"), [(1e4, "0.0001"), (-500.0, "0.002"), (1e-3, None)])
def test_the_scale_of_rewards(caplog, reward, scale):
    told = [text for text in hints(caplog, reward) if "reward_scale" in text]
    if scale is None:
        assert told == []  # There are too few episodes to know.
    else:
        assert len(told) == 1
        assert f"{abs(reward):.3g} on average: give the model reward_scale={scale}" in told[0]
    assert not [text for text in hints(caplog, reward, reward_scale=1e-4) if "reward_scale" in text]


class Cancelling(Rewards):
    """What is lost in one step is gained in the next one."""

    def step(self, action):
        self._reward = -self._reward
        return super().step(action)


@pytest.mark.slow
@pytest.mark.parametrize("timesteps", [20, 60])
def test_large_rewards_that_cancel_in_an_episode_are_large(caplog, timesteps):
    """Only their sum was looked at, which hardly grows with their number."""
    (text,) = [text for text in hints(caplog, env=Cancelling(500.0), timesteps=timesteps) if "reward_scale" in text]
    assert "Rewards are large, 500 on average: give the model reward_scale=0.002." in text
    assert not [text for text in hints(caplog, env=Cancelling(50.0)) if "reward_scale" in text]


def test_a_scale_that_makes_rewards_large_is_told_by_its_name(caplog):
    """With any reward_scale nothing was said, or the learning rate was blamed for the large values."""
    for clip, expected in ((None, 1), (1.0, 0)):
        hook = HintsHook({"DQN": {"reward_scale": 1e6, "clip_rewards": clip}})
        hook.after_episode(Run(), Episode(reward=1.0, length=1, env=0, truncated=False))
        told = looked_at(caplog, hook, {})
        words = "With reward_scale=1e+06 of DQN rewards are large, 1e+06 on average: give the model reward_scale=1."
        assert [words in text for text in told] == [True] * expected


def test_values_of_scaled_rewards_are_compared_with_scaled_returns(caplog):
    for scale, told in ((1000.0, 0), (1.0, 1)):
        hook = HintsHook({"DQN": {"reward_scale": scale}})
        hook.after_episode(Run(), Episode(reward=1.0, length=1, env=0, truncated=False))
        texts = looked_at(caplog, hook, {"train/q_max": 5_000.0})
        assert len([text for text in texts if "values diverge" in text]) == told


@pytest.mark.slow
def test_a_target_period_longer_than_the_run(caplog):
    assert any("target_update_frequency=900 of DQN is longer" in text for text in hints(caplog, target_update_frequency=900))


@pytest.mark.slow
def test_no_target_network_has_no_period(caplog):
    """It was said that the target network stays as it began, also of a model without one."""
    settings = {"use_target_graph": False, "target_update_frequency": 900}
    assert not [text for text in hints(caplog, **settings) if "target_update_frequency" in text]


@pytest.mark.parametrize(
    ("budget", "at_first", "in_the_end"),
    [
        (Budget(timestep=800), 1, 1),
        (Budget(episode=3), 0, 1),
        (Budget(timestep=900), 0, 0),  # Long enough, and ended before.
        (Budget(episode=4), 0, 0),
        (Budget(), 0, 0),
    ],
)
def test_a_target_period_in_environment_steps_longer_than_the_run(caplog, budget, at_first, in_the_end):
    hook = HintsHook({"DQN": {"target_update_frequency": 5, "target_update_timesteps": 900}}, updates=lambda start, end: 2)
    words = "target_update_timesteps=900 of DQN is longer than the run of 800 environment steps: its target network stays"
    with caplog.at_level(logging.WARNING, "polyrl"):
        hook.begin(Run(budget=budget, pretrain_updates=0))
        assert [words in text for text in caplog.messages] == [True] * at_first
        hook.end(Run(budget=budget, timestep=800, episode=3))
    assert [words in text for text in caplog.messages] == [True] * in_the_end


@pytest.mark.parametrize(("memory", "told"), [(UniformReplay, True), (RolloutMemory, False)])
def test_a_mixture_of_returns_needs_sequences(caplog, memory, told):
    hook = HintsHook({"PQN": {"trace_decay": 0.65}}, memory=memory(8, 4))
    with caplog.at_level(logging.WARNING, "polyrl"):
        hook.begin(Run(pretrain_updates=0))
    words = "trace_decay=0.65 of PQN has no effect with UniformReplay, which gives single transitions. Use RolloutMemory"
    assert [words in text for text in caplog.messages] == [True] * told


class Run(types.SimpleNamespace):
    """As much of a run as the hook looks at."""

    budget = Budget()
    timestep = step = episode = 0


def looked_at(caplog, hook: HintsHook, scalars: dict[str, float], timestep: int = 20_000, times: int = 1) -> list[str]:
    run = Run(timestep=timestep, step=5, episode=1, episodes=[Episode(reward=1.0, length=1, env=0, truncated=False)])
    caplog.clear()
    with caplog.at_level(logging.WARNING, "polyrl"):
        for _ in range(times):
            values = {name: tf.constant(value) for name, value in scalars.items()}
            hook.after_summaries(run, Summaries(values, {}, {}))
    return caplog.messages


def seen(returns: list[float]) -> HintsHook:
    hook = HintsHook({})
    for reward in returns:
        hook.after_episode(Run(), Episode(reward=reward, length=1, env=0, truncated=False))
    return hook


@pytest.mark.parametrize(
    ("returns", "timestep", "told"),
    [
        ([-200.0] * 100, 20_000, True),
        ([-200.0] * 99, 20_000, False),
        ([-200.0] * 100, 9_000, False),
        ([*[-200.0] * 100, -150.0], 20_000, False),
        ([20.0, *[500.0] * 500], 20_000, False),  # As of an agent that has learned all there is.
    ],
)
def test_episodes_that_all_end_alike(caplog, returns, timestep, told):
    hook = seen(returns)
    found = [text for text in looked_at(caplog, hook, {}, timestep, times=3) if "had the same return" in text]
    assert len(found) == told
    again = HintsHook({})
    again.set_state(hook.get_state())
    assert looked_at(caplog, again, {}, timestep) == []  # Once, also over a resumption.


@pytest.mark.parametrize(("episodes", "timestep", "told"), [(20, 10_000, 1), (48, 12_000, 1), (48, 9_000, 0), (19, 19_000, 0)])
def test_few_long_episodes_that_all_end_alike_are_told_at_half_of_the_budget(caplog, episodes, timestep, told):
    """Of MountainCar's there are a hundred in 20,000 environment steps."""
    hook = seen([-200.0] * episodes)
    run = Run(timestep=timestep, step=5, episode=episodes, episodes=[], budget=Budget(timestep=20_000))
    with caplog.at_level(logging.WARNING, "polyrl"):
        for _ in range(2):
            hook.after_summaries(run, Summaries({}, {}, {}))
    assert (
        len([text for text in caplog.messages if f"All of the {episodes} episodes so far had the same return" in text]) == told
    )


def test_small_returns(caplog):
    (text,) = looked_at(caplog, seen([0.0, *[1e-4] * 100]), {})
    assert "Returns are small, 0.0001 at most: give the model reward_scale=1e+04." in text


def test_a_layer_is_dead_when_it_has_been_for_some_looks(caplog):
    hook = HintsHook({})
    tag = "activations/dense_1/zero_fraction"
    assert looked_at(caplog, hook, {tag: 0.995}, times=2) == []
    assert looked_at(caplog, hook, {tag: 0.5}) == []
    assert looked_at(caplog, hook, {tag: 1.0}, times=2) == []
    (text,) = looked_at(caplog, hook, {tag: 1.0}, times=5)
    assert "100.0% of the outputs of the layer 'dense_1' are zero" in text


@pytest.mark.parametrize(("largest", "told"), [(1e4, True), (1_999.0, False), (float("nan"), False)])
def test_action_values_beyond_every_return(caplog, largest, told):
    found = looked_at(caplog, seen([10.0, -200.0]), {"train/q_max": largest}, times=2)
    assert len(found) == told
    assert all("values diverge" in text for text in found)


def test_episodes_without_an_end_are_told(caplog):
    hook = HintsHook({})
    run = Run(timestep=100_000, step=5, episode=0, episodes=[])
    with caplog.at_level(logging.WARNING, "polyrl"):
        for _ in range(2):
            hook.after_summaries(run, Summaries({}, {}, {}))
    (text,) = caplog.messages
    assert text.startswith("No episode has ended in 100,000 environment steps.")


@pytest.mark.slow
def test_a_target_period_longer_than_the_run_is_told_at_its_start(caplog, tmp_path):
    """With a budget of environment steps it was told when all of them had been spent."""
    told: list[str] = []

    class Begins(Hook):
        def begin(self, run):
            told.extend(text for text in caplog.messages if "target_update_frequency=" in text)

    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        return DQNModel(mode, mlp([4]), num_states=2, num_actions=2, name="DQN", target_update_frequency=29)(features, labels)

    agent = Agent(model_fn, UniformReplay(100, 4), tmp_path, RunConfig(progress=False, jit="off"))
    with caplog.at_level(logging.WARNING, "polyrl"):
        result = agent.train(Rewards(), first_update=4, update_frequency=2, max_timesteps=60, hooks=[Begins()])
    assert ["longer than the run of 28 updates" in text for text in told] == [True]
    assert result.global_step == 28


@pytest.mark.parametrize(
    ("budget", "updates", "told"),
    [
        (Budget(timestep=1_000), lambda begin, end: end - begin, False),
        (Budget(timestep=1_000, step=99), lambda begin, end: end - begin, True),
        (Budget(timestep=50), lambda begin, end: end - begin, True),
        (Budget(episode=1), lambda begin, end: end - begin, False),
        (Budget(timestep=50), None, False),
    ],
)
def test_the_budget_that_ends_first_says_how_many_updates_there_will_be(caplog, budget, updates, told):
    hook = HintsHook({"DQN": {"target_update_frequency": 100}}, updates)
    with caplog.at_level(logging.WARNING, "polyrl"):
        hook.begin(Run(budget=budget, step=0, timestep=0, pretrain_updates=0))
    assert ["is longer than the run" in text for text in caplog.messages] == [True] * told
