"""The TensorBoard files of training: which are superseded, and what a full disk does to them."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_agents import make_agent

from polyrl.errors import DamagedCheckpointError
from polyrl.estimators.checkpoints.overwriting import set_aside_run
from polyrl.estimators.events import EventFiles
from polyrl.estimators.hooks import Hook


def train(model_dir, timesteps=40):
    agent = make_agent(model_dir=model_dir, save_summary_timesteps=20)
    return agent.train("polyrl/TinySchedule-v0", first_update=4, max_timesteps=timesteps)


def written(directory):
    return sorted(path.name for path in directory.glob("events*training"))


@pytest.mark.slow
def test_a_new_run_leaves_the_files_of_others_below_it_alone(tmp_path):
    for name in ("first", "second"):
        train(tmp_path / name)
    before = [written(tmp_path / name) for name in ("first", "second")]
    assert all(before)
    train(tmp_path)
    assert [written(tmp_path / name) for name in ("first", "second")] == before


@pytest.mark.slow
def test_a_run_that_was_set_aside_keeps_its_files(tmp_path):
    train(tmp_path)
    before = written(tmp_path)
    aside = set_aside_run(tmp_path)
    train(tmp_path)
    assert written(aside) == before


@pytest.mark.parametrize("damage", ["truncated", "removed"])
def test_without_checkpoints_and_with_a_damaged_note_of_them_nothing_starts_from_zero(tmp_path, damage):
    train(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    params = tmp_path / "params.json"
    params.write_bytes(params.read_bytes()[:30]) if damage == "truncated" else params.unlink()
    before = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    with pytest.raises(DamagedCheckpointError, match=r"params\.json .*remove what is"):
        train(tmp_path)
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == before


def full(name):
    text = f"{{{{function_node __wrapped__{name}_device_/job:localhost}}}} No space left on device"
    return tf.errors.ResourceExhaustedError(None, None, text)


class Writes(Hook):
    """A hook whose writing fails."""

    def __init__(self, error):
        self.error, self.times = error, 0

    def after_act(self, run):
        if run.timestep in (20, 30):
            self.times += 1
            raise self.error


@pytest.mark.parametrize("name", ["CreateSummaryFileWriter", "WriteScalarSummary", "FlushSummaryWriter", "WriteSummary"])
def test_a_full_disk_is_told_and_the_run_continues(agent, caplog, name):
    hook = Writes(full(name))
    with caplog.at_level(logging.WARNING, "polyrl"):
        result = agent().train("polyrl/TinySchedule-v0", first_update=4, max_timesteps=40, hooks=[hook])
    assert (hook.times, result.global_timestep) == (2, 40)
    assert sum("TensorBoard's files" in text and "No space left on device" in text for text in caplog.messages) == 2


def test_other_errors_of_tensorflow_end_it(agent):
    with pytest.raises(tf.errors.ResourceExhaustedError, match="MatMul"):
        agent().train("polyrl/TinySchedule-v0", first_update=4, max_timesteps=40, hooks=[Writes(full("MatMul"))])


def test_new_files_are_begun_after_a_failure(tmp_path):
    events = EventFiles(tmp_path, training=True)
    first = events.writer("")
    assert events.cannot_write(full("FlushSummaryWriter"))
    assert events.writer("") is not first


def test_a_text_file_that_cannot_be_written_is_told_once(tmp_path, caplog):
    """Of a run whose directory was moved away it was told twenty times."""
    events = EventFiles(tmp_path, training=True)
    (tmp_path / "metrics.jsonl").mkdir()
    with caplog.at_level(logging.WARNING, "polyrl"):
        for step in range(1, 5):
            events.write_scalars({"a": 1.0}, step, 0)
    assert [text.partition(" cannot")[0] for text in caplog.messages] == [str(tmp_path / "metrics.jsonl")]


@pytest.mark.parametrize("number", [3, 0.5, np.float32(0.5), np.int64(3), np.True_, tf.constant(0.5), np.array(2.0)], ids=str)
def test_any_number_is_written(tmp_path, number):
    events = EventFiles(tmp_path, training=True)
    events.write_scalars({"a": number, "b": float("nan")}, 7, 0)
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line) == {"global_timestep": 7, "global_step": 0, "a": float(number), "b": "nan"}


@pytest.mark.parametrize("given", ["3", None, np.ones(1), [1.0], {}, 1j], ids=str)
def test_what_is_no_number_is_named_with_its_tag(tmp_path, given):
    with pytest.raises(TypeError, match=r"^write_scalars: mine/a=.* must be a number\.$"):
        EventFiles(tmp_path, training=True).write_scalars({"mine/a": given}, 7, 0)


def points(model_dir):
    events = EventAccumulator(str(model_dir), size_guidance={"tensors": 0})
    events.Reload()
    # Two files of one second are not always read in the order in which they were made.
    return sorted(event.step for event in events.Tensors("train/n_updates"))


def test_the_last_point_stands_once(tmp_path):
    train(tmp_path)
    assert points(tmp_path) == [20, 40]


@pytest.mark.parametrize(("timesteps", "expected"), [(40, [20, 40]), (30, [20, 30])])
def test_a_run_that_is_resumed_with_nothing_left_to_do_adds_no_second_point(tmp_path, timesteps, expected):
    for _ in range(3):
        train(tmp_path, timesteps)
        assert points(tmp_path) == expected


def test_the_end_of_a_smaller_budget_is_superseded(tmp_path):
    train(tmp_path, 30)
    train(tmp_path, 50)
    assert points(tmp_path) == [20, 40, 50]
