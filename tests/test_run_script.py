"""The command of scripts/benchmarks/run.py: what it refuses, and the table of one row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "scripts" / "benchmarks"


@pytest.mark.parametrize(("flags", "told"), [
    (["--together=0"], "--together=0 must be at least 1"), (["--together=2"], "--together=2 would be on one core"),
    (["--together=2", "--both"], "--together=2 would be on one core"), (["--both", "--all_cores"], "--both and --all_cores"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused(flags, told):
    command = [sys.executable, str(BENCHMARKS / "run.py"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_baseline_that_is_no_checkout_is_refused(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "run.py"), f"--baseline={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert f"--baseline={tmp_path} must be a checkout of polyrl" in done.stderr


@pytest.mark.slow
def test_one_command_prints_the_table(tmp_path):
    """The command with polyrl's worker, for one row whose peers are left out."""
    output = tmp_path / "figures.json"
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--rows=startup", "--pairs=1", "--core=-1", "--both"]
    command.append(f"--output={output}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "--peers_python is not given" in done.stdout
    assert "left out" in done.stdout
    lines = json.loads(output.read_text())["rows"]
    assert [(line["cores"], line["peer"]) for line in lines] == [
        (cores, peer) for cores in ("one core", "all cores") for peer in ("SB3", "TF-Agents")
    ]
    for line in lines:
        assert f"on {line['cores']}: median" in done.stdout
        assert line["polyrl"][0]["value"] > 0.5
        assert "tensorflow" in line["polyrl"][0]["versions"]
