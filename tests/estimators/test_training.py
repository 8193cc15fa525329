"""How a run stops and how it fails: by a hook's wish, by an error of a hook or of the environment."""

from __future__ import annotations

import shutil

import pytest
from tiny_agents import assert_equal, counters, q_model_fn, rows, weights
from tiny_envs import Bad, ScheduleEnv
from tiny_hooks import Recorder

from polyrl.errors import NonFiniteError
from polyrl.estimators.hooks import Hook

BATCH = 4


class Failing(Hook):
    """Raises in one phase."""

    def __init__(self, phase, timestep=0):
        self._phase, self._timestep = phase, timestep

    def begin(self, run):
        self._raise("begin", run)

    def after_act(self, run):
        self._raise("after_act", run)

    def end(self, run):
        self._raise("end", run)

    def _raise(self, phase, run):
        if phase == self._phase and run.timestep >= self._timestep:
            raise RuntimeError("of the hook")


def schedule(lengths=(3,), **arguments) -> ScheduleEnv:
    return ScheduleEnv(lengths=lengths, **arguments)


# Stopping and failing. --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["begin", "after_update", "after_episode", "after_act"])
def test_a_stop_asked_for_in_any_phase_ends_the_run_with_its_reason(agent, phase):
    class Stop(Hook):
        pass

    setattr(Stop, phase, lambda self, run, *arguments: run.request_stop(f"by {phase}"))
    recorder = Recorder()
    result = agent().train(schedule(), first_update=BATCH, hooks=[Stop(), recorder])
    timestep = {"begin": 0, "after_act": 1, "after_episode": 3, "after_update": 5}[phase]
    assert (result.stop_reason, result.global_timestep) == (f"by {phase}", timestep)
    assert [entry[0] for entry in recorder.log[-3:]] == ["end", "after_checkpoint", "close"]
    assert result.checkpoint.name == f"ckpt-{timestep:09d}"


def test_the_first_reason_is_the_one_reported(agent):
    class Stop(Hook):
        def after_act(self, run):
            run.request_stop("first")
            run.request_stop("second")

    assert agent().train(schedule(), first_update=BATCH, hooks=[Stop()]).stop_reason == "first"


@pytest.mark.parametrize("phase", ["begin", "after_act", "end"])
def test_hooks_are_closed_after_an_exception_and_nothing_is_written(agent, phase):
    trained, recorder = agent(), Recorder()
    with pytest.raises(RuntimeError, match="of the hook"):
        trained.train(schedule(), first_update=BATCH, timesteps=5, hooks=[Failing(phase), recorder])
    phases = [entry[0] for entry in recorder.log]
    assert phases[-1] == "close"
    assert phases.count("close") == 1
    assert "after_checkpoint" not in phases
    assert trained.checkpoints.latest() is None


def test_hooks_are_closed_after_an_exception_of_the_environment(agent):
    recorder = Recorder()
    with pytest.raises(NonFiniteError):
        agent().train(schedule(bad=Bad("reward", 1, 1)), first_update=BATCH, timesteps=9, hooks=[recorder])
    assert [entry[0] for entry in recorder.log[-3:]] == ["after_act", "after_checkpoint", "close"]
    assert recorder.log[-3][:2] == ("after_act", 3)


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_after_an_exception_training_resumes_from_the_checkpoint_before_it(agent, jit):
    """As an agent does that knows of nothing but the checkpoint."""
    trained = agent(q_model_fn(), jit=jit, save_checkpoints_timesteps=10)
    with pytest.raises(RuntimeError):
        trained.train(schedule(), first_update=BATCH, timesteps=30, hooks=[Failing("after_act", 17)])
    shutil.copytree(trained.model_dir, trained.model_dir.parent / "copy")
    fresh = agent(q_model_fn(), jit=jit, model_dir=trained.model_dir.parent / "copy")
    for each in (trained, fresh):
        result = each.train(schedule(), first_update=BATCH, timesteps=5)
        assert (result.global_step, result.global_timestep, result.global_episode) == counters(each)
        assert result.global_timestep == 15
    assert_equal(weights(trained), weights(fresh))
    assert_equal(rows(trained), rows(fresh))
