"""`EvaluationHook`: the best is kept, and training stops at the threshold."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest
from hook_testing import BATCH, checkpoints, schedule
from tiny_agents import counters, q_model_fn, weights
from tiny_envs import ScriptedEnv

from polyrl.configs import MetricConfig
from polyrl.envs import GymEnvironment
from polyrl.estimators import Agent
from polyrl.estimators.hooks import EvaluationHook, Hook


def best(agent: Agent) -> tuple[str, float] | None:
    path = agent.checkpoints.best()
    return None if path is None else (path.name, json.loads((path / "state.json").read_text())["score"])


def evaluating(agent: Agent, rewards, timesteps: int = 20, stop=None):
    """Trains with an evaluation every 5 steps, which find `rewards` one after the other; it learns from the fifth on."""
    env, hook_env = schedule(), ScriptedEnv(rewards)
    hook = EvaluationHook(hook_env, every_timesteps=5, episodes=1, stop_at_reward=stop)
    result = agent.train(env, first_update=BATCH, timesteps=timesteps, hooks=[hook])
    return result, hook_env.rollouts, env.steps


# Evaluation. ------------------------------------------------------------------------------------------------------------


def test_the_best_evaluation_decides_which_weights_are_kept(agent):
    trained = agent()
    _, evaluations, _ = evaluating(trained, [5.0, 3.0, 7.0, 6.0])
    assert evaluations == 4
    assert best(trained) == ("ckpt-000000015", 7.0)
    assert len(list(trained.checkpoints.best_directory.iterdir())) == 1


@pytest.mark.slow
def test_the_weights_kept_are_those_evaluated(agent):
    kept = {}

    class Look(Hook):
        def after_act(self, run):
            if run.timestep == 10:
                kept.update(weights(trained))

    trained = agent(q_model_fn())
    trained.train(schedule(), first_update=BATCH, timesteps=14, hooks=[EvaluationHook(ScriptedEnv([1.0, 2.0]), 5, 1), Look()])
    predictor = agent(q_model_fn()).predictor("best")
    found = weights(predictor)
    assert counters(predictor) == (6, 10, 3)
    assert "Model/online/dense/kernel" in found
    for name in found.keys() & kept.keys():
        np.testing.assert_array_equal(found[name], kept[name], err_msg=name)


@pytest.mark.slow
def test_a_worse_evaluation_in_a_resumed_run_does_not_replace_the_best(agent):
    evaluating(agent(), [5.0])
    resumed = agent()
    evaluating(resumed, [4.0, 4.9])
    assert best(resumed) == ("ckpt-000000020", 5.0)
    evaluating(agent(), [3.0, 5.5, 4.0])
    assert best(resumed) == ("ckpt-000000050", 5.5)


def test_negative_rewards_have_a_best_too(agent):
    trained = agent()
    evaluating(trained, [-5.0, -3.0, -7.0, -4.0])
    assert best(trained) == ("ckpt-000000010", -3.0)


def test_the_best_is_not_a_checkpoint_to_resume_from(agent):
    trained = agent()
    evaluating(trained, [5.0, 1.0], timesteps=12)
    assert checkpoints(trained) == [5, 12]  # One before the first best, so that a run that dies then resumes.
    assert agent().train(schedule(), first_update=BATCH, timesteps=1).global_timestep == 13


@pytest.mark.slow
def test_pruning_leaves_the_best_alone(agent):
    trained = agent(save_checkpoints_timesteps=1, keep_checkpoint_max=1)
    evaluating(trained, [5.0, 1.0])
    assert (checkpoints(trained), best(trained)) == ([20], ("ckpt-000000005", 5.0))


def test_training_stops_at_the_threshold(agent):
    trained = agent()
    result, evaluations, steps = evaluating(trained, [5.0, 7.0, 9.0], timesteps=100, stop=7.0)
    assert (evaluations, steps, result.global_timestep) == (2, 10, 10)
    assert result.stop_reason == "solved: mean reward 7.0 of 1 evaluation episodes is at least stop_at_reward=7"
    assert best(trained) == ("ckpt-000000010", 7.0)


def test_a_run_that_met_its_threshold_does_not_train_again(agent):
    evaluating(agent(), [7.0], timesteps=100, stop=7.0)
    result, evaluations, steps = evaluating(agent(), [0.0], timesteps=100, stop=6.5)
    assert (evaluations, steps, result.global_timestep) == (0, 0, 5)
    assert result.stop_reason.startswith("solved before")


def test_a_higher_threshold_is_trained_for(agent):
    evaluating(agent(), [7.0], timesteps=100, stop=7.0)
    result, _, _ = evaluating(agent(), [7.5, 8.0], timesteps=100, stop=7.6)
    assert (result.global_timestep, result.stop_reason[:7]) == (15, "solved:")


def test_nothing_is_evaluated_before_the_first_update(agent):
    hook_env = ScriptedEnv([1.0])
    agent().train(schedule(), first_update=12, timesteps=16, hooks=[EvaluationHook(hook_env, 5, 1)])
    assert hook_env.rollouts == 1


def test_that_it_is_left_out_is_told_once(agent, caplog):
    with caplog.at_level("INFO", logger="polyrl"):
        agent().train(schedule(), first_update=14, timesteps=18, hooks=[EvaluationHook(ScriptedEnv([1.0]), 5, 1)])
    assert [x for x in caplog.messages if "evaluat" in x] == [
        "No evaluation at step 5: nothing is evaluated before the first update."
    ]


def test_a_resumed_run_keeps_the_rhythm_of_evaluations(agent):
    rhythm = []

    class Look(EvaluationHook):
        def after_act(self, run):
            before = self.env.rollouts
            super().after_act(run)
            rhythm.extend([run.timestep] * (self.env.rollouts - before))

    for timesteps in (7, 4, 11):
        agent().train(schedule(), first_update=BATCH, timesteps=timesteps, hooks=[Look(ScriptedEnv([1.0]), 5, 1)])
    assert rhythm == [5, 10, 15, 20]


@pytest.mark.slow
def test_a_run_with_eval_metrics_and_evaluations_can_be_resumed(agent):
    """Evaluations create the metrics in the middle of training; the next process knows nothing of them yet."""
    model_fn = q_model_fn(eval_metrics_config=[MetricConfig("MeanAbsoluteError", "td_error", "losses")])
    for _ in range(2):
        hook = EvaluationHook(ScriptedEnv([1.0]), 5, 1)
        result = agent(model_fn).train(schedule(), first_update=BATCH, timesteps=10, hooks=[hook])
    assert result.global_timestep == 20


# Refused before training. -----------------------------------------------------------------------------------------------


class Wide(ScriptedEnv):
    def __init__(self):
        super().__init__([1.0])
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (7,), np.float32)


class Busy(ScriptedEnv):
    def __init__(self):
        super().__init__([1.0])
        self.action_space = gymnasium.spaces.Discrete(9)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("CartPol-v1", "'CartPol-v1' is unknown to gymnasium.* Did you mean 'CartPole-v1'"),
        (GymEnvironment(Wide), r"states have the shape \(7,\) and there are . actions; in training states have the shape"),
        (GymEnvironment(Busy), r"there are 9 actions; in training .* and there are . actions\. Evaluate on"),
        ("FrozenLake-v1", "FrozenLake-v1.*, where there are 16 discrete states and there are 4 actions; in training"),
        ("Pendulum-v1", r"states have the shape \(3,\), actions \(1,\); in training"),
    ],
)
def test_what_cannot_be_evaluated_on_is_refused_before_anything_is_trained(agent, env, words):
    """A run trained to its first evaluation, and ended there without a checkpoint."""
    trained = agent()
    with pytest.raises(ValueError, match=words):
        trained.train(schedule(), first_update=4, timesteps=16, hooks=[EvaluationHook(env, 5, 1)])
    assert not trained.model_dir.exists()
