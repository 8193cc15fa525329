"""What does not exist is told as a misspelling, also where a trained run has something else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from flag_cases import PARSE

ROOT = Path(__file__).resolve().parents[2]

# In a process of its own: the flags of this program are also those of other scripts that tests import.
LOOK = """
import json, pathlib, sys
from polyrl.experiments import cli, family
from polyrl.flags import command, config

run = pathlib.Path(sys.argv[1])
for arguments in [["--env=Acrobot-v1"], *json.loads(sys.argv[2])]:
    parse(f"--model_dir={run}", *arguments)
    try:
        experiment = family.experiment_fn(str(run), command.settle())
        found = "taken"
    except (ValueError, TypeError) as error:
        found = str(error)
    print(json.dumps(found))
    if not run.exists():  # The run, as far as these checks see it.
        (run / "checkpoints" / "ckpt-000000100").mkdir(parents=True)
        (run / "config.json").write_text(json.dumps(config.written()))
        (run / "params.json").write_text(json.dumps({"params": experiment.agent.params.to_dict()}))
"""
TOLD = {
    ("--env=Acrobat-v1",): "Did you mean 'Acrobot-v1'?",
    ("--env=polyrl.envs:GymEnvironmnt",): "Did you mean 'GymEnvironment'?",
    ("--env=Acrobat-v1", "--mode=eval"): "Did you mean 'Acrobot-v1'?",
    ("--wrappers=gymnasium.wrappers:FlattenObservatio",): "Did you mean 'FlattenObservation'?",
    ("--set=optimzer.beta_1=0.5",): "Did you mean 'optimizer'?",
    ("--set=optimizer.beta1=0.5",): "Did you mean 'beta_1'?",
    ("--set=exploration=boltzman",): "did you mean 'boltzmann'?",
    ("--set=lerning_rate=0.5",): "Did you mean 'learning_rate'?",
    ("--set=loss.delta=-2", "--mode=eval"): "delta=-2.0 must",
    ("--env=Acrobat-v1", "--batch_size=99"): "Did you mean 'Acrobot-v1'?",
    # What exists, and is another than the run's, is told as that.
    ("--env=CartPole-v1",): "trained with other hyper-parameters:\n  env: Acrobot-v1 there, CartPole-v1 now",
    ("--env=Pendulum-v1",): "trained with other hyper-parameters:\n  env: Acrobot-v1 there, Pendulum-v1 now",
    ("--env=polyrl/TinySchedule",): "unknown to gymnasium",
    ("--env=CartPole-v1", "--batch_size=99"): "or use --overwrite, which moves it.",
    ("--batch_size=99", "--mode=eval"): "128 there, 99 now\nLeave these flags out, or name another --model_dir.",
    (
        "--env_kwargs=max_episode_steps=9",
        "--batch_size=99",
        "--mode=eval",
    ): "name another --model_dir. In Python, `Agent.evaluate` takes any env",
    ("--set=optimizer.beta_1=0.5",): "trained with other hyper-parameters:\n  set:",
    ("--env=Acrobot-v1",): "taken",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    command = [sys.executable, "-c", PARSE + LOOK, str(tmp_path_factory.mktemp("runs") / "run"), json.dumps([*TOLD])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    made, *lines = map(json.loads, done.stdout.splitlines())
    assert made == "taken"
    return dict(zip(TOLD, lines, strict=True))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("flags", TOLD, ids=" ".join)
def test_a_name_that_does_not_exist_is_told_before_a_difference_to_the_run(told, flags):
    """It was told as another hyper-parameter of the run, as if it existed."""
    assert TOLD[flags] in told[flags]
    is_other = "other hyper-parameters" in TOLD[flags] or ("--batch_size=99" in flags[-2:] and "Did you" not in TOLD[flags])
    assert ("other hyper-parameters" in told[flags]) == is_other
