"""A process of a cluster is killed again and again; the same commands bring the run to its end, which is the one without."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

import pytest
from cluster_testing import cluster, run, written

PROGRAM = str(Path(__file__).resolve().parent / "cluster_program.py")
KILLS = 20
STEPS = "1500"
BEGUN = 60.0
"""Seconds after which a process that lost another one has noticed, or never had it."""


@pytest.mark.slow
@pytest.mark.timeout(2_400)
@pytest.mark.parametrize("victim", [0, 1], ids=["chief", "worker"])
def test_a_process_is_killed_at_any_time(victim: int, tmp_path: Path) -> None:
    command = [PROGRAM, "multi_worker", str(tmp_path / "killed"), STEPS, "every=100"]
    times, told, resumed = random.Random(victim), 0, set()
    for _ in range(KILLS):
        with cluster(command, tmp_path) as processes:
            time.sleep(times.uniform(4.0, 20.0))
            resumed.add(len(list((tmp_path / "killed" / "graph" / "checkpoints").glob("ckpt-*"))))
            if any(process.poll() is not None for process in processes):
                break  # It has come to its end.
            processes[victim].kill()
            other = processes[1 - victim]
            try:
                assert other.wait(BEGUN) == 1, written(tmp_path, 1 - victim)
            except subprocess.TimeoutExpired:
                continue  # It still waits for the one that never came.
            assert "Another process of the cluster is gone" in written(tmp_path, 1 - victim)
            told += 1
    assert told >= 5
    assert len(resumed) > 1
    chief, worker = run(command, tmp_path)
    (whole,), (killed,) = (
        [json.loads(line) for line in text.splitlines()]
        for text in (run([*command[:2], str(tmp_path / "whole"), *command[3:]], tmp_path)[0], chief)
    )
    assert killed["sums"] == whole["sums"] == json.loads(worker)["sums"]
