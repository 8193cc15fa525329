"""`train_and_evaluate` does what tf.estimator's does: trains, evaluates, exports, and nothing twice."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tensorflow as tf
from tiny_envs import ScheduleEnv

from polyrl import Agent, EstimatorSpec, EvalSpec, RunConfig, TrainSpec, UniformReplay, train_and_evaluate
from polyrl.envs import GymEnvironment
from polyrl.estimators.exporters import BestExporter, FinalExporter, LatestExporter
from polyrl.estimators.hooks import Hook
from polyrl.models import DQNModel
from polyrl.networks import mlp
from polyrl.serving.versions import newest, record_of

ENV = GymEnvironment(ScheduleEnv, 1, lengths=(3,))


def make(model_dir: Any) -> Agent:
    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        return DQNModel(mode, mlp([4]), num_states=4, num_actions=3)(features, labels)

    return Agent(model_fn, UniformReplay(100, 4), model_dir, RunConfig(progress=False, jit="off", check_env=False))


def specs(timesteps: int = 40, hooks: Any = (), **arguments: Any) -> tuple[TrainSpec, EvalSpec]:
    given = {"episodes": 2, "every_timesteps": 10, **arguments}
    return TrainSpec(ENV, max_timesteps=timesteps, first_update=4, hooks=hooks), EvalSpec(ENV, **given)


def versions(model_dir: Any, name: str) -> list[int]:
    directory = model_dir / "export" / name
    return sorted(int(path.name) for path in directory.iterdir()) if directory.exists() else []


def test_it_trains_evaluates_and_exports(tmp_path):
    exporters = [LatestExporter("latest", exports_to_keep=2), BestExporter("best"), FinalExporter("final")]
    result = train_and_evaluate(make(tmp_path), *specs(exporters=exporters, name="end", final_episodes=3))
    assert result.training.global_timestep == 40
    assert result.evaluation["mean_reward"] == 6.0
    assert result.evaluation["global_timestep"] == 40
    assert len((tmp_path / "evaluations.csv").read_text().splitlines()) == 1 + 4
    assert (tmp_path / "eval_end" / "evaluations.csv").exists()
    assert len(versions(tmp_path, "latest")) == 2  # Of four.
    (final,) = versions(tmp_path, "final")
    assert versions(tmp_path, "best")
    # All that is there was written by this call: it listed the final one alone.
    there = {
        tmp_path / "export" / name / str(version)
        for name in ("latest", "best", "final")
        for version in versions(tmp_path, name)
    }
    assert sorted(result.exports) == sorted(there)
    assert [path.parent.name for path in result.exports].count("latest") == 2
    assert result.exports[-1] == tmp_path / "export" / "final" / str(final)
    assert "serving_default" in tf.saved_model.load(str(tmp_path / "export" / "final" / str(final))).signatures


@pytest.mark.slow
def test_a_run_at_its_budget_is_evaluated_and_not_trained_and_nothing_is_exported_twice(tmp_path):
    def exporters():
        return [LatestExporter("latest"), FinalExporter("final")]

    train_and_evaluate(make(tmp_path), *specs(exporters=exporters()))
    before = {name: versions(tmp_path, name) for name in ("latest", "final")}
    again = train_and_evaluate(make(tmp_path), *specs(exporters=exporters()))
    assert (again.training.global_timestep, again.evaluation["global_timestep"]) == (40, 40)
    assert {name: versions(tmp_path, name) for name in before} == before
    longer = train_and_evaluate(make(tmp_path), *specs(60, exporters=exporters()))
    assert longer.training.global_timestep == 60
    assert len(before["latest"]) == 4
    assert versions(tmp_path, "latest")[:3] == before["latest"][1:]  # Two more, of which five are kept.
    assert len(versions(tmp_path, "latest")) == 5


@pytest.mark.slow
def test_the_last_weights_are_exported_with_their_own_evaluation(tmp_path):
    """They carried that of the evaluation before, which was of other weights."""
    result = train_and_evaluate(make(tmp_path), *specs(15, exporters=[LatestExporter("latest"), FinalExporter("final")]))
    for name in ("latest", "final"):
        noted = record_of(newest(tmp_path / "export" / name))
        assert (noted["checkpoint"], noted["eval_result"]) == ("checkpoints/ckpt-000000015", result.evaluation)


@pytest.mark.slow
def test_hooks_run_and_a_good_evaluation_ends_it(tmp_path):
    class Counts(Hook):
        steps = 0

        def after_act(self, run):
            self.steps += 1

    counts = Counts()
    result = train_and_evaluate(make(tmp_path), *specs(hooks=[counts], stop_at_reward=5.0))
    assert result.training.global_timestep == counts.steps == 10
    assert result.exports == []


@pytest.mark.parametrize("position", range(3))
def test_other_types_are_refused(tmp_path, position):
    arguments: list[Any] = [make(tmp_path), *specs()]
    arguments[position] = "CartPole-v1"
    expected = (
        "agent='CartPole-v1' must be an Agent",
        "train_spec=.* must be a TrainSpec",
        "eval_spec=.* must be an EvalSpec",
    )
    with pytest.raises(TypeError, match=expected[position]):
        train_and_evaluate(*arguments)


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "message"),
    [
        (TrainSpec, {"max_steps": 0}, ValueError, "max_steps=0 must be at least 1"),
        (TrainSpec, {"max_timesteps": 1.5}, TypeError, "max_timesteps=1.5 must be an integer"),
        (TrainSpec, {"max_episodes": -1}, ValueError, "max_episodes=-1 must be at least 1"),
        (TrainSpec, {"hooks": 5}, TypeError, "hooks=5 must be a list or tuple of hooks"),
        (TrainSpec, {"hooks": [1]}, TypeError, "hooks: 1 must be a Hook"),
        (TrainSpec, {"env": None}, TypeError, "TrainSpec: env=None must be an environment"),
        (EvalSpec, {"env": None}, TypeError, "EvalSpec: env=None must be an environment"),
        (EvalSpec, {"episodes": 0}, ValueError, "episodes=0 must be at least 1"),
        (EvalSpec, {"every_timesteps": 0}, ValueError, "every_timesteps=0 must be at least 1"),
        (EvalSpec, {"final_episodes": 0}, ValueError, "final_episodes=0 must be at least 1"),
        (EvalSpec, {"name": 5}, ValueError, "name=5 must be letters"),
        (EvalSpec, {"exporters": ["x"]}, TypeError, "exporters: 'x' must be an Exporter"),
        (EvalSpec, {"exporters": [FinalExporter("a"), LatestExporter("a")]}, ValueError, "must differ"),
        (EvalSpec, {"stop_at_reward": "high"}, TypeError, "stop_at_reward='high'"),
    ],
)
def test_what_a_spec_cannot_mean_is_refused_when_it_is_made(kind, arguments, error, message):
    """As the original's; some of it ended the evaluation after the whole training."""
    with pytest.raises(error, match=re.escape(message)):
        kind(**{"env": ENV, **arguments})


@pytest.mark.parametrize("compare", [lambda a: True, lambda: True, lambda a, b, c: True, lambda *, a, b: True, 5])
def test_a_comparison_of_other_than_two_results_is_refused(compare):
    with pytest.raises(TypeError, match=r"must be a function of two results, \(best, current\)"):
        BestExporter("best", compare_fn=compare)


@pytest.mark.parametrize("compare", [lambda a, b: True, lambda *both: True, lambda a, b, c=1: True, max])
def test_a_comparison_of_two_results_is_taken(compare):
    assert BestExporter("best", compare_fn=compare).name == "best"
