"""Recurrent models by flags: their torso, their memory, and what has no effect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# In a process of its own: the flags of this program are also those of other scripts that tests import.
LOOK = """
import json, sys, tempfile
from ml_collections import ConfigDict
from polyrl.experiments import cli, family, memories
from polyrl.models import Scope
defaults = {name: cli.FLAGS[name].default for name in cli.FLAGS}
for flags in json.loads(sys.argv[1]):
    cli.FLAGS.unparse_flags()
    for name, value in defaults.items():  # Of the case before.
        cli.FLAGS[name].unparse()
        cli.FLAGS.set_default(name, value)
    cli.FLAGS(["train", *flags, "--mode=train"])
    try:
        agent = family.experiment_fn(tempfile.mkdtemp()).agent
    except ValueError as error:
        print(json.dumps(str(error)))
        continue
    params = ConfigDict(agent.params)
    with Scope().active():
        model_class, _ = family.MODELS[params.model]
        model = model_class("train", family.torso(params, (4,)), 4, 2, **family.model_arguments(params))
        model({"state": [[0.0] * 4]})
    memory = agent.memory.described
    names = ("n_step", "sequence_length", "alpha", "beta")
    print(json.dumps({
        "state_size": model._networks.online.state_size,
        "burn_in": model.burn_in,
        "memory": type(agent.memory).__name__,
        **{name: memory[name] for name in names if name in memory},
    }))
"""
MADE = {
    ("--model=dqn",): {"state_size": 0, "burn_in": 0, "memory": "UniformReplay", "n_step": 1},
    ("--model=c51", "--recurrent=gru", "--recurrent_units=7", "--batch_size=64", "--burn_in=3"): {
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
    ("--preset=cartpole_pqn", "--recurrent=lstm"): {"state_size": 128, "burn_in": 0, "memory": "RolloutMemory", "n_step": 1},
}
REFUSED = {
    ("--sequence_length=4",): "--sequence_length: no effect without --recurrent",
    ("--burn_in=4", "--model=r2d2", "--recurrent=none"): "--burn_in: no effect without --recurrent",
    ("--preset=cartpole_pqn", "--recurrent=lstm", "--sequence_length=4"): "--sequence_length: no effect with --model=pqn",
    ("--model=dqn", "--rescaling_slope=0.1"): "--rescaling_slope=0.1 has no effect with --model=dqn",
    ("--recurrent=gru", "--batch_size=40"): "batch_size=40 must be a multiple of sequence_length=16",
}


@pytest.fixture(scope="module")
def found():
    cases = [list(flags) for flags in (*MADE, *REFUSED)]
    command = [sys.executable, "-c", LOOK, json.dumps(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip((*MADE, *REFUSED), lines, strict=True))


@pytest.mark.parametrize("flags", MADE)
def test_flags_make_the_torso_and_the_memory_they_name(found, flags):
    assert found[flags] == MADE[flags]


@pytest.mark.parametrize("flags", REFUSED)
def test_a_flag_without_effect_is_refused(found, flags):
    assert REFUSED[flags] in found[flags]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("preset", ["memory_chain_drqn", "memory_chain_r2d2"])
def test_the_presets_remember(tmp_path, preset, seed):
    program = [sys.executable, str(ROOT / "experiments" / "train.py"), f"--model_dir={tmp_path}", f"--preset={preset}"]
    output = ["--mode=train_and_eval", "--progress=false", f"--seed={seed}", "--eval_episodes=50"]
    done = subprocess.run([*program, *output], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "min_reward" in line]
    assert float(line.split("│")[2]) == 1.0
