"""Recurrent models by flags: their torso, their memory, and what has no effect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from flags_testing import look

ROOT = Path(__file__).resolve().parents[2]
MADE = {
    ("--model=dqn",): {"state_size": 0, "burn_in": 0, "memory": "UniformReplay", "n_step": 1},
    ("--env=MemoryChain", "--model=c51", "--recurrent=gru", "--recurrent_units=7", "--batch_size=64", "--burn_in=3"): {
        "state_size": 7,
        "burn_in": 3,
        "memory": "SequenceReplay",
        "n_step": 1,
        "sequence_length": 16,
    },
    ("--model=r2d2", "--prioritized", "--n_step=5", "--sequence_length=8", "--priority_exponent=0.25"): {
        "state_size": 128,
        "burn_in": 0,
        "memory": "PrioritizedSequenceReplay",
        "n_step": 5,
        "sequence_length": 8,
        "alpha": 0.25,
        "beta": 0.4,
    },
    ("--model=r2d2", "--recurrent=none"): {"state_size": 0, "burn_in": 0, "memory": "UniformReplay", "n_step": 1},
    ("--config=cartpole_pqn", "--recurrent=lstm"): {"state_size": 128, "burn_in": 0, "memory": "RolloutMemory", "n_step": 1},
}
REFUSED = {
    ("--sequence_length=4",): "--sequence_length: no effect without --recurrent",
    ("--burn_in=4", "--model=r2d2", "--recurrent=none"): "--burn_in: no effect without --recurrent",
    ("--config=cartpole_pqn", "--recurrent=lstm", "--sequence_length=4"): "--sequence_length: no effect with --model=pqn",
    ("--model=dqn", "--rescaling_slope=0.1"): "--rescaling_slope=0.1 has no effect with --model=dqn",
    ("--recurrent=gru", "--batch_size=40"): "batch_size=40 must be a multiple of sequence_length=16",
}


@pytest.fixture(scope="module")
def found():
    return look([*MADE, *REFUSED])


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("flags", MADE)
def test_flags_make_the_torso_and_the_memory_they_name(found, flags):
    assert {name: found[flags][name] for name in MADE[flags]} == MADE[flags]


@pytest.mark.parametrize("flags", REFUSED)
def test_a_flag_without_effect_is_refused(found, flags):
    assert REFUSED[flags] in found[flags]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("preset", ["memory_chain_drqn", "memory_chain_r2d2"])
def test_the_presets_remember(tmp_path, preset, seed):
    program = [sys.executable, "-m", "polyrl", f"--model_dir={tmp_path}", f"--config={preset}"]
    output = ["--mode=train_and_eval", "--progress=false", f"--seed={seed}", "--eval_episodes=50"]
    done = subprocess.run([*program, *output], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "min_reward" in line]
    assert float(line.split("│")[2]) == 1.0
