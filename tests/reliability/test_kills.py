"""Runs that are killed in whole processes, and resumed in new ones, end as those that were left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "kill_runs.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--kills=6", "--timesteps=6000"],
        ["--kills=4", "--timesteps=6000", "--env_backend=async"],
        ["--kills=3", "--timesteps=40000", "--env_backend=compiled"],
        ["--kills=4", "--timesteps=6000", "--signal=SIGTERM"],
    ],
    ids=["kill", "async", "compiled", "term"],
)
def test_a_run_killed_in_mid_process_is_resumed_in_new_ones_bit_for_bit(flags):
    done = subprocess.run([sys.executable, str(SCRIPT), *flags], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    wanted, number = (int(flags[0].partition("=")[2]), "SIGTERM" if "--signal=SIGTERM" in flags else "SIGKILL")
    assert f"\n{wanted} kills by {number}" in done.stdout, done.stdout
