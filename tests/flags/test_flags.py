"""The definitions of the flags."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from polyrl.experiments import cli
from polyrl.flags import SHARED

ROOT = Path(__file__).resolve().parents[2]
C51 = ROOT / "experiments" / "cartpole_c51.py"

NOT_LEARNED = {
    # How the run is done, and for how long.
    *(
        "mode",
        "model_dir",
        "progress",
        "jit",
        "strategy",
        "env_backend",
        "env_timeout",
        "env_restarts",
        "overlap",
        "check_env",
        "debug",
        "threads",
    ),
    *("exact_resume", "overwrite", "seeds", "jobs"),
    *("warm_start_from", "warm_start_vars"),  # A run that is resumed says that it goes on with its own weights.
    *("train_timesteps", "train_steps", "train_episodes"),
    # What is done with a trained model.
    *("eval_episodes", "eval_frequency", "eval_episodes_while_training", "stop_at_reward"),
    *("runs", "checkpoint", "infer_episodes", "output", "temperature", "export_format", "model_name", "host", "port"),
    *("record_episodes", "record_format", "record_frequency"),
    # What is written.
    *("save_summary_timesteps", "save_checkpoints_timesteps", "save_checkpoints_secs", "max_overhead", "keep_checkpoint_max"),
    "save_replay",
    "profile_steps",
}
"""The flags that `params.json` does not keep: another value of them continues the same run."""


@pytest.fixture(scope="module")
def flags():
    """The shared flags and those of the C51 script, which are defined by its import."""
    spec = importlib.util.spec_from_file_location("cartpole_c51_of_the_test", C51)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    by_module = cli.FLAGS.flags_by_module_dict()
    return [flag for module in (*(module.__name__ for module in SHARED), spec.name) for flag in by_module[module]]


def test_every_flag_has_a_help_text_that_says_something(flags):
    assert {"mode", "model_dir", "temperature", "num_atoms", "double"} <= {flag.name for flag in flags}
    for flag in flags:
        assert len(flag.help.split()) >= 2 or flag.help.endswith("."), flag.name
        assert flag.help.rstrip().endswith((".", ">")), flag.name


def test_every_flag_is_a_hyper_parameter_or_known_not_to_be_one():
    by_module = cli.FLAGS.flags_by_module_dict()
    names = {flag.name for module in SHARED for flag in by_module[module.__name__]}
    assert set(cli.HYPER_PARAMETERS) == names - NOT_LEARNED
    assert names >= NOT_LEARNED
    assert len(set(cli.HYPER_PARAMETERS)) == len(cli.HYPER_PARAMETERS)


def test_help_shows_every_flag(flags):
    done = subprocess.run([sys.executable, str(C51), "--help"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0
    for flag in flags:
        assert f"--{flag.name}" in done.stdout or f"--[no]{flag.name}" in done.stdout
    # TensorFlow's own headed it, as four groups of this program.
    assert done.stdout.count("This program") == 1
    for library in ("op_conversion_fallback_to_while_loop", "tt_check_filter", "hbm_oom_exit"):
        assert library not in done.stdout
