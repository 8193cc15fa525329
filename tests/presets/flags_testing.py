"""What flags make, found out in one process for many command lines: the flags are also those of scripts that tests import."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from flag_cases import PARSE

ROOT = Path(__file__).resolve().parents[2]
LOOK = """
import json, sys, tempfile
from ml_collections import ConfigDict
from polyrl.experiments import cli, family, worlds
from polyrl.flags import command
from polyrl.models import Scope



def look(flags):
    parse("--mode=train", *flags)
    try:
        command.settle()
        agent = family.experiment_fn(tempfile.mkdtemp()).agent
    except (ValueError, TypeError) as error:
        return str(error)
    params = ConfigDict(agent.params)
    spaces = family.spaces_of(worlds.environments(agent.params)[1], params.model)
    with Scope().active():
        model_class, own = family.class_of(params.model), family.MODELS[params.model].own
        torso = family.torso(params, spaces["num_states"])
        model = model_class("train", torso, **spaces, **family.model_arguments(params))
        model({"state": [[0.0] * spaces["num_states"][0]]})
    online, memory = model._networks.online, agent.memory.described
    names = ("n_step", "sequence_length", "alpha", "beta", "prioritized")
    return {
        **{name: memory[name] for name in names if name in memory},
        "noisy": model.noisy,
        "double": model.double,
        "dueling": model.dueling is not None,
        "distribution": "min_q_value" in own,
        "exploration": type(model.exploration_config).__name__,
        "warmup": model.exploration_config.warmup_timesteps,
        "rate": float(model.exploration_config.rate(5)),
        "loss": type(model.loss_config).__name__,
        "sigmas": sum("sigma" in variable.name for variable in online.variables),
        "state_size": online.state_size,
        "burn_in": model.burn_in,
        "memory": type(agent.memory).__name__,
        **{name: getattr(model, name).tolist() for name in ("action_low", "action_high") if hasattr(model, name)},
    }


for flags in json.loads(sys.argv[1]):
    print(json.dumps(look(flags)))
"""


def look(cases: list[tuple[str, ...]]) -> dict[tuple[str, ...], Any]:
    """By flags: what the model and its memory are like, or the error."""
    command = [sys.executable, "-c", PARSE + LOOK, json.dumps([list(flags) for flags in cases])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return dict(zip(cases, [json.loads(line) for line in done.stdout.splitlines()], strict=True))


def ablation_parts() -> dict[str, list[str]]:
    """The variants of scripts/benchmarks/ablation.py: their names and flags."""
    path = ROOT / "scripts" / "benchmarks" / "ablation.py"
    (assigned,) = [
        node.value
        for node in ast.parse(path.read_text()).body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and ast.unparse(node).startswith("PARTS")
    ]
    assert assigned is not None
    return ast.literal_eval(assigned)
