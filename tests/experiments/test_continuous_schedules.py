"""`continuous_eval` and `continuous_train_and_eval`: evaluations as a run goes on, in this process or in another one."""

from __future__ import annotations

import shutil
import time

import pytest
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv, ScriptedEnv, vector

from polyrl.estimators.checkpoints.manager import CheckpointManager, read_state
from polyrl.estimators.hooks import Hook
from polyrl.experiments import RLExperiment, run_experiment


def schedule(*lengths: int) -> ScheduleEnv:
    return ScheduleEnv(lengths=lengths or (3,))


class StopAt(Hook):
    """Ends the run at so many environment steps; asks for a checkpoint then, too, if `saved`."""

    def __init__(self, timestep: int, saved: bool = False):
        self._timestep, self._saved = timestep, saved

    def after_act(self, run):
        if run.timestep == self._timestep:
            run.request_stop("far enough")
            if self._saved:
                run.request_checkpoint()


class NoSleep:
    """Sleeping means that nobody writes anything any more: the test would wait for ever."""

    def __call__(self, seconds: float) -> None:
        raise AssertionError("continuous_eval waits for a run that has ended.")


def test_continuous_eval_ends_with_the_checkpoint_at_the_end_of_the_budget(experiment):
    experiment(train_timesteps=10).train()
    evaluations = ScriptedEnv([4.0])
    result = experiment(train_timesteps=10, eval_env=evaluations).continuous_eval()
    assert (result["global_timestep"], result["mean_reward"], evaluations.rollouts) == (10, 4.0, 1)


@pytest.mark.parametrize("schedule", ["train", "train_and_evaluate", "continuous_train_and_eval"])
def test_the_evaluator_of_a_cluster_evaluates_in_place_of_training(experiment, monkeypatch, tmp_path, schedule):
    experiment(train_timesteps=10).train()
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"chief": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}')
    evaluations = ScriptedEnv([4.0])
    result = run_experiment(lambda directory: experiment(train_timesteps=10, eval_env=evaluations), tmp_path, schedule)
    assert (result["global_timestep"], result["mean_reward"], evaluations.rollouts) == (10, 4.0, 1)
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}}')
    run_experiment(lambda directory: experiment(train_timesteps=14), tmp_path, "train")
    assert read_state(experiment().agent.checkpoints.latest())["global_timestep"] == 14


@pytest.mark.slow
def test_continuous_eval_evaluates_each_checkpoint_that_another_process_writes(experiment, monkeypatch):
    """I7. The other process is played by whoever is asleep."""
    trainers = iter([4, 8, 8, 12])
    slept, seen = [], []

    def sleep(seconds):
        slept.append(seconds)
        experiment(train_timesteps=next(trainers)).train()

    monkeypatch.setattr(time, "sleep", sleep)
    waiting = experiment(train_timesteps=12, throttle_secs=3.0)
    result = waiting.continuous_eval(lambda result: seen.append(result["global_timestep"]) or True)
    assert seen == [4, 8, 12]
    assert (result["global_timestep"], slept) == (12, [3.0] * 4)


def test_continuous_eval_ends_when_the_predicate_says_so(experiment):
    experiment(train_timesteps=6).train()
    assert experiment(train_timesteps=100).continuous_eval(lambda result: False)["global_timestep"] == 6


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(
    ("budget", "ended", "evaluations"),
    [
        ({"train_timesteps": 12}, 12, 3),  # After 5, 10 and 12 steps.
        ({"train_timesteps": 10}, 10, 2),
        ({"train_steps": 8}, 12, 3),
        ({"train_episodes": 4}, 18, 4),  # Episodes of three steps; each checkpoint, at 5, 10 and 15, starts new ones.
        ({"train_timesteps": 10, "train_episodes": 100}, 10, 2),
    ],
)
def test_continuous_train_and_eval_takes_turns_until_the_budget_is_reached(experiment, budget, ended, evaluations):
    training, evaluation = schedule(), ScriptedEnv([1.0])
    _, result = experiment(env=training, eval_env=evaluation, **budget).continuous_train_and_eval()
    assert (training.steps, result["global_timestep"], evaluation.rollouts) == (ended, ended, evaluations)


def test_continuous_train_and_eval_does_not_train_beyond_the_budget_when_called_again(experiment):
    experiment(train_timesteps=10, eval_env=ScriptedEnv([1.0])).continuous_train_and_eval()
    training, evaluation = schedule(), ScriptedEnv([1.0])
    _, result = experiment(env=training, eval_env=evaluation, train_timesteps=10).continuous_train_and_eval()
    assert (training.steps, result["global_timestep"], evaluation.rollouts) == (0, 10, 1)


@pytest.mark.slow
def test_continuous_train_and_eval_stops_by_reward_predicate_or_signal(experiment):
    evaluation = ScriptedEnv([1.0, 7.0])
    _, result = experiment(eval_env=evaluation, train_timesteps=100, stop_at_reward=6.0).continuous_train_and_eval()
    assert result["global_timestep"] == 10
    stopped = experiment(eval_env=evaluation, train_timesteps=100)
    assert stopped.continuous_train_and_eval(lambda result: False)[1]["global_timestep"] == 15


# In another process, the end. -------------------------------------------------------------------------------------------


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("saved", [False, True], ids=["ended later", "ended with it"])
@pytest.mark.parametrize("timestep", [7, 10])
def test_continuous_eval_ends_after_a_run_that_a_hook_ended(experiment, monkeypatch, timestep, saved):
    """Also if the last checkpoint was written before the run knew that it was over."""
    monkeypatch.setattr(time, "sleep", NoSleep())
    hooks = [StopAt(timestep, saved)]
    training = experiment(train_timesteps=100, save_checkpoints_timesteps=5, train_hooks=hooks).train()
    assert (training.global_timestep, training.stop_reason) == (timestep, "far enough")
    assert read_state(training.checkpoint)["ended"] == "far enough"
    result = experiment(train_timesteps=100, eval_env=ScriptedEnv([4.0])).continuous_eval()
    assert result["global_timestep"] == timestep


def test_continuous_eval_ends_after_a_run_that_was_solved(experiment, monkeypatch):
    monkeypatch.setattr(time, "sleep", NoSleep())
    solved = {"train_timesteps": 100, "stop_at_reward": 8.0}
    experiment(eval_env=ScriptedEnv([5.0, 9.0, 7.0]), **solved).train_and_evaluate()
    assert experiment(eval_env=ScriptedEnv([4.0]), **solved).continuous_eval()["global_timestep"] == 10


@pytest.mark.slow
def test_continuous_eval_ends_when_the_run_it_has_evaluated_ends_without_another_step(experiment, monkeypatch):
    """The checkpoint at 10 steps is evaluated, then the run ends with it."""
    experiment(train_timesteps=10).train()
    slept = []

    class AtOnce(Hook):
        def begin(self, run):
            run.request_stop("nothing more to do")

    def sleep(seconds):
        assert len(slept) < 3
        slept.append(seconds)
        if len(slept) == 2:
            experiment(train_timesteps=100, train_hooks=[AtOnce()]).train()

    monkeypatch.setattr(time, "sleep", sleep)
    seen = []
    experiment(train_timesteps=100).continuous_eval(lambda result: seen.append(result["global_timestep"]) or True)
    assert (seen, len(slept)) == ([10], 2)


@pytest.mark.slow
def test_continuous_eval_waits_for_a_run_that_is_to_be_resumed(experiment, monkeypatch):
    """One that a hook ended ends, one whose budget was smaller does not, and one that was resumed is not over."""
    experiment(train_timesteps=100, train_hooks=[StopAt(5)]).train()
    experiment(train_timesteps=10).train()
    trainers = iter([20, 30])
    monkeypatch.setattr(time, "sleep", lambda seconds: experiment(train_timesteps=next(trainers)).train())
    seen = []
    experiment(train_timesteps=30).continuous_eval(lambda result: seen.append(result["global_timestep"]) or True)
    assert seen == [10, 20, 30]


def test_continuous_eval_without_a_budget_ends_with_that_of_the_trainer(experiment, monkeypatch):
    experiment(train_timesteps=10).train()
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits for ever"))
    seen = []
    experiment().continuous_eval(lambda result: seen.append(result["global_timestep"]) or True)
    assert seen == [10]


def test_a_run_that_is_resumed_is_not_over_from_its_first_step_on(experiment, monkeypatch):
    """Else an evaluation that runs beside it would end with the checkpoint that it resumed from."""
    ended = experiment(train_timesteps=100, train_hooks=[StopAt(5)]).train()
    assert read_state(ended.checkpoint)["ended"] == "far enough"
    seen = []

    class Look(Hook):
        def after_act(self, run):
            seen.append(read_state(ended.checkpoint)["ended"])

    experiment(train_timesteps=8, train_hooks=[Look()]).train()
    assert seen == [None] * 3


@pytest.mark.parametrize("where", ["found", "read"])
def test_continuous_eval_takes_the_next_when_the_trainer_prunes_what_it_reads(experiment, monkeypatch, where):
    monkeypatch.setattr(time, "sleep", NoSleep())
    experiment(train_timesteps=10).train()
    lost = []

    def prune(path):
        if not lost:
            lost.append(path.name)
            experiment(train_timesteps=20).train()
            shutil.rmtree(path)

    if where == "found":
        find = CheckpointManager.find

        def found(self, which):
            path = find(self, which)
            prune(path)
            return path

        monkeypatch.setattr(CheckpointManager, "find", found)
    else:
        restore = CheckpointManager.restore_models
        monkeypatch.setattr(
            CheckpointManager, "restore_models", staticmethod(lambda path, scope: prune(path) or restore(path, scope))
        )
    waiting = experiment(train_timesteps=20, eval_env=ScriptedEnv([4.0]))
    assert waiting.continuous_eval()["global_timestep"] == 20
    assert lost == ["ckpt-000000010"]


def test_what_cannot_be_read_is_left_out_by_evaluation_and_prediction(experiment):
    """Its sizes are right, so that only a reading shows it."""
    trained = experiment(train_timesteps=10, eval_env=ScriptedEnv([4.0]))
    trained.train()
    trained.agent.train(schedule(), first_update=4, update_frequency=1, max_timesteps=20)
    newest = trained.agent.checkpoints.latest()
    assert newest.name == "ckpt-000000020"
    (data,) = newest.glob("variables.data*")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(bytes(content))
    for checkpoint in (None, "latest"):
        reader = experiment(train_timesteps=10, eval_env=ScriptedEnv([4.0]), checkpoint=checkpoint)
        assert reader.evaluate()["global_timestep"] == 10
        assert reader.continuous_eval()["global_timestep"] == 10
        reader.infer()


# In the same process. ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timestep", [3, 7, 10])
def test_continuous_train_and_eval_obeys_a_hook(experiment, timestep):
    training = schedule()
    hooks = [StopAt(timestep)]
    run = experiment(env=training, eval_env=ScriptedEnv([1.0]), train_timesteps=100, train_hooks=hooks)
    result, evaluation = run.continuous_train_and_eval()
    assert (training.steps, result.global_timestep, result.stop_reason) == (timestep, timestep, "far enough")
    assert evaluation["global_timestep"] == timestep


@pytest.mark.parametrize(("budget", "read"), [(20, 0), (23, 1)])
def test_continuous_train_and_eval_reads_no_checkpoint_between_its_turns(experiment, monkeypatch, budget, read):
    """It once read all of it, the memory included, at each turn. The last evaluation may read the models."""
    calls = {"restore": 0, "restore_models": 0}
    for name in calls:
        original = getattr(CheckpointManager, name)

        def counted(*arguments, name=name, original=original):
            calls[name] += 1
            return original(*arguments)

        monkeypatch.setattr(CheckpointManager, name, staticmethod(counted) if name == "restore_models" else counted)
    evaluation = ScriptedEnv([1.0])
    _, result = experiment(eval_env=evaluation, train_timesteps=budget).continuous_train_and_eval()
    assert (evaluation.rollouts, result["global_timestep"]) == (4 + read, budget)
    assert calls == {"restore": 0, "restore_models": read}


# The same instance. -----------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("schedule_name", ["train_and_evaluate", "continuous_train_and_eval"])
@pytest.mark.parametrize("make", [schedule, lambda: vector(schedule(), schedule(2))], ids=["single", "vector"])
def test_an_open_environment_does_not_serve_training_and_evaluation_at_once(tmp_path, schedule_name, make):
    """The evaluation's steps once ended up in the memory, as transitions that never happened."""
    env = make()
    agent = make_agent(model_dir=tmp_path / "run")
    experiment = RLExperiment(agent, env, train_timesteps=100, first_update=4, eval_frequency=5)
    with pytest.raises(ValueError, match=r"in use by training.*evaluation at the same time.*GymEnvironment"):
        getattr(experiment, schedule_name)()
    assert sum(part.steps for part in getattr(env, "envs", [env])) == 0
    assert agent.checkpoints.latest() is None
    assert experiment.train().global_timestep == 100  # Alone it may be trained on.
