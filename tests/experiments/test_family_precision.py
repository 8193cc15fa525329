"""The flag `--precision` from training to an export."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*flags: str, status: int = 0) -> str:
    """What a command prints, with everything that it writes."""
    command = [sys.executable, "-m", "polyrl", "--progress=false", *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=250, cwd=ROOT)
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.mark.slow
def test_what_was_trained_in_bfloat16_is_exported_in_float32_but_not_trained_so(tmp_path):
    pytest.importorskip("minatar", reason="minatar is not installed: pip install 'polyrl[minatar]'")
    short = ("--train_timesteps=80", "--first_update=40", "--memory_size=200", "--units=8", "--filters=4")
    where = f"--model_dir={tmp_path / 'run'}"
    begun = ("--config=minatar_breakout_dqn", where, "--precision=bfloat16", *short)
    run(*begun, "--mode=train")
    again = (f"--config={tmp_path / 'run' / 'config.json'}", where)
    refused = run(*again, "--mode=export", "--export_format=tflite", "--checkpoint=latest", status=1)
    assert "export_format='tflite' cannot hold a model that computes in bfloat16" in refused
    plain = (*again, "--precision=float32")
    exported = run(*plain, "--mode=export", "--export_format=tflite", "--checkpoint=latest")
    assert "Checked in 1,000 states: the same actions" in exported
    assert "precision: bfloat16 there, float32 now" in run(*plain, "--mode=train", "--train_timesteps=90", status=1)
