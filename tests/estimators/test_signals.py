"""SIGINT and SIGTERM end a run with a checkpoint."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkpoint_testing import BATCH
from tiny_envs import ScheduleEnv

from polyrl.estimators.hooks import Hook

ROOT = Path(__file__).resolve().parents[2]


class Send(Hook):
    """Sends this process a signal, as often as told."""

    def __init__(self, number, timestep, times=1):
        self._number, self._timestep, self._times = number, timestep, times

    def after_act(self, run):
        if run.timestep == self._timestep:
            for _ in range(self._times):
                signal.raise_signal(self._number)


# Signals. ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_checkpoint_and_its_name(agent, number):
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    result = agent().train(ScheduleEnv(), first_update=BATCH, hooks=[Send(number, 7)])
    assert (result.signal, result.global_timestep) == (number, 7)
    assert number.name in result.stop_reason
    assert result.checkpoint.name == "ckpt-000000007"
    assert {one: signal.getsignal(one) for one in before} == before
    assert agent().train(ScheduleEnv(), first_update=BATCH, timesteps=1).global_timestep == 8


def test_a_second_signal_ends_at_once(agent):
    trained = agent()
    with pytest.raises(KeyboardInterrupt):
        trained.train(ScheduleEnv(), first_update=BATCH, hooks=[Send(signal.SIGINT, 7, times=2)])
    assert trained.checkpoints.latest() is None


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
