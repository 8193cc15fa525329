"""When an environment fails, the run is saved as of its last whole step; when something else fails, it is not."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from faulty_envs import FaultyEnv
from tiny_agents import assert_equal, counters, make_agent, q_model_fn, rows, weights
from tiny_envs import Bad, ScheduleEnv

from polyrl.envs import GymEnvironment
from polyrl.errors import BrokenEnvironmentError, NonFiniteError
from polyrl.estimators import rescue
from polyrl.estimators.hooks import EvaluationHook, Hook

BATCH = 4


def train(agent, env, timesteps: int = 60, hooks=()):
    """The error that training ends with."""
    with pytest.raises(Exception) as error:  # noqa: PT011
        agent.train(env, first_update=BATCH, max_timesteps=timesteps, hooks=hooks)
    return error.value


def notes(error: BaseException) -> str:
    return "\n".join(error.__notes__)


def failing(at: int = 10, num_envs: int = 2, mode: str = "sync", **arguments) -> GymEnvironment:
    owner = os.getpid() if mode == "async" else None
    return GymEnvironment(FaultyEnv, num_envs, mode, at=at, owner=owner, **arguments)


class Look(Hook):
    """Sees what a run begins with."""

    def begin(self, run):
        self.counters = (run.step, run.timestep, run.episode)
        self.stored = run.stored


SETTINGS = [{}, {"overlap": True}, pytest.param({"jit": "on"}, marks=pytest.mark.slow)]


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(("mode", "deed"), [("sync", "raise"), ("async", "raise"), ("async", "kill")])
@pytest.mark.parametrize("settings", SETTINGS, ids=["plain", "overlap", "xla"])
def test_all_whole_steps_are_saved_and_nothing_of_the_one_that_failed(agent, mode, deed, settings):
    model_fn = q_model_fn() if "jit" in settings else None
    trained = agent(model_fn, check_env=False, **settings)
    error = train(trained, failing(10, mode=mode, deed=deed))
    assert isinstance(error, KeyError if mode == "sync" else BrokenEnvironmentError)
    steps = 2 * 9
    checkpoint = trained.checkpoints.latest()
    assert checkpoint.name == f"ckpt-{steps:09d}"
    assert f"Checkpoint: {checkpoint}" in notes(error)
    assert counters(trained)[:2] == (steps - BATCH, steps)
    again = make_agent(model_fn, model_dir=trained.model_dir, check_env=False, **settings)
    look = Look()
    again.train(GymEnvironment(ScheduleEnv, 2), first_update=BATCH, timesteps=2, hooks=[look])
    assert look.counters == (steps - BATCH, steps, 2 * 3)
    assert look.stored == steps


def test_it_is_the_run_that_ended_there(agent, tmp_path):
    """What is saved is what a run holds that a budget ended at the same step."""
    failed, whole = (agent(q_model_fn(), model_dir=tmp_path / name, check_env=False) for name in ("failed", "whole"))
    train(failed, failing(10))
    whole.train(GymEnvironment(FaultyEnv, 2, at=10), first_update=BATCH, max_timesteps=18)
    for trained in (failed, whole):
        trained.train(GymEnvironment(ScheduleEnv, 2), first_update=BATCH, timesteps=10)
    assert_equal(weights(failed), weights(whole))
    assert_equal(rows(failed), rows(whole))


def test_the_step_that_failed_is_not_taken_again_by_the_run_that_resumes(agent):
    """It would fail again before that has begun, each time."""
    for steps in (18, 36, 54):
        trained = agent(check_env=False, save_checkpoints_timesteps=1_000)
        train(trained, failing(10), timesteps=100)
        assert trained.checkpoints.latest().name == f"ckpt-{steps:09d}"


@pytest.mark.parametrize("where", ["observation", "reward"])
def test_what_is_not_a_number_is_a_fault_of_the_environment_too(agent, where):
    trained = agent()
    error = train(trained, ScheduleEnv(bad=Bad(where, 3, 2)))
    assert isinstance(error, NonFiniteError)
    assert trained.checkpoints.latest().name == "ckpt-000000010"


def test_a_fault_in_an_evaluation_saves_the_run(agent):
    trained = agent(check_env=False)
    hook = EvaluationHook(FaultyEnv(at=2), every_timesteps=8, episodes=1)
    error = train(trained, ScheduleEnv(), hooks=[hook])
    assert isinstance(error, KeyError)
    assert trained.checkpoints.latest().name == "ckpt-000000008"


def test_nothing_is_written_twice(agent):
    """The checkpoint before has it all."""
    trained = agent(check_env=False, save_checkpoints_timesteps=6)
    error = train(trained, failing(4))
    assert f"Checkpoint: {trained.checkpoints.latest()}" in notes(error)
    assert trained.checkpoints.latest().name == "ckpt-000000006"
    before = (trained.checkpoints.latest() / "state.json").stat().st_mtime_ns
    error = train(trained, failing(1))
    assert "Nothing was lost: no step is newer than the last checkpoint." in notes(error)
    assert (trained.checkpoints.latest() / "state.json").stat().st_mtime_ns == before


def test_a_fault_at_the_first_step_leaves_nothing(agent):
    trained = agent(check_env=False)
    error = train(trained, failing(1))
    assert "Nothing was lost" in notes(error)
    assert trained.checkpoints.latest() is None


# Other errors. ----------------------------------------------------------------------------------------------------------


class Fails(Hook):
    """An error of a hook, or of the loss."""

    def __init__(self, error):
        self._error = error

    def after_act(self, run):
        if run.timestep == 9:
            raise self._error


@pytest.mark.parametrize("error", [NonFiniteError("of a loss"), ValueError("of a hook")])
def test_errors_of_another_origin_save_nothing(agent, error):
    trained = agent()
    assert train(trained, ScheduleEnv(), hooks=[Fails(error)]) is error
    (note,) = error.__notes__
    place = re.fullmatch(r"The hook's method Fails\.after_act raised this, in (.+), line \d+\. Nothing was saved .+", note)
    assert place is not None
    assert place[1] == __file__
    assert trained.checkpoints.latest() is None


def test_actions_that_do_not_exist_are_not_a_fault_of_the_environment(agent, monkeypatch):
    trained = agent()

    class Spoils(Hook):
        def after_act(self, run):
            if run.timestep == 9:
                trained_loop._actions = np.array([7])

    trained_loop = None

    def keep(self, *arguments):
        nonlocal trained_loop
        trained_loop = self
        return start(self, *arguments)

    from polyrl.estimators.loops.python_loop import PythonLoop

    start = PythonLoop.start
    monkeypatch.setattr(PythonLoop, "start", keep)
    error = train(trained, ScheduleEnv(), hooks=[Spoils()])
    assert "The model gave the actions [7]" in str(error)
    assert trained.checkpoints.latest() is None


@pytest.mark.slow
def test_weights_that_are_not_numbers_are_not_saved(agent):
    trained = agent(q_model_fn(), check_env=False)

    class Spoils(Hook):
        def after_act(self, run):
            if run.timestep == 18:
                part = next(part for part in trained._scope.parts.values() if hasattr(part, "labelled_variables"))
                variable = next(iter(part.labelled_variables().values()))
                variable.assign(variable * np.nan)

    error = train(trained, failing(10), hooks=[Spoils()])
    assert isinstance(error, KeyError)
    assert "could not be saved as of its last whole step: NonFiniteError" in notes(error)
    assert trained.checkpoints.latest() is None


def test_a_disk_that_is_full_leaves_the_error_of_the_environment(agent, monkeypatch):
    trained = agent(check_env=False)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trained.checkpoints, "save", full)
    error = train(trained, failing(10))
    assert isinstance(error, KeyError)
    assert "could not be saved as of its last whole step: OSError: [Errno 28]" in notes(error)


@pytest.mark.slow
def test_what_the_environments_keep_may_be_lost_with_them(agent, caplog):
    trained = agent(check_env=False)
    train(trained, failing(10, mode="async", deed="exit"))
    assert "The checkpoint is written without what the environments keep: The environments of env_id=" in caplog.text


def test_the_functions_that_may_be_left_exist():
    from polyrl.envs import EnvDriver
    from polyrl.estimators.training import TrainingRun

    kinds = {kind.__module__: kind for kind in (EnvDriver, TrainingRun)}
    for module, name in rescue.ENVIRONMENT | rescue.HOOKS | rescue.WHOLE:
        assert callable(getattr(kinds[module], name)), name


def test_a_hook_that_raises_is_named(tmp_path):
    class Divides(Hook):
        def after_act(self, run):
            return 1 // 0

    with pytest.raises(ZeroDivisionError) as error:
        make_agent(model_dir=tmp_path).train(ScheduleEnv(), first_update=4, timesteps=8, hooks=[Divides()])
    (note,) = error.value.__notes__
    assert re.search(r"Divides\.after_act raised this, in \S+, line \d+\. Nothing was saved after the last", note)
