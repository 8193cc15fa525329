"""Checkpoints on the disk: whole or not there at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
import tf_keras
from checkpoint_testing import BATCH, schedule
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ScheduleEnv

from polyrl.errors import DamagedCheckpointError
from polyrl.estimators.hooks import Hook
from polyrl.models import DQNModel


def half_written(directory: Path, kind: str) -> None:
    name = {"staging": "ckpt-000000099.tmp", "without_state": "ckpt-000000099", "other_name": "ckpt-last"}[kind]
    (directory / name).mkdir(parents=True)
    if kind != "without_state":
        (directory / name / "state.json").write_text("{}")
    (directory / name / "variables.index").write_text("half")


# Checkpoints that are none. ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["staging", "other_name"])
def test_what_is_not_a_whole_checkpoint_is_ignored(agent, trained, tmp_path, kind):
    trained()
    half_written(tmp_path / "run" / "checkpoints", kind)
    half_written(tmp_path / "run" / "best", kind)
    resumed = agent()
    assert resumed.checkpoints.latest().name == "ckpt-000000008"
    assert resumed.checkpoints.best() is None
    assert resumed.train(schedule(), first_update=BATCH, timesteps=2).global_timestep == 10
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_a_whole_checkpoint_takes_the_place_of_half_a_one(agent, tmp_path):
    half_written(tmp_path / "run" / "checkpoints", "staging")
    result = agent().train(ScheduleEnv(), first_update=BATCH, timesteps=99)
    assert (result.checkpoint / "state.json").is_file()
    assert agent().train(ScheduleEnv(), first_update=BATCH, timesteps=1).global_timestep == 100


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("where", ["variables", "state", "rename"])
def test_a_save_that_fails_leaves_the_checkpoint_before_it_to_resume_from(agent, monkeypatch, where):
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


# What cannot be saved. --------------------------------------------------------------------------------------------------


class Keeping(tf_keras.layers.Layer):
    """A layer that keeps another one in a way."""

    def __init__(self, way):
        super().__init__()
        self.dense = tf_keras.layers.Dense(4)
        if way == "keys that are no strings":
            self.kept = {("a", 1): self.dense}
        elif way == "changed list":
            self.kept = [self.dense, self.dense]
            self.kept.reverse()
        elif way == "strings":
            self.kept = {"a": [self.dense]}

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("way", ["keys that are no strings", "changed list", "strings"])
def test_what_no_checkpoint_can_hold_is_refused_before_the_first_step(tmp_path, way):
    def model_fn(features, labels, mode):
        return DQNModel(mode, lambda _, inputs: Keeping(way)(inputs["state"]), 4, 3, summaries=[])(features, labels)

    env, agent = ScheduleEnv(), make_agent(model_fn, model_dir=tmp_path)
    if way == "strings":
        assert agent.train(env, first_update=BATCH, timesteps=5).global_timestep == 5
        return
    with pytest.raises(
        ValueError, match=r"'Model/online' cannot be written to a checkpoint: Unable to save the object .*>[}\]]"
    ):
        agent.train(env, first_update=BATCH, timesteps=5)
    assert env.steps == 0
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.slow
def test_a_model_dir_without_its_checkpoints_is_refused_and_one_that_never_had_any_begins(tmp_path):
    def run(timesteps, hooks=()):
        agent = make_agent(q_model_fn(), model_dir=tmp_path)
        return agent.train(schedule(), first_update=BATCH, timesteps=timesteps, hooks=hooks)

    with pytest.raises(ZeroDivisionError):
        run(8, hooks=[Dies()])
    assert (tmp_path / "params.json").is_file()
    assert run(6).global_timestep == 6  # It died before its first checkpoint.
    assert run(6).global_timestep == 12
    shutil.rmtree(tmp_path / "checkpoints")
    left = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(DamagedCheckpointError, match=r"held checkpoints, as its params\.json says, and holds none now"):
        run(6)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == left
    (tmp_path / "params.json").unlink()
    assert run(6).global_timestep == 6


class Dies(Hook):
    def after_act(self, run):
        if run.timestep > 4:
            raise ZeroDivisionError
