"""Presets: each is settings of flags that exist, and a command line may replace any of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from polyrl import presets

ROOT = Path(__file__).resolve().parents[2]
# In a process of its own: the flags of this program are also those of other scripts that tests import.
CHECK = """
import json, sys
from polyrl import presets
from polyrl.experiments import cli, family
from polyrl.experiments.cli import partners
found = {}
for name in presets.NAMES:
    cli.FLAGS.unparse_flags()
    cli.FLAGS(["train", f"--preset={name}", "--learning_rate=0.125", "--mode=train"])
    family.use_preset()
    values = {key: cli.FLAGS[key].value for key in (*cli.HYPER_PARAMETERS, *family.PARAMETERS)}
    for key, value in presets.get(name).items():
        if key != "learning_rate":
            shown = list(map(str, value)) if isinstance(value, tuple) else value
            assert cli.FLAGS[key].value == shown, (name, key)
    assert values["learning_rate"] == 0.125
    for key in presets.get(name):
        cli.FLAGS[key].using_default_value = False
    partners.check_given(values)  # No value without effect.
    found[name] = values["model"]
    for key in presets.get(name):
        cli.FLAGS[key].unparse()
print(json.dumps(found))
"""

MODEL = """
import json, sys
from ml_collections import ConfigDict
from polyrl.experiments import cli, family
from polyrl.models import Scope
cli.FLAGS(["train", *sys.argv[2:], "--mode=train"])
params = ConfigDict(family.experiment_fn(sys.argv[1]).agent.params)
with Scope().active():
    model_class, _ = family.MODELS[params.model]
    torso = family.torso(params, (4,))
    model = model_class("train", torso, 4, 2, **family.model_arguments(params))
    model({"state": [[0.0] * 4]})
online = model._networks.online
print(json.dumps({
    "noisy": model.noisy,
    "double": model.double,
    "exploration": type(model.exploration_config).__name__,
    "warmup": model.exploration_config.warmup_timesteps,
    "sigmas": sum("sigma" in variable.name for variable in online.variables),
}))
"""
"""The model that flags make."""


def test_each_preset_is_settings_of_flags_that_exist_and_have_an_effect():
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.splitlines()[-1])) == set(presets.NAMES)


@pytest.mark.parametrize(
    ("flags", "noise", "double"),
    [
        (("--model=rainbow", "--warmup_timesteps=7"), True, True),
        (("--model=rainbow", "--nodouble", "--nonoisy", "--warmup_timesteps=7"), False, False),
        (("--model=c51", "--noisy", "--double", "--warmup_timesteps=7"), True, True),
        (("--model=dqn", "--warmup_timesteps=7"), False, False),
    ],
)
def test_flags_make_the_model_they_name(tmp_path, flags, noise, double):
    """Rainbow has its parts without flags; noise is in heads and torso, and explores alone."""
    command = [sys.executable, "-c", MODEL, str(tmp_path), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    exploration = "GreedyExplorationConfig" if noise else "DecayExplorationConfig"
    sigmas = 2 * 4 if noise else 0  # Two layers of the torso, value and advantage: kernel and bias.
    expected = {"noisy": noise, "double": double, "exploration": exploration, "warmup": 7, "sigmas": sigmas}
    assert json.loads(done.stdout.splitlines()[-1]) == expected


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--model=pqn", "--prioritized"), "--prioritized has no effect with --model=pqn"),
        (("--model=pqn", "--n_step=3"), "--n_step=3 has no effect with --model=pqn"),
        (("--model=pqn", "--target_update_tau=0.1"), "--target_update_tau=0.1 has no effect with --model=pqn"),
        (("--model=naf", "--noisy"), "--noisy has no effect with --model=naf"),
        (("--model=naf", "--dueling=max"), "--dueling=max has no effect with --model=naf"),
        (("--model=naf", "--reward_scale=0.1"), "--reward_scale=0.1 has no effect with --model=naf"),
        (("--model=pqn",), "--update_frequency=1 is the size of a rollout"),
        (("--model=rainbow", "--initializer=torch"), "--initializer: no effect on a noisy model"),
        (("--noisy", "--exploration_final=0.1"), "--exploration_final: no effect on a noisy model"),
    ],
)
def test_a_flag_that_the_model_does_not_read_is_refused(tmp_path, flags, message):
    command = [sys.executable, "-c", MODEL, str(tmp_path), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 1
    assert message in done.stderr


ABLATION = """
import json, sys, tempfile
sys.path.insert(0, "scripts/benchmarks")
import ablation
from ml_collections import ConfigDict
from polyrl.experiments import cli, family
from polyrl.models import Scope
found = {}
for part, flags in ablation.PARTS.items():
    for name in cli.FLAGS:
        cli.FLAGS[name].unparse()
    cli.FLAGS(["train", f"--preset={sys.argv[1]}", "--mode=train", *flags])
    agent = family.experiment_fn(tempfile.mkdtemp()).agent
    params = ConfigDict(agent.params)
    with Scope().active():
        model_class, _ = family.MODELS[params.model]
        model = model_class("train", family.torso(params, (4,)), 4, 2, **family.model_arguments(params))
    parts = {"double": model.double, "dueling": model.dueling is not None, "noise": model.noisy, "n-step": params.n_step > 1}
    parts |= {"priorities": params.prioritized, "distribution": "min_q_value" in family.MODELS[params.model][1]}
    found[part] = [name for name, has in parts.items() if not has]
print(json.dumps(found))
"""
"""The parts that each variant of the ablation lacks."""


@pytest.mark.parametrize("preset", [name for name in presets.NAMES if name.endswith("rainbow")])
def test_each_variant_of_the_ablation_lacks_the_part_it_names_and_no_other(preset):
    done = subprocess.run([sys.executable, "-c", ABLATION, preset], capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    parts = ("double", "dueling", "noise", "n-step", "priorities", "distribution")
    expected = {"all parts": [], **{f"without {part}": [part] for part in parts}}
    assert json.loads(done.stdout.splitlines()[-1]) == expected


NAF = """
import json, sys
from ml_collections import ConfigDict
from polyrl.experiments import cli, family
from polyrl.models import Scope
exploration = ["--exploration_final=0.25", "--exploration_timesteps=1"]
cli.FLAGS(["train", "--env=Pendulum-v1", "--model=naf", *exploration, "--mode=train"])
agent = family.experiment_fn(sys.argv[1]).agent
params = ConfigDict(agent.params)
with Scope().active():
    spaces = family.spaces_of(params.env, params.model)
    torso = family.torso(params, spaces["num_states"])
    model = family.MODELS[params.model][0]("train", torso, **spaces, **family.model_arguments(params))
    model({"state": [[0.0] * 3]})
print(json.dumps({
    "low": model.action_low.tolist(),
    "high": model.action_high.tolist(),
    "noise": float(model.exploration_config.rate(5)),
    "loss": type(model.loss_config).__name__,
}))
"""
"""NAF by flags: its bounds are those of the environment, its noise that of the exploration flags."""


def test_naf_has_the_bounds_of_the_environment_and_the_noise_of_the_flags(tmp_path):
    done = subprocess.run([sys.executable, "-c", NAF, str(tmp_path)], capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    expected = {"low": [-2.0], "high": [2.0], "noise": 0.25, "loss": "MeanSquaredErrorConfig"}
    assert json.loads(done.stdout.splitlines()[-1]) == expected


def test_naf_of_an_environment_with_discrete_actions_is_refused(tmp_path):
    program = [sys.executable, str(ROOT / "experiments" / "train.py"), f"--model_dir={tmp_path}", "--model=naf"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 1
    assert "Discrete(2) is discrete and has no bounds" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_preset_is_a_copy():
    first = presets.get("cartpole_c51")
    first.n_step = 7
    assert presets.get("cartpole_c51").n_step != 7


def test_a_name_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"'cartpole_c15' is not a preset.*cartpole_c51"):
        presets.get("cartpole_c15")


def test_the_program_trains_by_a_preset_and_refuses_what_has_no_effect(tmp_path):
    program = [sys.executable, str(ROOT / "experiments" / "train.py"), f"--model_dir={tmp_path}", "--progress=false"]

    def run(*flags):
        return subprocess.run([*program, *flags], capture_output=True, text=True, timeout=300, cwd=ROOT)

    short = ("--train_timesteps=1100", "--eval_episodes=1", "--jit=off", "--units=8,8")
    trained = run("--preset=cartpole_c51", "--n_step=2", "--mode=train", *short)
    assert trained.returncode == 0, trained.stderr
    params = json.loads((tmp_path / "params.json").read_text())["params"]
    assert (params["n_step"], params["model"], params["units"], params["max_q_value"]) == (2, "c51", ["8", "8"], 100.0)
    useless = run("--preset=cartpole_dqn", "--trace_decay=0.5", "--mode=train", "--overwrite", *short)
    assert useless.returncode == 1
    assert "--trace_decay=0.5 has no effect with --model=dqn" in useless.stderr


@pytest.mark.slow
def test_evaluation_needs_the_directory_only_and_another_value_is_refused(tmp_path):
    program = [sys.executable, str(ROOT / "experiments" / "train.py"), f"--model_dir={tmp_path}", "--progress=false"]

    def run(*flags):
        return subprocess.run([*program, *flags], capture_output=True, text=True, timeout=300, cwd=ROOT)

    short = ("--train_timesteps=1100", "--eval_episodes=1", "--jit=off", "--units=8,8")
    assert run("--preset=cartpole_c51", "--n_step=2", "--mode=train", *short).returncode == 0
    evaluated = run("--mode=eval", "--eval_episodes=1")
    assert evaluated.returncode == 0, evaluated.stderr
    refused = run("--preset=cartpole_c51", "--n_step=3", "--mode=train", *short)
    assert refused.returncode == 1
    assert "n_step" in refused.stderr
