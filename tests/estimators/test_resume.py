"""Going on from a checkpoint: everything is there again, and what does not fit is refused."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tiny_agents import assert_equal, counters, differ, make_agent, q_model_fn, rows, weights
from tiny_envs import BanditEnv, ScheduleEnv, vector

from polyrl.configs import AdagradConfig, AdamConfig, DecayExplorationConfig, SGDConfig
from polyrl.errors import CheckpointMismatchError
from polyrl.estimators.hooks import Hook

ROOT = Path(__file__).resolve().parents[2]
BATCH = 4
LENGTH = 4
EXPLORATION = {"exploration_config": DecayExplorationConfig(decay_steps=40, min_exploration_rate=0.1)}


class Look(Hook):
    """What a run holds at its begin, and its exploration rates and actions, iteration by iteration."""

    def __init__(self, agent):
        self._agent = agent
        self.rates, self.actions = [], []

    def begin(self, run):
        self.weights, self.rows, self.counters = weights(self._agent), rows(self._agent), counters(self._agent)

    def after_act(self, run):
        self.rates.append(run.exploration_rate)
        self.actions.append(run.actions.tolist())


def schedule(first: int = 0, num_envs: int = 2):
    """Environments whose episodes have four steps."""
    return vector(*(ScheduleEnv(number, (LENGTH,), first=first) for number in range(num_envs)))


def state_of(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


# What comes back. -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "jit"), [("dqn", "on"), pytest.param("c51_double", "off", marks=pytest.mark.slow)])
def test_a_run_resumed_between_episodes_is_the_run_that_was_not_interrupted(agent, tmp_path, kind, jit):
    """F11: weights, optimizer, target network, memory, exploration and sampling go on bit for bit."""
    steps = 2 * LENGTH * 4
    model_fn = q_model_fn(kind, target_update_frequency=5, **EXPLORATION)
    straight = agent(model_fn, model_dir=tmp_path / "straight", jit=jit)
    whole = Look(straight)
    straight.train(schedule(), first_update=BATCH, update_frequency=2, timesteps=2 * steps, hooks=[whole])
    first = agent(model_fn, jit=jit)
    one = Look(first)
    first.train(schedule(), first_update=BATCH, update_frequency=2, timesteps=steps, hooks=[one])
    second = agent(model_fn, jit=jit)
    two = Look(second)
    second.train(schedule(first=4), first_update=BATCH, update_frequency=2, timesteps=steps, hooks=[two])
    assert counters(second) == counters(straight)
    assert one.actions + two.actions == whole.actions
    assert one.rates + two.rates == whole.rates
    assert_equal(rows(second), rows(straight))
    assert_equal(weights(second), weights(straight))


def test_everything_is_there_again_before_the_resumed_run_begins(agent):
    model_fn = q_model_fn(target_update_frequency=5)
    first = agent(model_fn, size=10)
    first.train(schedule(), first_update=BATCH, timesteps=18)
    second = agent(model_fn, size=10)
    look = Look(second)
    second.train(schedule(), first_update=BATCH, timesteps=2, hooks=[look])
    assert look.counters == counters(first) == (14, 18, 4)
    assert_equal(look.rows, rows(first))
    assert_equal(look.weights, weights(first))
    slots = [name for name in look.weights if "optimizer" in name]
    numbers = sum(look.weights[name].size for name in slots if look.weights[name].ndim)
    assert numbers == 2 * sum(value.size for name, value in look.weights.items() if "online" in name)  # Adam's two slots.
    assert differ({name: look.weights[name] for name in slots}, {name: np.zeros(1) for name in slots})
    kernels = [look.weights[f"Model/{role}/dense/kernel"] for role in ("online", "target")]
    assert not np.array_equal(*kernels)  # So that one restored in place of the other would be seen.


def test_the_same_agent_goes_on_too(agent):
    trained = agent(q_model_fn())
    trained.train(schedule(), first_update=BATCH, timesteps=8)
    before = weights(trained)
    look = Look(trained)
    trained.train(schedule(), first_update=BATCH, timesteps=8, hooks=[look])
    assert_equal(look.weights, before)
    assert counters(trained) == (12, 16, 4)


def test_a_resumed_run_may_have_another_number_of_environments(agent):
    agent().train(schedule(num_envs=2), first_update=BATCH, timesteps=8)
    result = agent().train(schedule(num_envs=3), first_update=BATCH, timesteps=6)
    assert result.global_timestep == 14


def test_a_resumed_run_plays_other_episodes_than_the_first_one_did(agent):
    seeds = []
    for _ in range(2):
        env = ScheduleEnv()
        agent().train(env, first_update=BATCH, timesteps=3)
        seeds.append(env.seeds[0])
    assert seeds[0] != seeds[1]


def test_a_resumed_run_says_so_and_a_new_one_does_not(agent, caplog):
    caplog.set_level(logging.INFO, "polyrl")
    agent().train(schedule(), first_update=BATCH, timesteps=8)
    assert "Resuming" not in caplog.text
    agent().train(schedule(), first_update=BATCH, timesteps=2)
    (record,) = [record.getMessage() for record in caplog.records if "Resuming" in record.getMessage()]
    for words in ("ckpt-000000008", "environment step 8", "update 4", "episode 2", "8 transitions"):
        assert words in record


# What does not fit. -----------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(agent):
    """Trains a first agent and tells what its directory holds."""

    def train(model_fn=None, **arguments):
        first = agent(model_fn, **arguments)
        first.train(schedule(), first_update=BATCH, timesteps=8)
        return state_of(first.model_dir)

    return train


OPTIMIZERS = {"adam": AdamConfig(), "sgd": SGDConfig(learning_rate=0.1)}


@pytest.fixture(scope="module")
def q_runs(tmp_path_factory):
    """Directories of two trained DQNs with dueling heads, by their optimizer."""
    root = tmp_path_factory.mktemp("q_runs")
    for name, optimizer in OPTIMIZERS.items():
        agent = make_agent(q_model_fn(optimizer_config=optimizer), model_dir=root / name)
        agent.train(schedule(), first_update=BATCH, timesteps=8)
    return root


@pytest.fixture
def copied(q_runs, tmp_path):
    """Begins with a copy of one of them; tells what it holds."""

    def copy(optimizer="adam"):
        shutil.copytree(q_runs / optimizer, tmp_path / "run")
        return state_of(tmp_path / "run")

    return copy


def refused(agent, tmp_path, before, model_fn=None, **arguments) -> str:
    """The message of the refusal, which leaves the directory and the environment as they were."""
    env = schedule()
    with pytest.raises(CheckpointMismatchError) as error:
        agent(model_fn, **arguments).train(env, first_update=BATCH, timesteps=2)
    assert state_of(tmp_path / "run") == before
    assert all(single.steps == 0 for single in env.envs)
    return str(error.value)


def test_another_seed_is_refused(agent, trained, tmp_path):
    before = trained(seed=3)
    message = refused(agent, tmp_path, before, seed=4)
    assert "seed=3" in message
    assert "seed=4" in message


def test_other_params_are_refused_with_each_difference_and_no_more(agent, trained, tmp_path):
    before = trained(params={"same": 1, "rate": 0.1, "units": [8, 8], "gone": "x"})
    message = refused(agent, tmp_path, before, params={"same": 1, "rate": 0.2, "units": [8, 9], "new": True})
    for line in ("rate: 0.1 there, 0.2 now", "units: [8, 8] there, [8, 9] now", "gone: x there", "new: None there, True now"):
        assert line in message
    assert "same" not in message.splitlines()[1:-1]
    assert not any(line.strip().startswith("same:") for line in message.splitlines())


def test_params_of_a_run_that_had_none_are_refused(agent, trained, tmp_path):
    before = trained()
    assert "rate" in refused(agent, tmp_path, before, params={"rate": 0.2})


def test_params_left_out_are_refused(agent, trained, tmp_path):
    before = trained(params={"rate": 0.2})
    assert "rate: 0.2 there" in refused(agent, tmp_path, before)


def test_the_same_params_fit_also_as_tuples_and_nested(agent, trained):
    params = {"sizes": (8, 8), "inner": {"rate": 0.1}}
    trained(params=params)
    agent(params=params).train(schedule(), first_update=BATCH, timesteps=2)


def test_another_size_of_a_layer_is_refused_with_its_name_and_both_shapes(agent, copied, tmp_path):
    before = copied()
    message = refused(agent, tmp_path, before, q_model_fn(units=16))
    for words in ("'Model/online/dense/", "(4, 8)", "(4, 16)"):
        assert words in message


def test_a_missing_head_is_refused_with_its_name(agent, copied, tmp_path):
    before = copied()
    message = refused(agent, tmp_path, before, q_model_fn(dueling=None))
    assert "'Model/online/value/kernel'" in message
    assert "(8, 1)" in message


def test_an_additional_head_is_refused_with_its_name(agent, trained, tmp_path):
    before = trained(q_model_fn(dueling=None))
    assert "'Model/online/value/kernel'" in refused(agent, tmp_path, before, q_model_fn(dueling="mean"))


@pytest.mark.parametrize(
    ("there", "now"),
    [
        ("adam", SGDConfig()),
        ("sgd", AdamConfig()),
        ("sgd", AdagradConfig(learning_rate=0.1)),  # As many slots of the same shapes, with another meaning.
    ],
    ids=["adam_to_sgd", "sgd_to_adam", "sgd_to_adagrad"],
)
def test_another_optimizer_is_refused(agent, copied, tmp_path, there, now):
    before = copied(there)
    assert "optimizer" in refused(agent, tmp_path, before, q_model_fn(optimizer_config=now))


def test_another_learning_rate_is_refused_with_both(agent, copied, tmp_path):
    """The checkpoint brings back the old one: a config that says another misleads whoever reads it."""
    before = copied("sgd")
    message = refused(agent, tmp_path, before, q_model_fn(optimizer_config=SGDConfig(learning_rate=0.25)))
    assert "learning_rate: 0.1" in message
    assert "0.25 now" in message


def test_another_size_of_the_memory_is_refused(agent, trained, tmp_path):
    before = trained(size=100)
    assert "memory" in refused(agent, tmp_path, before, size=50)


# Checkpoints that are none. ---------------------------------------------------------------------------------------------


def half_written(directory: Path, kind: str) -> None:
    name = {"staging": "ckpt-000000099.tmp", "without_state": "ckpt-000000099", "other_name": "ckpt-last"}[kind]
    (directory / name).mkdir(parents=True)
    if kind != "without_state":
        (directory / name / "state.json").write_text("{}")
    (directory / name / "variables.index").write_text("half")


@pytest.mark.parametrize("kind", ["staging", "without_state", "other_name"])
def test_what_is_no_whole_checkpoint_is_ignored(agent, trained, tmp_path, kind):
    trained()
    half_written(tmp_path / "run" / "checkpoints", kind)
    half_written(tmp_path / "run" / "best", kind)
    resumed = agent()
    assert resumed.checkpoints.latest().name == "ckpt-000000008"
    assert resumed.checkpoints.best() is None
    assert resumed.train(schedule(), first_update=BATCH, timesteps=2).global_timestep == 10


@pytest.mark.parametrize("kind", ["staging", "without_state"])
def test_a_whole_checkpoint_takes_the_place_of_half_a_one(agent, tmp_path, kind):
    half_written(tmp_path / "run" / "checkpoints", kind)
    result = agent().train(ScheduleEnv(), first_update=BATCH, timesteps=99)
    assert (result.checkpoint / "state.json").is_file()
    assert agent().train(ScheduleEnv(), first_update=BATCH, timesteps=1).global_timestep == 100


@pytest.mark.parametrize("where", ["variables", "state", "rename"])
def test_a_save_that_fails_leaves_the_checkpoint_before_it_to_go_on_from(agent, monkeypatch, where):
    def fail(*arguments, **more):
        raise OSError("No space left on device")

    agent().train(ScheduleEnv(), first_update=BATCH, timesteps=5)
    with monkeypatch.context() as patch:
        target = {"variables": (tf.train.Checkpoint, "write"), "state": (json, "dumps"), "rename": (os, "replace")}[where]
        broken = agent(save_checkpoints_timesteps=3, keep_checkpoint_max=1)

        class Break(Hook):
            def begin(self, run):
                patch.setattr(*target, fail)

        with pytest.raises(OSError, match="No space left"):
            broken.train(ScheduleEnv(), first_update=BATCH, timesteps=5, hooks=[Break()])
    resumed = agent()
    assert resumed.checkpoints.latest().name == "ckpt-000000005"
    assert resumed.train(ScheduleEnv(), first_update=BATCH, timesteps=1).global_timestep == 6


def test_a_damaged_checkpoint_is_an_error_and_no_new_beginning(agent, trained, tmp_path):
    trained()
    for path in (tmp_path / "run" / "checkpoints" / "ckpt-000000008").glob("variables.data*"):
        path.write_bytes(path.read_bytes()[:100])
    env = schedule()
    with pytest.raises((tf.errors.OpError, IndexError, ValueError)):
        agent().train(env, first_update=BATCH, timesteps=2)
    assert all(single.steps == 0 for single in env.envs)


# Determinism. -----------------------------------------------------------------------------------------------------------


def run_with(agent, directory: Path, seed: int, jit: str):
    model_fn = q_model_fn("dqn" if jit == "on" else "c51", num_states=3, **EXPLORATION)
    trained = agent(model_fn, model_dir=directory, seed=seed, jit=jit)
    look = Look(trained)
    env = vector(BanditEnv(), BanditEnv())
    trained.train(env, first_update=6, update_frequency=2, timesteps=60, hooks=[look])
    return trained, look


@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_run_bit_for_bit(agent, tmp_path, jit):
    """F7: of all random streams one alone was seeded."""
    (first, a), (second, b) = (run_with(agent, tmp_path / name, 5, jit) for name in "ab")
    assert_equal(weights(first), weights(second))
    assert_equal(rows(first), rows(second))
    assert a.actions == b.actions
    assert differ(weights(first), a.weights)


@pytest.mark.slow
def test_another_seed_gives_other_weights_environments_and_actions(agent, tmp_path):
    (first, a), (second, b) = (run_with(agent, tmp_path / str(seed), seed, "off") for seed in (5, 6))
    assert differ(a.weights, b.weights)  # Those at the begin.
    assert differ({"state": rows(first)["state"]}, {"state": rows(second)["state"]})
    assert a.actions != b.actions
    assert differ(weights(first), weights(second))


# Signals. ---------------------------------------------------------------------------------------------------------------


class Send(Hook):
    """Sends this process a signal, as often as told."""

    def __init__(self, number, timestep, times=1):
        self._number, self._timestep, self._times = number, timestep, times

    def after_act(self, run):
        if run.timestep == self._timestep:
            for _ in range(self._times):
                signal.raise_signal(self._number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_checkpoint_and_its_name(agent, number):
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    result = agent().train(ScheduleEnv(), first_update=BATCH, hooks=[Send(number, 7)])
    assert (result.signal, result.global_timestep) == (number, 7)
    assert number.name in result.stop_reason
    assert result.checkpoint.name == "ckpt-000000007"
    assert {one: signal.getsignal(one) for one in before} == before
    assert agent().train(ScheduleEnv(), first_update=BATCH, timesteps=1).global_timestep == 8


def test_a_second_signal_ends_at_once(agent):
    trained = agent()
    with pytest.raises(KeyboardInterrupt):
        trained.train(ScheduleEnv(), first_update=BATCH, hooks=[Send(signal.SIGINT, 7, times=2)])
    assert trained.checkpoints.latest() is None


def test_scripts_end_by_a_signal_with_a_checkpoint_and_its_exit_status(tmp_path):
    """Two processes side by side; each gets its signal once it has written a checkpoint."""
    cases = {"train": signal.SIGINT, "continuous_train_and_eval": signal.SIGTERM}
    script = [sys.executable, str(ROOT / "experiments" / "cartpole_dqn.py"), "--jit=off", "--noprogress", "--eval_episodes=1"]
    flags = ["--train_timesteps=10000000", "--eval_frequency=10000000", "--save_checkpoints_timesteps=200", "--num_envs=2"]
    processes = {
        mode: subprocess.Popen(
            [*script, *flags, f"--mode={mode}", f"--model_dir={tmp_path / mode}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
        )
        for mode in cases
    }
    try:
        for mode, process in processes.items():
            while process.poll() is None and not list((tmp_path / mode / "checkpoints").glob("ckpt-*/state.json")):
                time.sleep(0.1)
            assert process.poll() is None, process.stdout.read()
            process.send_signal(cases[mode])
        for mode, process in processes.items():
            output, _ = process.communicate(timeout=120)
            assert f"interrupted by {cases[mode].name}" in output
            assert "Traceback" not in output
            newest = max((tmp_path / mode / "checkpoints").glob("ckpt-*"))
            state = json.loads((newest / "state.json").read_text())
            assert newest.name == f"ckpt-{state['global_timestep']:09d}"
            assert newest.name in output
        assert {mode: process.returncode for mode, process in processes.items()} == {
            mode: 128 + number for mode, number in cases.items()
        }
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
