"""`run_experiment` and the schedules of `RLExperiment`."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ScheduleEnv, ScriptedEnv, vector

from polyrl.errors import NotTrainedError
from polyrl.estimators import TrainingResult
from polyrl.estimators.hooks import Hook
from polyrl.experiments import RLExperiment, run_experiment
from polyrl.experiments.report import write_predictions

BATCH = 4


def schedule(*lengths: int, **arguments) -> ScheduleEnv:
    return ScheduleEnv(lengths=lengths or (3,), **arguments)


class Send(Hook):
    def after_act(self, run):
        if run.timestep == 7:
            signal.raise_signal(signal.SIGTERM)


# The entry. -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("trian", "train"),
        ("train_and_evalute", "train_and_evaluate"),
        ("infr", "infer"),
        ("__init__", None),
        ("evaluate()", "evaluate"),
    ],
)
def test_an_unknown_schedule_is_refused_with_the_list_and_the_nearest_before_anything_is_built(tmp_path, wrong, near):
    built = []
    with pytest.raises(ValueError, match="is unknown; use one of") as error:
        run_experiment(built.append, tmp_path, wrong)
    assert built == []
    assert all(name in str(error.value) for name in RLExperiment.SCHEDULES)
    assert near is None or f"Did you mean {near!r}" in str(error.value)


@pytest.mark.parametrize("mode", ["list", "compare"])
def test_modes_that_are_no_schedule_are_told_who_answers_them(tmp_path, mode):
    """A program that hands --mode to it without `cli.run` read of a schedule that it had not named."""
    with pytest.raises(ValueError, match=rf"polyrl\.experiments\.cli\.run answers --mode={mode}\."):
        run_experiment(lambda output_dir: pytest.fail("built"), tmp_path, mode)


def test_an_experiment_fn_that_returns_something_else_is_refused(tmp_path):
    with pytest.raises(TypeError, match="must return an RLExperiment"):
        run_experiment(lambda output_dir: make_agent(model_dir=output_dir), tmp_path, "train")


@pytest.mark.parametrize(
    ("schedule_name", "method"),
    [
        *((name, name) for name in RLExperiment.SCHEDULES),
        ("eval", "evaluate"),
        ("train_and_eval", "train_and_evaluate"),
        ("continuous_train_and_evaluate", "continuous_train_and_eval"),
    ],
)
def test_each_name_runs_its_schedule_and_gives_back_what_it_returns(experiment, tmp_path, monkeypatch, schedule_name, method):
    """I5: the result of an evaluation was dropped; I9: documented names were not the real ones."""
    given = []
    monkeypatch.setattr(RLExperiment, method, lambda self: f"result of {method}")
    result = run_experiment(lambda output_dir: given.append(output_dir) or experiment(), tmp_path / "x", schedule_name)
    assert result == f"result of {method}"
    assert given == [str(tmp_path / "x")]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"eval_episodes": 0}, ValueError),
        ({"eval_frequency": 0}, ValueError),
        ({"eval_episodes_while_training": 0}, ValueError),
        ({"infer_episodes": 0}, ValueError),
        ({"stop_at_reward": "much"}, TypeError),
        ({"throttle_secs": -1.0}, ValueError),
    ],
)
def test_wrong_arguments_are_refused_by_name(experiment, arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        experiment(**arguments)


def test_what_is_not_an_agent_is_refused():
    with pytest.raises(TypeError, match="agent"):
        RLExperiment("agent", schedule())


# Training. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "ended"),
    [({"train_timesteps": 10}, (6, 10, 3)), ({"train_steps": 7}, (7, 11, 3)), ({"train_episodes": 4}, (8, 12, 4))],
)
def test_train_ends_at_the_budget_and_does_nothing_when_called_again(experiment, budget, ended):
    """I2, I3: training by an experiment could never run."""
    for steps in (ended[1], 0):
        env = schedule()
        result = experiment(env=env, **budget).train()
        assert (result.global_step, result.global_timestep, result.global_episode) == ended
        assert env.steps == steps


def test_train_resumes_with_a_larger_budget(experiment):
    experiment(train_timesteps=6).train()
    assert experiment(train_timesteps=11).train().global_timestep == 11


def test_hooks_and_update_frequency_reach_the_training(experiment):
    seen = []

    class Look(Hook):
        def after_update(self, run):
            seen.append(run.timestep)

    experiment(train_timesteps=20, first_update=6, update_frequency=5, train_hooks=[Look()]).train()
    assert seen == [10, 15, 20]


@pytest.mark.slow
def test_the_end_of_training_is_told(experiment, capsys):
    experiment(train_timesteps=1234).train()
    output = capsys.readouterr().out
    for words in ("budget of timesteps reached", "1,234", "1,230", "411"):
        assert words in output


@pytest.mark.slow
def test_paths_are_shown_whole_where_there_is_no_terminal(experiment, tmp_path, capsys):
    """Whoever redirects the output wants to find the checkpoint again."""
    result = experiment(q_model_fn(), train_timesteps=6).train()
    assert str(result.checkpoint) in capsys.readouterr().out
    experiment(q_model_fn(), infer_output=tmp_path / "steps.jsonl").infer()
    assert str(tmp_path / "steps.jsonl") in capsys.readouterr().out


# Evaluation and inference. ----------------------------------------------------------------------------------------------


def test_evaluate_gives_the_result_and_shows_it(experiment, capsys):
    experiment(train_timesteps=9).train()
    capsys.readouterr()
    result = experiment(eval_env=schedule(4, 2)).evaluate()
    assert (result["mean_reward"], result["std_reward"], result["global_timestep"]) == (6.5, 3.5, 9)
    output = capsys.readouterr().out
    for words in ("mean_reward", "6.500", "ckpt-000000009", "2 episodes"):
        assert words in output


@pytest.mark.parametrize("name", ["evaluate", "infer"])
def test_without_a_checkpoint_there_is_nothing_to_ask(experiment, tmp_path, name):
    with pytest.raises(NotTrainedError):
        getattr(experiment(), name)()
    assert not (tmp_path / "run").exists()


def test_the_best_checkpoint_is_read_unless_another_is_named(experiment):
    experiment(train_timesteps=13, eval_env=ScriptedEnv([5.0, 1.0])).train_and_evaluate()
    path = experiment().agent.checkpoints.latest()
    found = {name: experiment(checkpoint=name).evaluate()["global_timestep"] for name in (None, "best", "latest", str(path))}
    assert found == {None: 5, "best": 5, "latest": 13, str(path): 13}


def test_without_a_best_one_the_newest_checkpoint_is_read(experiment):
    experiment(train_timesteps=6, save_checkpoints_timesteps=4).train()
    assert experiment().evaluate()["global_timestep"] == 6


LINE = {"episode", "timestep", "state", "action", "q", "reward", "done", "truncated"}


def lines_of(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["c51", pytest.param("dqn", marks=pytest.mark.slow)])
def test_infer_writes_a_line_for_each_step_and_sums_up(experiment, tmp_path, capsys, kind):
    model_fn = q_model_fn(kind)
    experiment(model_fn, train_timesteps=6).train()
    output = tmp_path / "new" / "steps.jsonl"
    env = schedule(3, 2, ends=("terminated", "truncated"))
    summary = experiment(model_fn, env=env, infer_output=output).infer()
    lines = lines_of(output)
    assert summary == {"episodes": 2.0, "steps": 5.0, "mean_reward": 4.5, "min_reward": 3.0, "max_reward": 6.0}
    assert [(line["episode"], line["timestep"]) for line in lines] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert [line["reward"] for line in lines] == [1.0, 2.0, 3.0, 1.0, 2.0]
    assert [line["done"] for line in lines] == [False, False, True, False, False]
    assert [line["truncated"] for line in lines] == [False, False, False, False, True]
    assert [line["state"][1:3] for line in lines] == [[line["episode"], line["timestep"]] for line in lines]
    for line in lines:
        assert line.keys() == LINE | ({"support", "probabilities"} if kind == "c51" else set())
        assert line["action"] == int(np.argmax(line["q"]))
        if kind == "c51":
            assert len(line["support"]) == len(line["probabilities"]) == 11
            assert np.dot(line["support"], line["probabilities"]) == pytest.approx(line["q"][line["action"]], abs=1e-5)
    assert "4.5" in capsys.readouterr().out


@pytest.mark.slow
def test_infer_without_an_output_writes_nothing(experiment, tmp_path):
    experiment(q_model_fn(), train_timesteps=6).train()
    before = sorted(tmp_path.rglob("*"))
    assert experiment(q_model_fn()).infer()["steps"] == 6.0
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_infer_sums_up_by_episode_when_several_environments_play(experiment, tmp_path):
    model_fn = q_model_fn()
    experiment(model_fn, train_timesteps=6).train()
    env = vector(ScheduleEnv(0, (2,)), ScheduleEnv(3, (2,)))
    summary = experiment(model_fn, env=env, infer_output=tmp_path / "steps.jsonl").infer()
    assert (summary["min_reward"], summary["max_reward"]) == (3.0, 63.0)


# Both. ------------------------------------------------------------------------------------------------------------------


def test_train_and_evaluate_keeps_the_best_and_evaluates_that(experiment):
    """I4: all schedules evaluate. I6: training and evaluation no longer took turns, though documented."""
    evaluations = ScriptedEnv([5.0, 9.0, 7.0, 1.0])
    training, result = experiment(train_timesteps=17, eval_env=evaluations).train_and_evaluate()
    assert isinstance(training, TrainingResult)
    assert (training.global_timestep, evaluations.rollouts) == (17, 4)  # At 5, 10 and 15, and at the end.
    assert (result["global_timestep"], result["mean_reward"]) == (10, 1.0)


def test_train_and_evaluate_stops_at_the_reward_asked_for(experiment):
    arguments = {"train_timesteps": 100, "stop_at_reward": 8.0}
    training, result = experiment(eval_env=ScriptedEnv([5.0, 9.0, 7.0]), **arguments).train_and_evaluate()
    assert (training.global_timestep, training.stop_reason[:7], result["global_timestep"]) == (10, "solved:", 10)
    env = schedule()
    training, _ = experiment(env=env, eval_env=ScriptedEnv([0.0]), **arguments).train_and_evaluate()
    assert (training.global_timestep, env.steps) == (10, 0)


def test_train_and_evaluate_ends_without_an_evaluation_after_a_signal(experiment):
    training, result = experiment(train_timesteps=100, eval_env=schedule(), train_hooks=[Send()]).train_and_evaluate()
    assert (training.signal, training.global_timestep, result) == (signal.SIGTERM, 7, None)


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        OSError, match=r"infer_output=.*file/steps\.jsonl' \(--output\) cannot be written: .*Give another path"
    ):
        write_predictions([], tmp_path / "file" / "steps.jsonl", tmp_path)
