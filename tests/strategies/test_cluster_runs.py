"""Whole runs of a cluster: the chief's run is all there is of it, and every process ends with its models."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster_testing import LONG_AGO, cluster, free_ports, run, written

PROGRAM = str(Path(__file__).resolve().parent / "cluster_program.py")
KINDS = ("python", "bursts", "recurrent", "pqn", "demonstrations", "bfloat16", "actors")


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_each_process_ends_with_the_chiefs_models_and_result(tmp_path: Path) -> None:
    """Two runs of one program: in the graph, where updates are in a loop, and in Python."""
    chief, worker = map(lines, run([PROGRAM, "multi_worker", str(tmp_path), "400", "kind=graph+python"], tmp_path))
    assert chief == worker
    assert [found["counters"][:2] for found in chief] == [[190, 400], [190, 400]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.err", "0.out", "1.err", "1.out", "graph", "python"]
    assert (tmp_path / "graph" / "checkpoints" / "ckpt-000000400").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_a_cluster_does_the_runs_of_every_kind(count: int, tmp_path: Path) -> None:
    kinds = [kind for kind in KINDS if count == 2 or kind not in ("recurrent", "pqn")]
    found = list(map(lines, run([PROGRAM, "multi_worker", str(tmp_path), "400", f"kind={'+'.join(kinds)}"], tmp_path, count)))
    assert [each["kind"] for each in found[0]] == kinds
    assert all(each["counters"][0] > 100 for each in found[0])
    assert found[1:] == [found[0]] * (count - 1)


@pytest.mark.slow
def test_devices_do_the_runs_of_every_kind(tmp_path: Path) -> None:
    command = [sys.executable, PROGRAM, "mirrored", str(tmp_path), "400", f"kind={'+'.join(('graph', *KINDS))}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert [each["kind"] for each in lines(done.stdout)] == ["graph", *KINDS]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["graph", "python", "recurrent", "period"])
def test_a_resumed_run_is_the_one_that_was_not_interrupted(kind: str, tmp_path: Path) -> None:
    found = {}
    for name, stops in (("whole", ("600",)), ("resumed", ("200", "600"))):
        for stop in stops:
            command = [PROGRAM, "multi_worker", str(tmp_path / name), stop, f"kind={kind}"]
            found[name] = lines(run(command, tmp_path)[0])[0]
    assert found["whole"]["sums"] == found["resumed"]["sums"]
    assert found["whole"]["counters"] == found["resumed"]["counters"]


def statuses(processes):
    return [process.wait(LONG_AGO) for process in processes]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("worker_units=9", "variables/Model/online"),
        ("worker_seed=4", "seed is 4 here, and 3 there"),
        ("worker_batch=24", "batch_size is 24 here, and 12 there"),
        ("worker_kind=demonstrations memory=uniform worker_memory=own", "it fails with a batch of the chief's run"),
        ("worker_kind=demonstrations", "prioritized is False here, and True there"),
        ("worker_memory=uniform", "prioritized is False here, and True there"),
    ],
)
def test_another_setting_is_refused_by_the_process_that_has_it(options: str, words: str, tmp_path: Path) -> None:
    with cluster([PROGRAM, "multi_worker", str(tmp_path), "400", *options.split()], tmp_path) as processes:
        assert statuses(processes) == [1, 1]
    assert f"This process does not learn what the chief learns: {words}" in written(tmp_path, 1)
    assert "1 of the other processes of the cluster cannot learn what this one learns" in written(tmp_path, 0)


@pytest.mark.slow
def test_what_ends_the_chiefs_run_is_told_by_the_others(tmp_path: Path) -> None:
    with cluster([PROGRAM, "multi_worker", str(tmp_path), "400", "fails_at=90"], tmp_path) as processes:
        assert statuses(processes) == [1, 1]
    assert "The chief's run has failed: ZeroDivisionError: the robot's arm is off" in written(tmp_path, 1)
    assert "The run is saved as of its last whole step" in written(tmp_path, 0)


@pytest.mark.slow
def test_an_update_that_fails_in_one_process_ends_all(tmp_path: Path) -> None:
    with cluster([PROGRAM, "multi_worker", str(tmp_path), "400", "kind=dqn", "breaks=1"], tmp_path) as processes:
        assert statuses(processes) == [1, 1]
    assert "InvalidArgumentError" in written(tmp_path, 0)
    assert "LostWorkerError" in written(tmp_path, 1)


@pytest.mark.slow
def test_an_address_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        content = {"cluster": {"worker": [f"127.0.0.1:{port}", "127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(content)}
        command = [sys.executable, PROGRAM, "multi_worker", str(tmp_path), "400"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONG_AGO)
    assert done.returncode == 1
    assert f"process 0 cannot listen at 127.0.0.1:{port}" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_waits_for_the_others_ends_by_a_signal(number: int, tmp_path: Path) -> None:
    waiting, nobody = free_ports(2)
    content = {"cluster": {"worker": [f"127.0.0.1:{waiting}", f"127.0.0.1:{nobody}"]}, "task": {"type": "worker", "index": 0}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(content)}
    command = [sys.executable, PROGRAM, "multi_worker", str(tmp_path), "400", "progress=1"]
    # A shell's job in the background ignores SIGINT, and so would this process.
    heard = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **heard) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "of the cluster listens at" in line)
        assert f"waits for 127.0.0.1:{nobody}" in line
        time.sleep(2.0)
        process.send_signal(number)
        assert process.wait(LONG_AGO) == -number


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_goes_on_after_a_signal_and_the_chiefs_ends_all(number: int, tmp_path: Path) -> None:
    with cluster([PROGRAM, "multi_worker", str(tmp_path), "100000"], tmp_path) as processes:
        deadline = time.monotonic() + LONG_AGO
        while "begun" not in written(tmp_path, 0):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        processes[1].send_signal(number)
        time.sleep(3.0)
        assert [process.poll() for process in processes] == [None, None]
        processes[0].send_signal(number)
        assert statuses(processes) == [0, 0]
    chief, worker = (
        [json.loads(line) for line in written(tmp_path, index).splitlines() if line.startswith("{")] for index in (0, 1)
    )
    assert chief == worker
    assert chief[0]["reason"] == f"interrupted by {signal.Signals(number).name}"
