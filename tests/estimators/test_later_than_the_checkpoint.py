"""What was there after the checkpoint that a run resumes from, or is gone by then, does not change the run in silence."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tf_keras
from checkpoint_testing import BATCH, schedule
from tiny_agents import make_agent, q_model_fn, weights

from polyrl.estimators.hooks import EvaluationHook, Hook
from polyrl.models import DQNModel

layers = tf_keras.layers


class Ends(Hook):
    """Ends the run as a crash does, or by an interruption, at an environment step."""

    def __init__(self, timestep, error):
        self._timestep, self._error = timestep, error

    def after_act(self, run):
        if run.timestep == self._timestep:
            raise self._error


class Scores(Hook):
    """What a hook sees of evaluations, at each step."""

    def __init__(self):
        self.seen = {}

    def after_act(self, run):
        last = run.last_evaluation
        self.seen[run.timestep] = (run.best_score, None if last is None else last["mean_reward"])


def train(model_dir, timesteps=40, hooks=(), every=8, model_fn=None, env=None, **config):
    agent = make_agent(model_fn, model_dir=model_dir, save_checkpoints_timesteps=every, **config)
    return agent, agent.train(schedule() if env is None else env, first_update=BATCH, max_timesteps=timesteps, hooks=hooks)


def evaluation(**arguments):
    return EvaluationHook(schedule(first=3), 6, 1, **arguments)


@pytest.mark.slow
def test_hooks_see_the_scores_as_of_then(tmp_path):
    uninterrupted = Scores()
    train(tmp_path / "whole", hooks=[evaluation(), uninterrupted])
    before, after = Scores(), Scores()
    with pytest.raises(KeyError):
        train(tmp_path / "died", hooks=[evaluation(), before, Ends(30, KeyError())])
    assert [path.name for path in (tmp_path / "died" / "checkpoints").iterdir()]
    train(tmp_path / "died", hooks=[evaluation(), after])
    assert min(after.seen) == 26
    for timestep, seen in after.seen.items():
        assert seen == uninterrupted.seen[timestep], timestep


@pytest.mark.slow
def test_a_run_that_is_solved_by_a_best_checkpoint_of_later_is_solved_then(tmp_path):
    """Not at the checkpoint, and with the same number of updates."""
    _, whole = train(tmp_path / "whole", hooks=[EvaluationHook(schedule(first=3), 30, 1, stop_at_reward=0.0)])
    assert whole.global_timestep == 30
    with pytest.raises(KeyError):
        train(tmp_path / "died", hooks=[EvaluationHook(schedule(first=3), 30, 1, stop_at_reward=0.0), Ends(30, KeyError())])
    assert (tmp_path / "died" / "best" / "ckpt-000000030").is_dir()
    _, resumed = train(tmp_path / "died", hooks=[EvaluationHook(schedule(first=3), 30, 1, stop_at_reward=0.0)])
    assert (resumed.global_timestep, resumed.global_step) == (whole.global_timestep, whole.global_step)
    assert resumed.stop_reason == whole.stop_reason


@pytest.mark.slow
def test_an_interruption_of_a_hook_between_two_steps_changes_nothing(tmp_path):
    how = {"model_fn": q_model_fn(num_actions=2), "env": "CartPole-v1"}
    whole, _ = train(tmp_path / "whole", **how)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "left", **how, hooks=[Ends(20, KeyboardInterrupt())])
    resumed, _ = train(tmp_path / "left", **how)
    for name, values in weights(whole).items():
        np.testing.assert_array_equal(weights(resumed)[name], values, err_msg=name)


@pytest.mark.slow
def test_dropout_that_is_there_in_evaluation_too_draws_the_same_after_a_resume(tmp_path):
    def graph_fn(mode, features):
        x = layers.Dense(16, "relu")(features["state"])
        return layers.GaussianNoise(3.0)(layers.Dropout(0.5)(x, training=True), training=True)

    def model_fn(features, labels, mode):
        return DQNModel(mode, graph_fn, 4, 2, summaries=[])(features, labels)

    class Results(Hook):
        def __init__(self):
            self.found = {}

        def after_act(self, run):
            if run.timestep % 6 == 0:
                self.found[run.timestep] = run.evaluate("CartPole-v1", 3)["mean_reward"]

    whole, before, after = Results(), Results(), Results()
    train(tmp_path / "whole", model_fn=model_fn, env="CartPole-v1", hooks=[whole])
    with pytest.raises(KeyError):
        train(tmp_path / "died", model_fn=model_fn, env="CartPole-v1", hooks=[before, Ends(28, KeyError())])
    train(tmp_path / "died", model_fn=model_fn, env="CartPole-v1", hooks=[after])
    assert len(set(whole.found.values())) > 1
    assert after.found
    for timestep, reward in after.found.items():
        assert reward == whole.found[timestep]


class Counts(Hook):
    def get_state(self):
        return {"count": 3}

    def set_state(self, state):
        pass


@pytest.mark.slow
def test_hooks_that_are_not_there_any_more_are_named(tmp_path, caplog):
    train(tmp_path, 8, [Counts()])
    with caplog.at_level(logging.WARNING, "polyrl"):
        train(tmp_path, 16)
    assert any("hooks that it does not have now" in text and "Counts" in text for text in caplog.messages)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "polyrl"):
        train(tmp_path, 24)
    assert not any("hooks that it does not have now" in text for text in caplog.messages)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_missing_files_of_tensorboard_are_named(tmp_path, caplog, damage):
    train(tmp_path, 16, save_summary_timesteps=4)
    (file,) = tmp_path.glob("events*training")
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:50])
    with caplog.at_level(logging.WARNING, "polyrl"):
        train(tmp_path, 24, save_summary_timesteps=4)
    assert any("points are missing" in text and file.name in text for text in caplog.messages)


def test_another_choice_of_code_by_the_environments_variables_is_told(tmp_path, caplog, monkeypatch):
    train(tmp_path, 8)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    with caplog.at_level(logging.WARNING, "polyrl"):
        train(tmp_path, 16)
    assert any("TF_ENABLE_ONEDNN_OPTS=None before, 0 now" in text for text in caplog.messages)


def test_a_later_best_checkpoint_that_another_one_takes_the_place_of_is_kept_aside(tmp_path):
    with pytest.raises(KeyError):
        train(tmp_path, hooks=[EvaluationHook(schedule(first=3), 30, 1), Ends(30, KeyError())])
    assert (tmp_path / "best" / "ckpt-000000030").is_dir()
    train(tmp_path, 28, hooks=[EvaluationHook(schedule(first=3), 26, 1)])
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["ckpt-000000026", "ckpt-000000030.superseded-0"]
