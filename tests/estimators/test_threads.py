"""Among how many cores TensorFlow divides an operation: as the user says, one where the command's network is small."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import tensorflow as tf
from flag_cases import PARSE
from tiny_agents import make_agent, q_model_fn

from polyrl.estimators import RunConfig, threads
from polyrl.models.q_network import QNetwork

BEGUN = """
import json, sys
import polyrl
from polyrl import Agent, DQNModel, RunConfig, UniformReplay
from polyrl.estimators import threads
import tensorflow as tf

def agent(count):
    return Agent(lambda features, labels, mode: None, UniformReplay(100, 10), config=RunConfig(threads=count))

before = tf.config.threading.get_intra_op_parallelism_threads()
agent(3)
told = [before, threads.threads_in_use()]
tf.zeros([2]) + 1.0
agent(3), agent(None)  # As it is.
try:
    agent(2)
except ValueError as error:
    told.append(str(error))
print(json.dumps(told))
"""

# In a process of its own, as the command's flags are defined: small networks first, since TensorFlow is not to begin.
COMMAND = """
import json, logging, os, sys
from polyrl.experiments import cli, family
from polyrl.flags import command
from polyrl.estimators import threads

logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
os.environ.pop(threads.VARIABLE, None)
threads.cores = lambda: 8
chosen = []
for number, arguments in enumerate(json.loads(sys.argv[1])):
    parse(f"--model_dir=run-{number}", *arguments)
    chosen.append(family.experiment_fn(f"run-{number}", command.settle()).agent.config.threads)
os.environ[threads.VARIABLE] = "8"
chosen.append(family.experiment_fn("run-last", command.settle()).agent.config.threads)
print(json.dumps(chosen))
"""


def printed(tmp_path, code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path, check=True)
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.slow
def test_the_first_agent_of_a_process_settles_it_and_a_later_one_is_told(tmp_path):
    (before, now, error), _ = printed(tmp_path, BEGUN)
    assert (before, now) == (0, 3)  # 0: TensorFlow decides.
    assert error.startswith("threads=2 comes too late: TensorFlow computes in this process already, with 3.")
    assert "TF_NUM_INTRAOP_THREADS=2" in error


@pytest.mark.slow
def test_the_command_takes_one_core_for_small_networks(tmp_path):
    small = ["--env=CartPole-v1", "--model=dqn"]
    cases = {
        ("--units=64,64", "--batch_size=64"): 1,
        ("--units=64,64", "--batch_size=64", "--env_backend=compiled"): 1,
        ("--units=64,64", "--threads=1"): 1,
        ("--units=512,512", "--batch_size=512"): None,
        ("--model=iqn", "--units=64,64", "--batch_size=256", "--num_samples=64"): None,
        ("--model=iqn", "--units=512", "--batch_size=32", "--num_samples=32"): None,
        ("--model=iqn", "--units=64", "--batch_size=32", "--num_samples=32"): 1,
        ("--recurrent=lstm", "--recurrent_units=512", "--batch_size=512"): None,
        ("--env=MinAtar/Breakout-v1", "--units=128", "--batch_size=32"): 1,
        ("--env=MinAtar/Breakout-v1", "--units=128", "--batch_size=64"): None,
        ("--env=MinAtar/Breakout-v1", "--units=4", "--filters=64,64", "--batch_size=64"): None,
        ("--env=FrozenLake-v1", "--units=64"): 1,
    }
    chosen, told = printed(tmp_path, PARSE + COMMAND, json.dumps([[*small, *case] for case in cases]))
    assert chosen == [*cases.values(), None]
    assert told.count("runs on one core, as the network is too small for more; --threads says otherwise.") == 5


def test_without_a_number_nothing_changes_and_the_environments_variable_counts(monkeypatch):
    tf.zeros([2]) + 1.0  # TensorFlow begins.
    count = threads.threads_in_use()
    threads.use_threads(None)
    threads.use_threads(count)
    with pytest.raises(ValueError, match="comes too late"):
        threads.use_threads(count + 1)
    assert not threads.can_use_threads(count + 1)
    assert threads.can_use_threads(count)
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 0)
    monkeypatch.setenv(threads.VARIABLE, "5")
    assert threads.threads_in_use() == 5
    for nothing in ("0", "", "many"):
        monkeypatch.setenv(threads.VARIABLE, nothing)
        assert threads.threads_in_use() == threads.cores() >= 1


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
def test_what_is_no_number_of_threads_is_refused(wrong):
    with pytest.raises((TypeError, ValueError), match="threads"):
        RunConfig(threads=wrong)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_who_trains_a_small_network_on_several_cores_is_told(tmp_path, monkeypatch, capsys, count):
    monkeypatch.setattr(threads, "threads_in_use", lambda: count)
    agent = make_agent(q_model_fn(num_actions=2), progress=True)
    agent.train("CartPole-v1", timesteps=40)
    assert ("divides each operation among 4 cores, for which this network is too small" in capsys.readouterr().err) is (
        count > 1
    )
    networks = [part for part in agent._scope.parts.values() if isinstance(part, QNetwork)]
    largest = max(threads._multiplications(network) for network in networks)
    fits = threads.SMALL // largest
    assert (threads.advice(networks, fits) is None) is (count == 1)
    assert threads.advice(networks, fits + 1) is None
    assert threads.advice([], 64) is None
