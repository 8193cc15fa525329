"""Whole processes that get signals in every phase: the run is saved if there is something to save, and the status tells."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import random
import signal
import sys
import termios
import time

import pytest
from process_testing import lives, running

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="Looks into /proc.")]

AT = 40
PHASES = {
    "training": [],
    "a step that hangs": ["--deed=sleep", f"--at={AT}"],
    "a step that loops": ["--deed=loop", f"--at={AT}"],
    "a process that hangs": ["--env_backend=async", "--deed=C", f"--at={AT}"],
    "an evaluation without end": ["--mode=train_and_eval", f"--eval_frequency={2 * AT}", "--eval_length=1000000000"],
    "an evaluation that hangs": ["--mode=train_and_eval", f"--eval_frequency={2 * AT}", "--deed=sleep", "--eval_at=3"],
}
SAVED = {"a step that hangs": 2 * (AT - 1), "a step that loops": 2 * (AT - 1), "a process that hangs": 2 * (AT - 1)}
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def reach(run, phase: str, tmp_path) -> None:
    """Waits until the phase has been reached."""
    if phase == "training":
        run.wait_for(lambda: run.checkpoints() != [])
    elif "without end" in phase:
        run.wait_for(lambda: len(run.environments()) > 0)
        time.sleep(3.0)
    else:
        run.wait_for((tmp_path / "once").exists)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("phase", PHASES)
def test_one_signal_saves_and_ends_the_run(phase, number, tmp_path):
    flags = [*PHASES[phase], f"--once={tmp_path / 'once'}"]
    if phase == "training":
        flags.append("--save_checkpoints_timesteps=50")
    with running(tmp_path, *flags) as run:
        reach(run, phase, tmp_path)
        started = time.monotonic()
        run.process.send_signal(number)
        status, output = run.end()
        took = time.monotonic() - started
    assert status == 128 + number
    assert "Traceback" not in output
    assert f"interrupted by {number.name}" in output
    assert took < 60.0  # It is 10 on a machine that has nothing else to do.
    assert run.checkpoints()[-1] == SAVED.get(phase, run.checkpoints()[-1]) > 0
    assert not [pid for pid in run.environments() if lives(pid)]
    with running(tmp_path, "--train_timesteps=1", "--once=" + str(tmp_path)) as resumed:
        assert resumed.end()[0] == 0


@pytest.mark.parametrize("phase", ["a step that hangs", "a process that hangs"])
def test_a_second_one_does_not_wait_and_loses_nothing(phase, tmp_path):
    with running(tmp_path, *PHASES[phase], f"--once={tmp_path / 'once'}") as run:
        reach(run, phase, tmp_path)
        run.process.send_signal(signal.SIGINT)
        time.sleep(1.0)
        run.process.send_signal(signal.SIGINT)
        status, output = run.end()
    assert status == 130
    assert "Traceback" not in output
    assert run.checkpoints() == [SAVED[phase]]
    assert f"ckpt-{SAVED[phase]:09d}" in output


def test_one_that_goes_to_the_whole_group_is_one(tmp_path):
    """As Ctrl-C in a terminal, or `kill` of a job: the processes of the environments get it too."""
    for number in NUMBERS:
        directory = tmp_path / number.name
        directory.mkdir()
        flags = ["--env_backend=async", "--save_checkpoints_timesteps=50"]
        with running(directory, *flags, start_new_session=True) as run:
            run.wait_for(lambda run=run: run.checkpoints() != [])
            os.killpg(run.process.pid, number)
            status, output = run.end()
        assert status == 128 + number, output
        assert "Traceback" not in output
        assert not [pid for pid in run.environments() if lives(pid)]


def test_a_terminal_that_is_closed_ends_the_run(tmp_path):
    """What the run would say to it is not said; the progress bar used to fail."""
    ours, theirs = pty.openpty()
    options = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": False, "preexec_fn": _own_terminal}
    with running(tmp_path, "--progress", **options) as run:
        os.close(theirs)
        os.set_blocking(ours, False)
        run.wait_for(lambda: _read(ours) and (run.model_dir / "metrics.jsonl").exists())
        assert run.checkpoints() == []
        os.close(ours)
        assert run.end()[0] == 128 + signal.SIGHUP
    assert len(run.checkpoints()) == 1


def _own_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(file: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        while os.read(file, 65_536):
            pass
    return True


@pytest.mark.parametrize("seed", range(12))
def test_at_a_random_moment(seed, tmp_path):
    """Also while Python starts, TensorFlow is imported, and the first call is traced."""
    draw = random.Random(seed)
    number, backend = draw.choice(NUMBERS), draw.choice(["gymnasium", "async"])
    with running(tmp_path, f"--env_backend={backend}", "--save_checkpoints_timesteps=50") as run:
        time.sleep(draw.uniform(0.0, 12.0))
        run.process.send_signal(number)
        status, output = run.end()
    assert status == 128 + number, output
    assert not [pid for pid in run.environments() if lives(pid)]
    with running(tmp_path, "--train_timesteps=1") as resumed:
        assert resumed.end()[0] == 0
