"""Pre-training on demonstrations: before the first environment step, counted, resumable, and of use."""

from __future__ import annotations

import logging
import signal

import numpy as np
import pytest
from pretraining_testing import FAST, LENGTH, CorridorEnv, demonstrations
from tiny_agents import assert_equal, counters, make_agent, q_model_fn, rows, weights

from polyrl.configs import ConstantExplorationConfig
from polyrl.demos import DemoEpisode, Demonstrations, load, save_npz
from polyrl.envs import GymEnvironment
from polyrl.envs.compiled import CartPole
from polyrl.errors import CheckpointMismatchError
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import CheckpointHook, Hook
from polyrl.replay import PrioritizedReplay, UniformReplay

MEMORIES = {"uniform": UniformReplay, "prioritized": PrioritizedReplay}


@pytest.fixture
def agent(tmp_path):
    def make(
        kind: str = "dqn",
        memory: str = "uniform",
        run: str = "run",
        demos: Demonstrations | None = None,
        model=FAST,
        **config,
    ) -> Agent:
        cadences = dict.fromkeys(["save_summary_timesteps", "save_checkpoints_timesteps", "max_overhead"])
        model_fn = q_model_fn(
            kind,
            16,
            LENGTH + 1,
            3,
            use_expert_demo=True,
            exploration_config=ConstantExplorationConfig(0.1),
            discount=0.95,
            **model,
        )
        replay = MEMORIES[memory](500, 8, demonstrations=demonstrations() if demos is None else demos)
        return Agent(model_fn, replay, tmp_path / run, RunConfig(**{"jit": "off", **cadences, **config}))

    return make


def train(agent: Agent, pretrain: int, timesteps: int | None = None, env="polyrl/TinyCorridor-v0", **arguments):
    return agent.train(env, first_update=8, timesteps=timesteps, pretrain_updates=pretrain, **arguments)


class StopAt(Hook):
    """Asks for a stop at an update of pre-training, as a signal does, and keeps what it saw."""

    def __init__(self, step: int | None = None):
        self._step = step
        self.seen: list[tuple[int, int, int, float]] = []

    def after_pretraining(self, run):
        self.seen.append((run.step, run.timestep, run.episode, run.loss))
        if self._step is not None and run.step >= self._step:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.slow
def test_what_was_learned_under_xla_is_kept_when_the_environments_start(agent):
    """The variables are out of date then: the counters, and all that follows, need the values that the calls carry."""
    trained = agent(jit="on")
    train(trained, 10, timesteps=2)
    assert counters(trained)[:2] == (10, 2)


# What it does. ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_comes_before_the_first_environment_step_and_counts_as_updates(agent):
    hook, pretrained = StopAt(), agent()
    result = train(pretrained, 250, timesteps=10, hooks=[hook])
    assert [seen[:3] for seen in hook.seen] == [(100, 0, 0), (200, 0, 0), (250, 0, 0)]
    assert hook.seen[-1][3] < hook.seen[0][3]
    assert (result.global_step, result.global_timestep) == (252, 10)  # Updates at steps 9 and 10.


@pytest.mark.slow
def test_the_first_actions_are_those_of_the_pretrained_network(agent):
    """Both loops start to act after it."""
    trained = agent()
    train(trained, 400, timesteps=1)
    states = np.eye(LENGTH + 1, dtype=np.float32)[:LENGTH]
    assert trained.act(states).tolist() == [CorridorEnv.right(step) for step in range(LENGTH)]
    row = rows(trained)
    assert row["action"][0] == CorridorEnv.right(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "memory"),
    [("ddqn", "prioritized"), *(pytest.param(kind, "uniform", marks=pytest.mark.slow) for kind in ("dqn", "c51"))],
)
def test_one_demonstration_teaches_what_chance_does_not_find(agent, kind, memory):
    """With it every model goes the whole way; without, none has seen a reward."""
    trained = agent(kind, memory)
    train(trained, 400, timesteps=64, env=GymEnvironment("polyrl/TinyCorridor-v0", 8))
    assert trained.evaluate("polyrl/TinyCorridor-v0", 5)["mean_reward"] == 1.0


@pytest.mark.slow
def test_without_it_the_same_steps_teach_nothing(tmp_path):
    trained = make_agent(q_model_fn("dqn", 16, LENGTH + 1, 3, **FAST), model_dir=tmp_path, batch_size=8)
    trained.train(GymEnvironment("polyrl/TinyCorridor-v0", 8), first_update=8, timesteps=464)
    assert trained.evaluate("polyrl/TinyCorridor-v0", 5)["mean_reward"] == 0.0


@pytest.mark.slow
def test_without_pretraining_demonstrations_are_mixed_in(agent):
    trained = agent()
    result = train(trained, 0, timesteps=500)
    assert result.global_step == 492
    assert trained.evaluate("polyrl/TinyCorridor-v0", 5)["mean_reward"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "jit"), [("uniform", "on"), ("prioritized", "off")])
def test_environments_in_the_graph_are_started_after_it(tmp_path, memory, jit):
    rng = np.random.default_rng(0)
    episode = DemoEpisode(rng.normal(size=[9, 4]), rng.integers(0, 2, 8), np.ones(8), True, False)
    demos = Demonstrations([episode])
    cadences = dict.fromkeys(["save_summary_timesteps", "save_checkpoints_timesteps", "max_overhead"])
    model_fn = q_model_fn(num_actions=2, use_expert_demo=True)
    make = lambda run: Agent(  # noqa: E731
        model_fn, MEMORIES[memory](300, 8, demonstrations=demos), tmp_path / run, RunConfig(jit=jit, **cadences)
    )
    trained, hook = make("one"), StopAt()
    trained.train(CartPole(), first_update=8, steps=30, pretrain_updates=30, hooks=[hook])
    assert [seen[:3] for seen in hook.seen] == [(30, 0, 0)]
    # What has been learned is not lost when the environments start.
    pretrained = weights(trained)
    trained.train(CartPole(), first_update=8, timesteps=8, pretrain_updates=30)
    assert_equal(weights(trained), pretrained)
    other = make("other")
    other.train(CartPole(), first_update=8, timesteps=8, pretrain_updates=30)
    assert_equal(weights(other), pretrained)
    other.train(CartPole(), first_update=8, timesteps=32, pretrain_updates=30)
    assert counters(other)[:2] == (30 + 32, 40)
    assert int(other.memory.inserted) == 40


# Resuming. --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "memory", "jit"),
    [
        ("dqn", "uniform", "off"),
        pytest.param("c51_double", "prioritized", "off", marks=pytest.mark.slow),
        pytest.param("ddqn", "prioritized", "on", marks=pytest.mark.slow),
    ],
)
def test_a_run_interrupted_in_pretraining_is_the_run_that_was_not(agent, kind, memory, jit):
    """Twice interrupted, at updates 100 and 200; everything is equal to the last bit."""
    straight = agent(kind, memory, "straight", jit=jit)
    train(straight, 250, timesteps=12)
    for stop in (100, 200):
        result = train(agent(kind, memory, jit=jit), 250, timesteps=12, hooks=[StopAt(stop)])
        assert (result.global_step, result.global_timestep, result.signal) == (stop, 0, signal.SIGTERM)
        assert result.checkpoint.name == f"ckpt-000000000-{stop:09d}"
    resumed = agent(kind, memory, jit=jit)
    hook = StopAt()
    train(resumed, 250, timesteps=12, hooks=[hook])
    assert [seen[0] for seen in hook.seen] == [250]
    assert counters(resumed) == counters(straight)
    assert_equal(weights(resumed), weights(straight))
    assert_equal(rows(resumed), rows(straight))


@pytest.mark.slow
def test_a_budget_of_updates_may_end_in_pretraining_and_be_resumed_there(agent):
    straight = agent(run="straight")
    train(straight, 150, timesteps=5)
    first = train(agent(), 150, steps=30)
    assert (first.global_step, first.global_timestep, first.stop_reason[:6]) == (30, 0, "budget")
    second = agent()
    train(second, 150, timesteps=5)
    assert_equal(weights(second), weights(straight))


@pytest.mark.slow
def test_it_is_not_done_again(agent):
    train(agent(), 100, timesteps=10)
    resumed, hook = agent(), StopAt()
    train(resumed, 100, timesteps=10, hooks=[hook])
    assert hook.seen == []
    assert counters(resumed)[:2] == (112, 20)


@pytest.mark.slow
def test_other_demonstrations_than_those_trained_on_are_refused(agent):
    train(agent(), 20, timesteps=10)
    with pytest.raises(CheckpointMismatchError, match="was trained with another memory: demonstrations="):
        train(agent(demos=demonstrations(reward=2.0)), 20, timesteps=10)
    train(agent(demos=demonstrations()), 20, timesteps=10)


@pytest.mark.slow
def test_checkpoints_in_pretraining_come_before_those_of_environment_steps(agent):
    trained = agent()
    train(trained, 200, timesteps=10, hooks=[CheckpointHook(5, None)])
    names = [path.name for path in sorted(trained.checkpoints.directory.iterdir())]
    assert names == ["ckpt-000000000-000000200", "ckpt-000000005", "ckpt-000000010"]
    assert trained.checkpoints.latest().name == "ckpt-000000010"


# What is said and refused. ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_console_says_how_far_it_is(agent, caplog):
    with caplog.at_level(logging.INFO, "polyrl"):
        train(agent(progress=True), 150, timesteps=5)
    assert "pre-training: update 150 of 150, loss " in caplog.text


def test_it_needs_demonstrations(tmp_path):
    trained = make_agent(q_model_fn(), model_dir=tmp_path)
    with pytest.raises(ValueError, match=r"pretrain_updates=10 needs demonstrations in the memory"):
        train(trained, 10, timesteps=5)
    with pytest.raises(ValueError, match="pretrain_updates=-1 must be at least 0"):
        train(trained, -1, timesteps=5)


def test_a_target_period_in_environment_steps_is_refused(agent, tmp_path):
    """The target network stayed as it began, as there are none."""
    trained = agent(model={"target_update_timesteps": 90})
    with pytest.raises(ValueError, match=r"pretrain_updates=10 needs target_update_frequency in place of .*=90 of Model"):
        train(trained, 10, timesteps=5)
    assert not list(tmp_path.rglob("ckpt-*"))


@pytest.mark.slow
def test_it_cannot_be_added_to_a_run_that_is_past_it(agent):
    train(agent(), 10, timesteps=10)
    with pytest.raises(ValueError, match="pretrain_updates=100 come before the first environment step"):
        train(agent(), 100, timesteps=10)


def test_demonstrations_of_another_environment_are_refused_before_anything_is_learned(tmp_path):
    wrong = UniformReplay(100, 8, demonstrations=demonstrations())
    trained = Agent(q_model_fn(num_actions=2, use_expert_demo=True), wrong, tmp_path, RunConfig(jit="off"))
    with pytest.raises(ValueError, match=r"observations are float32 \(13,\), those of the environment are float32 \(4,\)"):
        train(trained, 5, timesteps=10, env="CartPole-v1")
    assert not list(tmp_path.iterdir())


# Recording. -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_a_trained_agent_records_is_the_way(agent, tmp_path):
    trained = agent()
    train(trained, 400, timesteps=10)
    recorded = trained.record("polyrl/TinyCorridor-v0", 3)
    assert len(recorded.episodes) == 3
    for episode in recorded.episodes:
        (expected,) = demonstrations().episodes
        for one, two in zip(episode, expected, strict=True):
            np.testing.assert_array_equal(one, two)
    save_npz(recorded, tmp_path / "demos.npz")
    second = agent(run="second", demos=load(tmp_path / "demos.npz"))
    train(second, 400, timesteps=10)
    assert second.evaluate("polyrl/TinyCorridor-v0", 5)["mean_reward"] == 1.0
