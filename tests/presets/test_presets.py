"""Presets: each is settings of flags that exist, and a command line may replace any of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from flags_testing import ablation_parts, look

from polyrl import presets

ROOT = Path(__file__).resolve().parents[2]
# In a process of its own: the flags of this program are also those of other scripts that tests import.
CHECK = """
import json, sys
from polyrl import presets
from polyrl.experiments import cli
from polyrl.flags import check_given, command
found = {}
for name in presets.NAMES:
    cli.FLAGS.unparse_flags()
    cli.FLAGS(["train", f"--config={name}", "--learning_rate=0.125", "--mode=train"])
    command.settle()
    values = {key: cli.FLAGS[key].value for key in (*cli.HYPER_PARAMETERS, *command.PARAMETERS)}
    for key, value in presets.get(name).items():
        if key != "learning_rate":
            shown = list(map(str, value)) if isinstance(value, tuple) else value
            assert cli.FLAGS[key].value == shown, (name, key)
    assert values["learning_rate"] == 0.125
    for key in presets.get(name):
        cli.FLAGS[key].using_default_value = False
    check_given(values)  # No value without effect.
    found[name] = values["model"]
    for key in presets.get(name):
        cli.FLAGS[key].unparse()
print(json.dumps(found))
"""


def test_each_preset_is_settings_of_flags_that_exist_and_have_an_effect():
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.splitlines()[-1])) == set(presets.NAMES)


PARTS = ("double", "dueling", "noise", "n-step", "priorities", "distribution")
MADE = {
    ("--model=rainbow", "--warmup_timesteps=7"): (True, True),
    ("--model=rainbow", "--nodouble", "--nonoisy", "--warmup_timesteps=7"): (False, False),
    ("--model=c51", "--noisy", "--double", "--warmup_timesteps=7"): (True, True),
    ("--model=dqn", "--warmup_timesteps=7"): (False, False),
}
"""By flags, whether there is noise, and whether double."""
REFUSED = {
    ("--model=pqn", "--prioritized"): "--prioritized has no effect with --model=pqn: it needs another --model.",
    ("--model=pqn", "--n_step=3"): "--n_step=3 has no effect with --model=pqn",
    ("--model=pqn", "--target_update_tau=0.1"): "--target_update_tau=0.1 has no effect with --model=pqn",
    ("--env=Pendulum-v1", "--model=naf", "--noisy"): "--noisy has no effect with --model=naf",
    ("--env=Pendulum-v1", "--model=naf", "--dueling=max"): "--dueling=max has no effect with --model=naf",
    ("--env=Pendulum-v1", "--model=naf", "--reward_scale=0.1"): "--reward_scale=0.1 has no effect with --model=naf",
    ("--config=cartpole_dqn", "--trace_decay=0.5"): "--trace_decay=0.5 has no effect with --model=dqn",
    ("--env=Acrobot-v1", "--model=pqn", "--update_frequency=1"): "--update_frequency=1 is the size of a rollout",
    ("--model=rainbow", "--initializer=torch"): "--initializer: no effect on a noisy model",
    ("--noisy", "--exploration_final=0.1"): "--exploration_final: no effect on a noisy model",
    ("--exploration_start=0.5", "--exploration_final=0.9"): "--exploration_final=0.9 is above --exploration_start=0.5",
    ("--model=naf",): "--model=naf does not fit the environment, whose actions are discrete",
}
NAF = ("--env=Pendulum-v1", "--model=naf", "--exploration_final=0.25", "--exploration_timesteps=1")
VARIANTS = {
    (f"--config={preset}", *flags): part
    for preset in presets.NAMES
    if preset.endswith("rainbow")
    for part, flags in ablation_parts().items()
}


@pytest.fixture(scope="module")
def found():
    return look([*MADE, *REFUSED, NAF, *VARIANTS])


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("flags", MADE)
def test_flags_make_the_model_they_name(found, flags):
    """Rainbow has its parts without flags; noise is in heads and torso, and explores alone."""
    noise, double = MADE[flags]
    exploration = "GreedyExplorationConfig" if noise else "DecayExplorationConfig"
    sigmas = 2 * 4 if noise else 0  # Two layers of the torso, value and advantage: kernel and bias.
    expected = {"noisy": noise, "double": double, "exploration": exploration, "warmup": 7, "sigmas": sigmas}
    assert {name: found[flags][name] for name in expected} == expected


@pytest.mark.parametrize("flags", REFUSED)
def test_a_flag_that_the_model_does_not_read_is_refused(found, flags):
    assert REFUSED[flags] in found[flags]


@pytest.mark.parametrize("flags", VARIANTS)
def test_each_variant_of_the_ablation_lacks_the_part_it_names_and_no_other(found, flags):
    made, part = found[flags], VARIANTS[flags]
    has = {"noise": made["noisy"], "n-step": made["n_step"] > 1, "priorities": made["prioritized"]}
    has |= {name: made[name] for name in ("double", "dueling", "distribution")}
    assert [name for name in PARTS if not has[name]] == ([] if part == "all parts" else [part.removeprefix("without ")])


def test_naf_has_the_bounds_of_the_environment_and_the_noise_of_the_flags(found):
    expected = {"action_low": [-2.0], "action_high": [2.0], "rate": 0.25, "loss": "MeanSquaredErrorConfig"}
    assert {name: found[NAF][name] for name in expected} == expected


def test_a_preset_is_a_copy():
    first = presets.get("cartpole_c51")
    first.n_step = 7
    assert presets.get("cartpole_c51").n_step != 7


def test_a_name_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"'cartpole_c15' is not a preset.*cartpole_c51"):
        presets.get("cartpole_c15")


@pytest.mark.slow
def test_the_program_trains_by_a_preset(tmp_path):
    program = [sys.executable, "-m", "polyrl", f"--model_dir={tmp_path}", "--progress=false"]

    def run(*flags):
        return subprocess.run([*program, *flags], capture_output=True, text=True, timeout=300, cwd=ROOT)

    short = ("--train_timesteps=1100", "--eval_episodes=1", "--jit=off", "--units=8,8")
    trained = run("--config=cartpole_c51", "--n_step=2", "--mode=train", *short)
    assert trained.returncode == 0, trained.stderr
    params = json.loads((tmp_path / "params.json").read_text())["params"]
    assert (params["n_step"], params["model"], params["units"], params["max_q_value"]) == (2, "c51", ["8", "8"], 100.0)
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["n_step"], written["train_timesteps"], written["units"]) == (2, 1_100, ["8", "8"])
    assert not {"model_dir", "mode", "config"} & set(written)


@pytest.mark.slow
def test_evaluation_needs_the_directory_only_and_another_value_is_refused(tmp_path):
    program = [sys.executable, "-m", "polyrl", f"--model_dir={tmp_path}", "--progress=false"]

    def run(*flags):
        return subprocess.run([*program, *flags], capture_output=True, text=True, timeout=300, cwd=ROOT)

    short = ("--train_timesteps=1100", "--eval_episodes=1", "--jit=off", "--units=8,8")
    assert run("--config=cartpole_c51", "--n_step=2", "--mode=train", *short).returncode == 0
    evaluated = run("--mode=eval", "--eval_episodes=1")
    assert evaluated.returncode == 0, evaluated.stderr
    refused = run("--config=cartpole_c51", "--n_step=3", "--mode=train", *short)
    assert refused.returncode == 1
    assert "n_step" in refused.stderr
