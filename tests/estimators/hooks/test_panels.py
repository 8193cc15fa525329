"""What a run shows in TensorBoard's dashboards, and in `metrics.jsonl` and `evaluations.csv`."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams
from tiny_envs import ScheduleEnv

from polyrl.estimators import Agent, EstimatorSpec, RunConfig
from polyrl.estimators.events import EventFiles
from polyrl.estimators.hooks import EvaluationHook, Hook
from polyrl.estimators.hooks.panels import FIRST, LAYOUT, METRICS, columns, shown, trial_id
from polyrl.models import DQNModel
from polyrl.networks import mlp
from polyrl.replay import UniformReplay
from polyrl.summaries import Summaries
from polyrl.summaries.descriptions import DESCRIPTIONS, description

ROOT = Path(__file__).resolve().parents[3]
SLOWEST = 0.001


def env() -> ScheduleEnv:
    return ScheduleEnv(lengths=(3,))


def make(model_dir: Path, **config: Any) -> Agent:
    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        return DQNModel(mode, mlp([4]), num_states=4, num_actions=3, name="DQN")(features, labels)

    given = {"jit": "off", "progress": False, **config}
    return Agent(model_fn, UniformReplay(100, 4), model_dir, RunConfig(**given), {"rate": 0.5, "units": [3, 4]})


def train(agent: Agent, *hooks: Hook) -> None:
    agent.train(env(), max_timesteps=40, first_update=4, hooks=[EvaluationHook(env(), 10, 2), *hooks])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """40 steps with panels every 2; whatever takes time may take a thousandth of it."""
    agent = make(tmp_path_factory.mktemp("run"), save_summary_timesteps=2, max_overhead=SLOWEST)
    train(agent)
    return agent


def events(directory: Path) -> EventAccumulator:
    found = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    found.Reload()
    return found


def lines(directory: Path) -> list[dict]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_scalars_come_at_their_cadence_whatever_the_rest_costs(trained):
    found = events(trained.model_dir)
    steps = {tag: [event.step for event in found.Tensors(tag)] for tag in found.Tags()["tensors"]}
    for tag in ("time/fps", "train/n_updates", "rollout/ep_rew_mean", "rollout/exploration_rate"):
        assert steps[tag] == [step for step in range(2, 41, 2) if step > 2 or "rollout/ep" not in tag], tag
    for tag in ("train/q_mean", "train/td_error", "train/grad_norm"):
        assert steps[tag] == [*range(5, 41, 2)], tag  # Of the update after each.
    assert 0 < len(steps["variables/dense/kernel"]) < len(steps["train/q_mean"])  # The rest is put off.


@pytest.mark.slow
def test_scalars_are_never_put_off(tmp_path):
    """After fifty writes they were, until they took no more than their share of the time."""
    agent = make(tmp_path / "run", save_summary_timesteps=2, max_overhead=SLOWEST)
    agent.train(env(), max_timesteps=200, first_update=4)
    found = events(agent.model_dir)
    for tag, first in (("time/fps", 2), ("train/td_error", 5)):
        assert [event.step for event in found.Tensors(tag)] == [*range(first, 201, 2)]


@pytest.mark.slow
def test_a_slow_first_write_of_histograms_does_not_silence_the_rest_of_a_short_run(tmp_path, monkeypatch):
    """The first two came, and no other one: one of them takes thirty times as long as those that follow."""
    real, seconds = Summaries.write_large, iter((0.3, 0.3, *[0.0] * 100))
    monkeypatch.setattr(Summaries, "write_large", lambda *given: (time.sleep(next(seconds)), real(*given)))
    agent = make(tmp_path / "run", save_summary_timesteps=2, max_overhead=SLOWEST)
    agent.train(env(), max_timesteps=20, first_update=4)
    steps = [event.step for event in events(agent.model_dir).Tensors("variables/dense/kernel")]
    assert steps == [*range(5, 21, 2)]


def test_no_point_is_there_twice_and_no_speed_is_zero(trained):
    train(trained)  # It has nothing left to do.
    found = events(trained.model_dir)
    for tag in found.Tags()["tensors"]:
        steps = [event.step for event in found.Tensors(tag)]
        assert len(steps) == len(set(steps)), tag
    speeds = [float(tf.make_ndarray(event.tensor_proto)) for event in found.Tensors("time/fps")]
    assert min(speeds) > 0


def test_metrics_and_evaluations_are_text_too(trained):
    found = lines(trained.model_dir)
    assert [line["global_timestep"] for line in found if "train/n_updates" in line] == [*range(2, 41, 2)]
    assert {"train/q_mean", "rollout/ep_rew_mean", "train/loss"} <= {name for line in found for name in line}
    with open(trained.model_dir / "evaluations.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["global_timestep"]) for row in rows] == [10, 20, 30, 40]
    assert {float(row["mean_reward"]) for row in rows} == {6.0}
    trained.evaluate(env(), 2)
    with open(trained.model_dir / "eval" / "evaluations.csv", newline="") as file:
        assert [int(row["global_timestep"]) for row in csv.DictReader(file)] == [40]


@pytest.mark.slow
def test_a_resumed_run_writes_again_what_came_after_the_checkpoint(tmp_path):
    class Dies(Hook):
        def after_act(self, run):
            if run.timestep == 30:
                raise KeyboardInterrupt

    config = {"save_summary_timesteps": 5, "max_overhead": None, "save_checkpoints_timesteps": 20}
    with pytest.raises(KeyboardInterrupt):
        train(make(tmp_path, **config), Dies())
    train(make(tmp_path, **config))
    steps = [line["global_timestep"] for line in lines(tmp_path) if "train/n_updates" in line]
    assert steps == [5, 10, 15, 20, 25, 30, 35, 40]
    rows = (tmp_path / "evaluations.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["global_episode", *("3", "6", "10", "13")] or len(rows) == 5


def test_the_layout_has_rewards_first_and_tags_that_exist(trained):
    found = events(trained.model_dir)
    (event,) = found.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(tf.make_ndarray(event.tensor_proto).item())
    assert [category.title for category in layout.category] == [*LAYOUT]
    assert layout.category[0].chart[0].multiline.tag == ["^rollout/ep_rew_mean$", "^eval/mean_reward$"]
    named = {tag for charts in LAYOUT.values() for tags in charts.values() for tag in tags}
    assert named <= set(DESCRIPTIONS)


def test_hyper_parameters_and_the_graph_are_shown(trained):
    found = events(trained.model_dir)
    data = plugin_data_pb2.HParamsPluginData.FromString(
        found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    )
    values = data.session_start_info.hparams
    assert (values["rate"].number_value, values["units"].string_value) == (0.5, "[3, 4]")
    assert found.Tags()["graph"]
    end = plugin_data_pb2.HParamsPluginData.FromString(found.SummaryMetadata("_hparams_/session_end_info").plugin_data.content)
    assert end.session_end_info.status == api_pb2.STATUS_SUCCESS
    where = trained.model_dir
    assert data.session_start_info.group_name == f"{where.name} in {where.parent}"


@pytest.mark.slow
def test_a_run_that_was_stopped_before_its_budget_is_not_called_a_success(tmp_path):
    class Stop(Hook):
        def after_act(self, run):
            if run.timestep >= 10:
                run.request_stop("enough")

    agent = make(tmp_path / "run", save_summary_timesteps=2)
    train(agent, Stop())
    assert "_hparams_/session_end_info" not in events(agent.model_dir).Tags()["tensors"]


@pytest.mark.slow
def test_a_checkpoint_that_is_evaluated_again_has_one_point(tmp_path):
    """TensorBoard showed two at one step; the file has a row for each."""
    agent = make(tmp_path / "run")
    train(agent)
    for episodes in (2, 2, 3):
        agent.evaluate(env(), episodes)
    points = [event.step for event in events(agent.model_dir / "eval").Tensors("eval/mean_reward")]
    assert points == [40, 40]  # Of two episodes, and of three.
    rows = (agent.model_dir / "eval" / "evaluations.csv").read_text().splitlines()
    assert len(rows) == 4


def test_the_graph_has_exploration_in_a_box_of_its_own(trained):
    names = [node.name.split("/")[:2] for node in events(trained.model_dir).Graph().node if node.name.startswith("DQN/")]
    boxes = {part[1].removesuffix("_1") for part in names}
    assert {"exploration", "DQN_online"} <= boxes
    assert len(boxes) <= 6, boxes  # With the choice of actions.


def columns_of(directory: Path) -> list[str] | None:
    """The hyper-parameters that the HParams dashboard shows, as TensorBoard reads them; None: the run does not say."""
    found = events(directory)
    if hparams.EXPERIMENT_TAG not in found.Tags()["tensors"]:
        return None
    content = found.SummaryMetadata(hparams.EXPERIMENT_TAG).plugin_data.content
    experiment = hparams.parse_experiment_plugin_data(content)
    assert [info.name.tag for info in experiment.metric_infos] == [*METRICS]
    return [info.name for info in experiment.hparam_infos]


def test_the_dashboard_of_hyper_parameters_is_not_empty(trained):
    assert columns_of(trained.model_dir) == ["rate", "units"]


def test_five_hyper_parameters_come_first():
    made = columns({"zeta": 1, **dict.fromkeys(reversed(FIRST), 1), "alpha": "null"})
    content = made.value[0].metadata.plugin_data.content
    found = hparams.parse_experiment_plugin_data(content).hparam_infos
    in_order = sorted(found, key=lambda info: (not info.differs, info.name))  # As TensorBoard sorts them.
    assert [info.name for info in in_order] == [*FIRST, "alpha", "zeta"]


@pytest.mark.slow
def test_below_a_sweep_the_sweep_says_which_columns_there_are(tmp_path):
    tf.summary.create_file_writer(str(tmp_path)).flush()
    agent = make(tmp_path / "trial-0003" / "run")
    train(agent)
    assert columns_of(agent.model_dir) is None
    assert trial_id(agent.model_dir) == f"trial-0003 in {agent.model_dir.parent}"


@pytest.mark.parametrize(("value", "expected"), [(True, True), (3, 3), ("a", "a"), (None, "null"), ((1, 2), "[1, 2]")])
def test_what_hyper_parameters_are_shown_as(value, expected):
    assert shown({"name": value}) == {"name": expected}


def test_panels_say_what_they_show(trained):
    found = events(trained.model_dir)
    for tag in found.Tags()["tensors"]:
        if "__" not in tag and "_hparams_" not in tag:
            assert found.SummaryMetadata(tag).summary_description == description(tag) != "", tag
    assert description("mine/own") is None


def test_the_pictures_of_distributions_say_what_their_axis_is(tmp_path):
    files = EventFiles(tmp_path, training=True)
    files.write_distributions("", np.full([1, 3], 1 / 3), np.array([-2.5, 0.0, 2.5]), step=7)
    files.writer("").flush()
    said = events(tmp_path).SummaryMetadata("eval/return_distribution").summary_description
    assert said == f"{DESCRIPTIONS['eval/return_distribution']}. The support is from -2.5 on the left to 2.5 on the right."


def test_the_page_says_the_same():
    page = (ROOT / "docs" / "tensorboard.md").read_text()
    for tag, text in DESCRIPTIONS.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{tag}` |")]
        assert text.split(";")[0] in row.replace("[exploration](exploration.md)", "exploration"), tag


def test_a_histogram_leaves_out_what_is_not_finite(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    Summaries({}, {"mine": tf.constant([1.0, float("nan"), float("inf"), 2.0])}, {}).write(writer, 1)
    writer.close()
    (event,) = events(tmp_path).Tensors("mine")
    assert tf.make_ndarray(event.tensor_proto)[:, 2].sum() == 2
