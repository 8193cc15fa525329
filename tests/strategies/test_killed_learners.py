"""A process of a cluster is killed again and again; the same commands bring the run to its end, which is the one without."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from cluster_testing import LONG_AGO, cluster, run, written

PROGRAM = str(Path(__file__).resolve().parent / "cluster_program.py")
KILLS, WHILE_STARTING = 20, 3
STEPS = "20000"
PATIENCE = 60.0
"""Seconds within which a process notices that another one is gone."""


@pytest.mark.slow
@pytest.mark.timeout(2_400)
@pytest.mark.parametrize("victim", [0, 1], ids=["chief", "worker"])
def test_a_process_is_killed_at_any_time(victim: int, tmp_path: Path) -> None:
    command = [PROGRAM, "multi_worker", str(tmp_path / "killed"), STEPS, "every=100"]
    times, other, begins = random.Random(victim), 1 - victim, []
    for number in range(KILLS):
        with cluster(command, tmp_path) as processes:
            if number < WHILE_STARTING:
                time.sleep(times.uniform(1.0, 8.0))
                processes[victim].kill()
                continue  # The other one may wait for it, as it never came.
            deadline = time.monotonic() + LONG_AGO
            while "begun" not in written(tmp_path, 0):
                assert time.monotonic() < deadline, written(tmp_path, 0)
                time.sleep(0.05)
            begins.append(newest(tmp_path))
            time.sleep(times.uniform(0.0, 5.0))
            assert [process.poll() for process in processes] == [None, None]
            processes[victim].kill()
            assert processes[other].wait(PATIENCE) == 1
            assert "Another process of the cluster is gone" in written(tmp_path, other)
    assert begins == sorted(begins)
    assert begins[-1] >= 1_000  # It came further from time to time.
    last = [PROGRAM, "multi_worker", str(tmp_path / "killed"), str(newest(tmp_path) + 300), "every=100"]
    killed, worker = (json.loads(text) for text in run(last, tmp_path))
    whole = json.loads(run([*last[:2], str(tmp_path / "whole"), *last[3:]], tmp_path)[0])
    assert killed["sums"] == whole["sums"] == worker["sums"]
    assert killed["counters"] == whole["counters"]


def newest(directory: Path) -> int:
    """The environment steps of the newest checkpoint."""
    return max((int(path.name[5:]) for path in (directory / "killed/graph/checkpoints").glob("ckpt-*[0-9]")), default=0)
