"""SIGINT, SIGTERM and SIGHUP end a run with a checkpoint, whatever it is doing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkpoint_testing import BATCH
from tiny_envs import ScheduleEnv

from polyrl.envs import GymEnvironment
from polyrl.estimators import signals
from polyrl.estimators.hooks import EvaluationHook, Hook

ROOT = Path(__file__).resolve().parents[2]


class Send(Hook):
    """Sends this process a signal, as often as told."""

    def __init__(self, number, timestep, times=1, phase="after_act"):
        self._number, self._timestep, self._times, self._phase = number, timestep, times, phase

    def after_act(self, run):
        if self._phase == "after_act" and run.timestep == self._timestep:
            self._send()

    def after_checkpoint(self, run, path):
        if self._phase == "after_checkpoint":
            self._send()

    def _send(self):
        for _ in range(self._times):
            signal.raise_signal(self._number)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A second signal counts at once, and environments are waited for a short time only."""
    monkeypatch.setattr(signals, "ECHO", 0.0)
    monkeypatch.setattr(signals, "PATIENCE", 0.3)


class SendingEnv(ScheduleEnv):
    """Sends its process a signal at some of its steps, and then does not come back."""

    def __init__(self, at, number=signal.SIGTERM, times=1, hangs=True, **arguments):
        super().__init__(**arguments)
        self._at, self._number, self._times, self._hangs = at, number, times, hangs

    def step(self, action):
        result = super().step(action)
        if self.steps == self._at:
            for _ in range(self._times):
                signal.raise_signal(self._number)
            if self._hangs:
                time.sleep(1_000)
        return result


# Signals. ---------------------------------------------------------------------------------------------------------------


ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def as_in_a_terminal():
    """Signals that whoever started the tests has ignored, as `nohup` does, are not."""
    before = {number: signal.getsignal(number) for number in ENDINGS}
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("as_in_a_terminal")
@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_ends_the_run_with_a_checkpoint_and_its_name(agent, number):
    before = {one: signal.getsignal(one) for one in ENDINGS}
    result = agent().train(ScheduleEnv(), first_update=BATCH, hooks=[Send(number, 7)])
    assert (result.signal, result.global_timestep) == (number, 7)
    assert number.name in result.stop_reason
    assert result.checkpoint.name == "ckpt-000000007"
    assert {one: signal.getsignal(one) for one in before} == before
    assert agent().train(ScheduleEnv(), first_update=BATCH, timesteps=1).global_timestep == 8


def test_the_end_of_the_terminal_is_nothing_where_it_is_ignored(agent):
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        result = agent().train(ScheduleEnv(), first_update=BATCH, timesteps=10, hooks=[Send(signal.SIGHUP, 7)])
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (result.signal, result.global_timestep) == (None, 10)


def test_a_second_signal_ends_at_once_and_loses_nothing(agent):
    trained = agent()
    with pytest.raises(KeyboardInterrupt) as error:
        trained.train(ScheduleEnv(), first_update=BATCH, hooks=[Send(signal.SIGINT, 7, times=2)])
    assert trained.checkpoints.latest().name == "ckpt-000000007"
    assert str(trained.checkpoints.latest()) in error.value.__notes__[0]


def test_a_second_signal_waits_for_what_must_not_be_left(agent, monkeypatch):
    """While the last checkpoint is written."""
    trained = agent()
    save = trained.checkpoints.save

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        return save(*arguments)

    monkeypatch.setattr(trained.checkpoints, "save", interrupted)
    with pytest.raises(KeyboardInterrupt, match="the run was saved before"):
        trained.train(ScheduleEnv(), first_update=BATCH, hooks=[Send(signal.SIGINT, 7)])
    assert trained.checkpoints.latest().name == "ckpt-000000007"


def test_a_third_signal_ends_at_once_whatever_is_done(agent, monkeypatch):
    trained = agent()

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(trained.checkpoints, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained.train(ScheduleEnv(), first_update=BATCH, hooks=[Send(signal.SIGINT, 7)])
    assert trained.checkpoints.latest() is None


def test_one_that_is_passed_on_is_the_same_one(agent, monkeypatch):
    """As by `timeout`, which signals its child, and then the group."""
    monkeypatch.setattr(signals, "ECHO", 0.5)
    result = agent().train(ScheduleEnv(), first_update=BATCH, hooks=[Send(signal.SIGTERM, 7, times=4)])
    assert (result.signal, result.global_timestep) == (signal.SIGTERM, 7)


# An environment that does not come back. --------------------------------------------------------------------------------


def test_its_step_is_abandoned_after_a_while(agent):
    trained, again = (agent(check_env=False, save_checkpoints_timesteps=1_000) for _ in range(2))
    result = trained.train(SendingEnv(10), first_update=BATCH)
    assert (result.signal, result.global_timestep, result.checkpoint.name) == (signal.SIGTERM, 9, "ckpt-000000009")
    # The run that resumes takes other steps, not that one again.
    assert again.train(SendingEnv(10), first_update=BATCH, timesteps=8).global_timestep == 17


def test_its_step_is_abandoned_at_once_by_a_second_signal(agent, monkeypatch):
    monkeypatch.setattr(signals, "PATIENCE", 1_000.0)
    trained = agent(check_env=False)
    with pytest.raises(KeyboardInterrupt):
        trained.train(SendingEnv(10, times=2), first_update=BATCH)
    assert trained.checkpoints.latest().name == "ckpt-000000009"


def test_one_that_only_takes_its_time_is_waited_for(agent):
    result = agent(check_env=False).train(SendingEnv(10, hangs=False), first_update=BATCH)
    assert (result.signal, result.global_timestep) == (signal.SIGTERM, 10)


def test_processes_that_the_signal_has_ended_too_are_not_an_error(agent, monkeypatch):
    """It went to the whole group, and reached them first."""
    monkeypatch.setattr(signals, "ECHO", 5.0)  # Each of the two sends it.

    class Env(ScheduleEnv):
        def step(self, action):
            if self.steps == 5 and os.getpid() != owner:
                os.kill(owner, signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1_000)
            return super().step(action)

    owner = os.getpid()
    result = agent(check_env=False).train(GymEnvironment(Env, 2, "async"), first_update=BATCH)
    assert (result.signal, result.global_timestep) == (signal.SIGTERM, 10)


# Evaluation. ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["endless", "hanging"])
def test_an_evaluation_is_abandoned_and_made_up_for_by_the_run_that_resumes(agent, kind):
    """The resumed run evaluates the same weights, at the same step."""
    env = SendingEnv(5, hangs=kind == "hanging", lengths=(1_000_000,))
    trained, after = agent(check_env=False), Send(signal.SIGINT, -1)
    result = trained.train(ScheduleEnv(), first_update=BATCH, hooks=[EvaluationHook(env, 20, 1), after])
    assert (result.signal, result.global_timestep) == (signal.SIGTERM, 20)
    assert trained.checkpoints.best() is None
    evaluated = []

    class Look(Hook):
        def begin(self, run):
            evaluated.append((run.timestep, run.last_evaluation))

    hook = EvaluationHook(ScheduleEnv(), 20, 1)
    trained.train(ScheduleEnv(), first_update=BATCH, timesteps=5, hooks=[hook, Look()])
    ((timestep, found),) = evaluated
    assert timestep == found["global_timestep"] == 20
    assert trained.checkpoints.best_score() == found["mean_reward"]


def test_a_signal_before_an_evaluation_leaves_it_to_the_run_that_resumes(agent):
    class Refuses(ScheduleEnv):
        def step(self, action):
            raise AssertionError("evaluated")

    trained = agent(check_env=False)
    hooks = [Send(signal.SIGINT, 20), EvaluationHook(Refuses(), 20, 1)]
    assert trained.train(ScheduleEnv(), first_update=BATCH, hooks=hooks).global_timestep == 20


def test_scripts_end_by_a_signal_with_a_checkpoint_and_its_exit_status(tmp_path):
    """Two processes side by side; each gets its signal once it has written a checkpoint."""
    cases = {"train": signal.SIGINT, "continuous_train_and_eval": signal.SIGTERM}
    script = [sys.executable, str(ROOT / "experiments" / "cartpole_dqn.py"), "--jit=off", "--noprogress", "--eval_episodes=1"]
    flags = ["--train_timesteps=10000000", "--eval_frequency=10000000", "--save_checkpoints_timesteps=200", "--num_envs=2"]
    processes = {
        mode: subprocess.Popen(
            [*script, *flags, f"--mode={mode}", f"--model_dir={tmp_path / mode}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
        )
        for mode in cases
    }
    try:
        for mode, process in processes.items():
            while process.poll() is None and not list((tmp_path / mode / "checkpoints").glob("ckpt-*/state.json")):
                time.sleep(0.1)
            assert process.poll() is None, process.stdout.read()
            process.send_signal(cases[mode])
        for mode, process in processes.items():
            output, _ = process.communicate(timeout=120)
            assert f"interrupted by {cases[mode].name}" in output
            assert "Traceback" not in output
            newest = max((tmp_path / mode / "checkpoints").glob("ckpt-*"))
            state = json.loads((newest / "state.json").read_text())
            assert newest.name == f"ckpt-{state['global_timestep']:09d}"
            assert newest.name in output
        assert {mode: process.returncode for mode, process in processes.items()} == {
            mode: 128 + number for mode, number in cases.items()
        }
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


@pytest.mark.parametrize(("code", "told"), [(signal.SIGTERM, 143), (15, 143), (3, 3), ("text", "text"), (None, None)])
def test_a_librarys_handlers_do_not_stay(code, told):
    def library():
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        sys.exit(code)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, signals.handlers_kept():
        library()
    assert ended.value.code == told
    assert signal.getsignal(signal.SIGTERM) is before
