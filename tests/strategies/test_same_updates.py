"""Several learners do what one does with the whole batch: a hundred updates of each model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_testing import run
from same_updates import MODELS, UPDATES

PROGRAM = str(Path(__file__).resolve().parent / "same_updates.py")
SMALL = 1e-5
"""Of numbers of the size of 1, after a hundred updates in float32."""


def results(text):
    return {found["name"]: found for found in map(json.loads, text.splitlines())}


def mirrored(count, names):
    command = [sys.executable, PROGRAM, "mirrored", str(count), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return results(done.stdout)


def check(found, names):
    assert list(found) == list(names)
    for name, result in found.items():
        assert result["updates"] == UPDATES
        assert result["moved"] > 1e-3, name
        for what in ("losses", "priorities", "variables"):
            assert result[what] < SMALL, (name, what)


def test_devices_do_the_updates_of_one() -> None:
    names = ["iqn", "recurrent", "normalized", "counted"]
    check(mirrored(2, names), names)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_devices_do_the_updates_of_one_with_each_model(part: int) -> None:
    names = list(MODELS)[part::4]
    # Four sequences can be divided among two; others among three as well.
    two = [name for name in names if name in ("recurrent", "pqn")]
    rest = [name for name in names if name not in two]
    check(mirrored(3, rest), rest)
    if two:
        check(mirrored(2, two), two)


def check_processes(tmp_path, names):
    texts = run([PROGRAM, "multi_worker", "2", *names], tmp_path)
    chief, worker = map(results, texts)
    check(chief, names)
    for name in names:  # To the last bit, as all apply the same numbers.
        assert worker[name]["values"] == chief[name]["values"]


@pytest.mark.slow
def test_processes_do_the_updates_of_one(tmp_path: Path) -> None:
    check_processes(tmp_path, ["recurrent"])


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_processes_do_the_updates_of_one_with_each_model(part: int, tmp_path: Path) -> None:
    check_processes(tmp_path, list(MODELS)[part::4])
