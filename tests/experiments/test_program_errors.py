"""Errors on the command line: what polyrl or the script raises is one message, what a library raises keeps its traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from polyrl.flags import parsing

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
import numpy as np
from polyrl.experiments import cli
from polyrl.validation import check_int

def main(argv):
    {line}

cli.run(main)
"""
CASES = {
    "check_int('x', 'one', 1)": ("TypeError: x='one' must be an integer.", False),
    "raise ValueError('of the script')": ("ValueError: of the script", False),
    "open('/nowhere/at/all')": ("No such file", False),
    "raise KeyError('of the script')": ("KeyError: of the script", False),
    "{}['a']": ("KeyError: 'a'", True),
    "len(3)": ("TypeError: object of type 'int' has no len()", True),
    "np.zeros(3).reshape(2)": ("ValueError: cannot reshape", True),
    "import tensorflow as tf; tf.zeros([2]) + tf.zeros([3], tf.int32)": ("InvalidArgumentError", True),
}


@pytest.mark.slow
@pytest.mark.parametrize("line", CASES)
def test_which_errors_keep_their_traceback(tmp_path, line):
    words, keeps = CASES[line]
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("{line}", line))
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert words in result.stderr
    assert ("Traceback" in result.stderr) is keeps
    assert ("--debug" in result.stderr) is not keeps


TOLD = {
    "--double": "Unknown command line flag 'double'. It is a flag of the command polyrl; this program decides that itself.",
    "--train_timestep=3": "Unknown command line flag 'train_timestep'. Did you mean: train_timesteps ?",
    "--batch_size=many": "flag --batch_size=many: expected an integer.",
    "--lr=3": "Unknown command line flag 'lr'. Use --learning_rate.",
    "--buffer-size=3": "Unknown command line flag 'buffer-size'. Use --memory_size.",
    "--mode=evl": "Did you mean 'eval'?",
}


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("argument", TOLD)
def test_flags_that_cannot_be_read_are_told_in_one_line(argument):
    """They were called FATAL, and followed by names of help flags that show the same text.

    Each in a process of its own: what is told of an unknown flag imports those of the command.
    """
    code = "import sys; from polyrl.flags import parsing; parsing.parse(sys.argv)"
    done = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True, timeout=100, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.endswith(f"{TOLD[argument]} --help shows all flags.\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["CartPole-v1"], " An environment is --env=CartPole-v1."),
        (["train", "optimizer.rho=3"], " A setting is --set=optimizer.rho=3, and the flag is repeated for each."),
        (["batch_size=3"], " A setting is --batch_size=3."),
        (["train"], ""),
    ],
)
def test_what_an_argument_without_dashes_was_meant_to_be(arguments, meant):
    assert parsing.meant(arguments) == meant


def test_directories_without_a_flag_are_runs_to_compare(monkeypatch):
    monkeypatch.setattr(parsing.FLAGS["mode"], "value", "compare")
    assert parsing.meant(["runs/a-v1", "runs/b"]) == " Directories of runs are --runs=runs/a-v1,runs/b."


def test_ctrl_c_while_tensorflow_is_imported_ends_it_in_a_word(tmp_path):
    """It was a traceback out of whatever was just being imported."""
    (tmp_path / "tensorflow.py").write_text("raise KeyboardInterrupt")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "polyrl", "--mode=list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env={**os.environ, "PYTHONPATH": paths})
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize("argument", ["--train_timestep=3", "CartPole-v1"])
def test_what_is_wrong_with_a_flag_is_told_before_tensorflow_is_imported(tmp_path, argument):
    (tmp_path / "tensorflow.py").write_text("print('TensorFlow is imported')")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "polyrl", argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env={**os.environ, "PYTHONPATH": paths})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--double", pytest.param("--learning_rate_final=0.1", marks=pytest.mark.slow)])
def test_a_flag_of_the_command_is_told_as_that_by_a_program_without_it(flag):
    """It was told to use the flag that it had given."""
    command = [sys.executable, str(ROOT / "experiments" / "cartpole_dqn.py"), flag]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert "It is a flag of the command polyrl; this program decides that itself." in done.stderr


NETWORK = """
from tf_keras import layers

def graph_fn(mode, inputs):
    state = inputs["state"]
    return layers.Concatenate()([state, layers.Reshape((2, 2))(state)])
"""
PROGRAM = """
from network import graph_fn
from polyrl.estimators import Agent
from polyrl.experiments import RLExperiment, cli, run_experiment
from polyrl.models import DQNModel
from polyrl.replay import UniformReplay

def model_fn(features, labels, mode):
    return DQNModel(mode, graph_fn, 4, 2)(features, labels)

def experiment_fn(output_dir):
    return RLExperiment(Agent(model_fn, UniformReplay(100, 10), output_dir), "CartPole-v1", train_timesteps=100)

def main(argv):
    return run_experiment(experiment_fn, "run", "train")

if __name__ == "__main__":
    cli.run(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "functions"),
    [
        (["-m", "polyrl", "--env=CartPole-v1", "--torso=network:graph_fn"], ["graph_fn"]),
        pytest.param(["program.py"], ["main", "model_fn", "graph_fn"], marks=pytest.mark.slow),
    ],
)
def test_an_error_in_a_network_is_shown_with_the_users_lines_alone(tmp_path, command, functions):
    (tmp_path / "network.py").write_text(NETWORK)
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *command, "--mode=train", "--noprogress"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path, env=environment, check=False)
    shown = [line.rpartition(" in ")[2] for line in done.stderr.splitlines() if line.startswith("  File ")]
    assert [name for name in functions if name in shown] == shown
    assert shown[-1] == "graph_fn"
    assert "ValueError: graph_fn, called with {'state': 'float32 (None, 4)'}, raised ValueError: A `Conc" in done.stderr
    assert done.stderr.endswith("(--debug shows the traceback.)\n")
    assert done.returncode == 1
