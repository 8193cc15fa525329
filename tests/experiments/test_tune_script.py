"""scripts/tune.py: what it refuses, how it ends when it is interrupted, and a search with real runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TUNE = Path(__file__).resolve().parents[2] / "scripts" / "tune.py"
REFUSED = {
    ("--search", "n_step=1,3", "--env=Acrobot-v1"): "flags of the runs come last, after --: -- --env=Acrobot-v1",
    ("--search", "n_step=1,3", "--", "--train_timestep=9"): "Did you mean: train_timesteps",
    ("--search", "n_step=1,3.5"): "--n_step=3.5: expected an integer",
    ("--search", "n_step=1,3", "--", "--n_step=5"): "--n_step=5 has no effect after --: it is searched. Leave it out.",
    ("--search", "n_step=1,3", "--", "--model_dir=runs/a"): "has no effect after --: each trial has its own.",
    ("--search", "n_step=1,3", "--trials=0"): "argument --trials: 0 must be an integer of at least 1",
    ("--search", "lr=1e-4..1e-2"): "'lr' is no flag that a run has, and no part of a model. Use --learning_rate.",
    ("--search", "n_step=1,3", "--", "--env=Acrobat-v1"): "'Acrobat-v1' is unknown to gymnasium",
    ("--search", "n_step=1,3", "--", "--env=nowhere:make"): "the module 'nowhere' cannot be imported",
    ("--search", "torso=mlp,nowhere:graph_fn"): "--torso='nowhere:graph_fn': the module 'nowhere' cannot be imported",
    ("--search", "n_step=1,3", "--", "--torso=nowhere:graph_fn"): "the module 'nowhere' cannot be imported",
    ("--config=cartpol_dqn", "--search", "n_step=1,3"): "--config=cartpol_dqn is neither a preset nor a file",
    ("--search", "n_step=1,3", "--", "Acrobot-v1"): "After -- come flags, as --n_step=3; got Acrobot-v1.",
}
INTERRUPTED = ("--search", "n_step=1,3")
"""A search that is: the last case, as it changes what searches."""

ALL_IN_ONE = """
import contextlib, io, json, runpy, sys

from polyrl.experiments.sweep import Sweep

def interrupted(*_, **__):
    raise KeyboardInterrupt

tune = runpy.run_path(sys.argv[1])
for arguments in json.loads(sys.argv[2]):
    if arguments[0] == "interrupted":
        Sweep.run = interrupted
    sys.argv = ["tune.py", *arguments[1:]]
    tune["FLAGS"].unparse_flags()
    for name in tune["FLAGS"]:
        tune["FLAGS"][name].unparse()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            tune["main"]()
        ended = "It did not end."
    except SystemExit as end:
        ended = said.getvalue() + str(end)
    print(json.dumps(ended))
"""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """What the script says to each, and whether it has made the directory; one process, as each imports TensorFlow."""
    directory = tmp_path_factory.mktemp("tune")
    kinds = {**dict.fromkeys(REFUSED, "refused"), INTERRUPTED: "interrupted"}
    cases = [[kind, f"--directory={directory / kind}", *arguments] for arguments, kind in kinds.items()]
    command = [sys.executable, "-c", ALL_IN_ONE, str(TUNE), json.dumps(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in directory.iterdir()] == ["interrupted"]
    return dict(zip(kinds, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_flags_of_the_runs_are_read_and_checked_before_anything_is_begun(refusals, arguments):
    assert REFUSED[arguments] in refusals[arguments]


def test_an_interrupted_search_says_how_it_goes_on(refusals):
    assert refusals[INTERRUPTED] == "Interrupted. The same command continues the search.\n130"


@pytest.mark.slow
def test_without_a_config_the_flags_reach_the_runs(tmp_path):
    """They were left out, and the runs were those of the defaults."""
    flags = ("--env=Catch", "--model=dqn", "--train_timesteps=600", "--first_update=128", "--eval_episodes=3", "--jit=off")
    arguments = ("--trials=1", f"--directory={tmp_path}", "--search", "n_step=1,3", "--", *flags)
    done = subprocess.run([sys.executable, str(TUNE), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "trial-0000" / "run" / "config.json").read_text())
    assert (config["env"], config["train_timesteps"]) == ("Catch", 600)


@pytest.mark.slow
def test_the_script_searches_with_real_runs(tmp_path):
    arguments = ("--config=cartpole_dqn", "--trials=2", "--jobs=2", f"--directory={tmp_path}", "--search", "n_step=1,3", "--")
    tiny = ("--train_timesteps=600", "--first_update=128", "--eval_frequency=200", "--eval_episodes=3", "--jit=off")
    done = subprocess.run([sys.executable, str(TUNE), *arguments, *tiny], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results.csv").read_text().count("complete") == 2
    assert "trial 1: complete" in done.stdout
    wrong = subprocess.run([sys.executable, str(TUNE), "--search", "n_stp=1,3"], capture_output=True, text=True)
    assert wrong.returncode == 1
    assert wrong.stderr.splitlines()[-1].endswith("Did you mean 'n_step'?")
