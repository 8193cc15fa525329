"""`--warm_start_from` and `--warm_start_vars`: a new run of a program begins with another one's weights."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl.testing import flagsaver
from tiny_envs import ScheduleEnv

from polyrl.errors import CheckpointMismatchError, NotTrainedError
from polyrl.estimators import Agent, EstimatorSpec
from polyrl.estimators.checkpoints.variables import CheckpointVariables
from polyrl.experiments import cli
from polyrl.models import DQNModel
from polyrl.networks import mlp

SHORT = ("--mode=train", "--jit=off", "--noprogress", "--batch_size=4", "--memory_size=50", "--nocheck_env")


def train(model_dir: Path, *arguments: str, units: int = 5, timesteps: int = 3) -> dict[str, np.ndarray]:
    """The weights at the end of what a program does with these flags; without `--first_update` it learns nothing."""

    def model_fn(features, labels, mode) -> EstimatorSpec:
        return DQNModel(mode, mlp([units]), num_states=4, num_actions=3, name="DQN")(features, labels)

    if not cli.FLAGS.is_parsed():
        cli.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        cli.FLAGS(["program", *SHORT, f"--train_timesteps={timesteps}", *arguments])
        params = cli.read_hyper_parameters(model_dir)
        agent = Agent(model_fn, cli.memory(params), model_dir, cli.run_config(params), params)
        cli.rl_experiment(agent, ScheduleEnv(lengths=(3,))).train()
    return weights(agent.checkpoints.latest())


def weights(checkpoint: Path | None) -> dict[str, np.ndarray]:
    assert checkpoint is not None
    found = CheckpointVariables(checkpoint)
    return {name: found.value(name) for name in found.shapes if "/" in name}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run that has learned, and its weights."""
    directory = tmp_path_factory.mktemp("runs") / "first"
    return directory, train(directory, "--first_update=4", timesteps=20)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("kind", ["model_dir", "checkpoint"])
def test_a_new_run_begins_with_the_weights(source, tmp_path, kind):
    directory, learned = source
    path = directory if kind == "model_dir" else directory / "checkpoints" / "ckpt-000000020"
    begun = train(tmp_path / "new", f"--warm_start_from={path}", "--seed=2")
    online = {name: value for name, value in learned.items() if "/online/" in name}
    assert len(online) == 6
    for name, value in online.items():
        np.testing.assert_array_equal(begun[name], value)
        np.testing.assert_array_equal(begun[name.replace("/online/", "/target/")], value)


@pytest.mark.slow
def test_patterns_say_which_weights(source, tmp_path):
    directory, learned = source
    plain = train(tmp_path / "plain", "--seed=2")
    begun = train(
        tmp_path / "new", f"--warm_start_from={directory}", "--seed=2", "--warm_start_vars=DQN/dense/,.*value/kernel"
    )
    for name, value in begun.items():
        taken = re.search("dense/|value/kernel", name) is not None
        np.testing.assert_array_equal(value, (learned if taken else plain)[name.replace("/target/", "/online/")])
    assert np.any(plain["DQN/online/dense/kernel"] != learned["DQN/online/dense/kernel"])


@pytest.mark.slow
def test_a_run_that_is_resumed_says_that_it_goes_on_with_its_own(source, tmp_path, caplog):
    directory, _ = source
    own = train(tmp_path / "run", "--seed=2")
    with caplog.at_level("INFO"):
        # Its source may have been removed meanwhile.
        again = train(tmp_path / "run", f"--warm_start_from={directory}-removed", "--seed=2", timesteps=6)
    assert f"The run in {tmp_path / 'run'} goes on with its own weights; those of {directory}-removed are for" in caplog.text
    for name, value in own.items():
        np.testing.assert_array_equal(again[name], value)


@pytest.mark.slow
def test_with_overwrite_a_run_may_begin_with_its_own_weights(tmp_path):
    learned = train(tmp_path, "--first_update=4", timesteps=20)
    again = train(tmp_path, f"--warm_start_from={tmp_path}", "--overwrite", "--seed=2")
    np.testing.assert_array_equal(again["DQN/online/dense/kernel"], learned["DQN/online/dense/kernel"])
    assert (tmp_path / "replaced-0" / "checkpoints" / "ckpt-000000020").is_dir()


@pytest.mark.slow
def test_what_makes_no_sense_is_refused_and_nothing_is_made(source, tmp_path):
    directory, _ = source
    from_there, new = f"--warm_start_from={directory}", tmp_path / "new"
    (tmp_path / "several" / "seed-4" / "checkpoints").mkdir(parents=True)
    for arguments, error, message in (
        ((from_there, "--mode=eval"), ValueError, "has no effect with --mode=eval: it needs --mode=train or"),
        (("--warm_start_vars=DQN/dense",), ValueError, "has no effect without --warm_start_from"),
        ((f"{from_there}s",), NotTrainedError, f"{from_there}s: there is no such directory. Did you mean '"),
        ((f"--warm_start_from={tmp_path / 'several'}",), NotTrainedError, "Its runs are seed-4: name one of these"),
        ((from_there, "--warm_start_vars=DQN/(dense"), ValueError, "--warm_start_vars=DQN/(dense: vars_to_warm_start: "),
        ((from_there, "--warm_start_vars=DQN/dens/"), ValueError, "matches none of DQN/dense/kernel, DQN/dense/bias"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            train(new, *arguments)
        assert not new.exists()
    with pytest.raises(CheckpointMismatchError, match=r"No layer has the same shapes there") as error:
        train(new, from_there, units=6)
    assert str(error.value).endswith(f"are in {directory}/params.json.")
    assert not new.exists()


@pytest.mark.slow
@pytest.mark.parametrize("program", [["-m", "polyrl"], ["experiments/cartpole_dqn.py"]], ids=["polyrl", "cartpole_dqn"])
def test_the_command_and_the_programs_take_it(tmp_path, program):
    def run(name: str, *arguments: str) -> tuple[str, dict[str, np.ndarray]]:
        short = (
            "--mode=train",
            "--jit=off",
            "--noprogress",
            "--num_envs=1",
            "--batch_size=8",
            f"--model_dir={tmp_path / name}",
        )
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run([sys.executable, *program, *short, *arguments], cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr, weights(max((tmp_path / name / "checkpoints").iterdir()))

    _, learned = run("first", "--train_timesteps=60", "--first_update=20")
    said, begun = run("second", "--train_timesteps=10", "--first_update=20", f"--warm_start_from={tmp_path / 'first'}")
    assert "Warm start from" in said
    for name, value in learned.items():
        if "/online/" in name:
            np.testing.assert_array_equal(begun[name], value)
