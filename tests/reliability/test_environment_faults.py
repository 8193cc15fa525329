"""Whole processes: an environment fails, hangs, or is left alone, as a user would meet it."""

from __future__ import annotations

import re
import signal
import sys

import pytest
from process_testing import lives, running, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Looks into /proc.")

AT = 40
SAID = {
    "raise": "raised KeyError: 'no such level'",
    "exit": "exited with status 3",
    "kill": "was killed by SIGKILL",
    "C": "did not answer within timeout=1.0 seconds",
}


@pytest.mark.slow
@pytest.mark.parametrize("deed", SAID)
def test_a_process_that_fails_is_named_the_run_is_saved_and_continues(deed, tmp_path):
    flags = ["--env_backend=async", "--env_timeout=1", f"--once={tmp_path / 'once'}"]
    with running(tmp_path, *flags, f"--deed={deed}", f"--at={AT}") as run:
        status, output = run.end()
        assert status == 1
        (line,) = [line for line in output.splitlines() if line.startswith("BrokenEnvironmentError: ")]
        assert f"), at its step {AT}, {SAID[deed]}" in line
        assert run.checkpoints() == [2 * (AT - 1)]
        assert f"Checkpoint: {run.model_dir}/checkpoints/ckpt-{2 * (AT - 1):09d}" in output
        assert len(run.environments()) == 2
        assert not [pid for pid in run.environments() if lives(pid)]
    with running(tmp_path, *flags, "--train_timesteps=100") as run:
        assert run.end()[0] == 0
        assert run.checkpoints()[-1] == 100


@pytest.mark.slow
@pytest.mark.parametrize("deed", ["raise", "exit"])
def test_an_environment_in_the_trainers_own_process(deed, tmp_path):
    """Its error is its own, with its traceback; nothing can be done about one that ends the process."""
    with running(tmp_path, f"--deed={deed}", f"--at={AT}") as run:
        status, output = run.end()
    if deed == "exit":
        assert (status, run.checkpoints()) == (3, [])
        return
    assert (status, run.checkpoints()) == (1, [2 * (AT - 1)])
    assert "KeyError: 'no such level'" in output
    assert "in _misbehave" in output
    if sys.version_info >= (3, 11):
        assert "Environment 0 (<FaultyEnv instance>), at step 5 of its episode, raised this, in " in output
        assert re.search(r"faulty_envs\.py, line \d+\. Nothing of this step was stored\.", output)


@pytest.mark.slow
def test_restarts_are_counted_and_shown(tmp_path):
    flags = ["--env_backend=async", "--deed=exit", f"--at={AT}", "--env_restarts=3", "--train_timesteps=10000"]
    with running(tmp_path, *flags) as run:
        status, output = run.end()
    assert status == 1
    assert [f"Restart {count} of at most 3" in output for count in (1, 2, 3, 4)] == [True, True, True, False]
    assert run.checkpoints() == [2 * (2 * AT - 1)]


@pytest.mark.slow
@pytest.mark.parametrize("deed", ["C", "loop"])
def test_no_process_is_left_when_the_trainer_is_killed(deed, tmp_path):
    """Also if it hangs where nothing but the system can end it; and the directory is free for the next run."""
    flags = ["--env_backend=async", f"--deed={deed}", f"--once={tmp_path / 'once'}"]
    with running(tmp_path, *flags, "--at=10") as run:
        run.wait_for(lambda: (tmp_path / "once").exists() and len(run.environments()) == 2)
        assert all(lives(pid) for pid in run.environments())
        run.process.send_signal(signal.SIGKILL)
        run.end()
        wait_for(lambda: not [pid for pid in run.environments() if lives(pid)])
    with running(tmp_path, *flags, "--train_timesteps=20") as run:
        assert run.end()[0] == 0
