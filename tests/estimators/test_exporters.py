"""Exporters, with the semantics of tf.estimator's: what is exported when, how many are kept, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from predictor_testing import FAST, MODELS, at
from tiny_agents import make_agent, q_model_fn

from polyrl.estimators.exporters import BestExporter, Exporter, FinalExporter, LatestExporter
from polyrl.estimators.exports import export, identity_of
from polyrl.serving import versions


class FakeAgent:
    """Its checkpoints are numbers: of environment steps, and what the policy's only variable holds."""

    def __init__(self):
        self.exported = []

    def predictor(self, checkpoint=None):
        number = 0 if checkpoint is None else int(Path(checkpoint).name)

        def write(path):
            self.exported.append(number)
            (Path(path) / "saved_model.pb").write_text(str(number))

        return SimpleNamespace(
            counters={"global_step": number, "global_timestep": number, "global_episode": 0},
            policy=SimpleNamespace(
                variables=[SimpleNamespace(numpy=lambda: np.float32(number))], submodules=(), temperature=0.0
            ),
            checkpoint=Path("/runs/checkpoints") / str(number),
            export=write,
        )


@pytest.fixture
def agent():
    return FakeAgent()


def contents(directory):
    return [int((path / "saved_model.pb").read_text()) for path in versions.found_in(directory)]


def offer(exporter, agent, directory, scores, final=False):
    """Checkpoints 1, 2, ... with these mean rewards; gives which of them were exported."""
    for number, score in enumerate(scores, 1):
        exporter.export(agent, directory, str(number), {"mean_reward": score, "loss": 0.5}, final)
    return agent.exported


@pytest.mark.parametrize("kind", [LatestExporter, BestExporter])
@pytest.mark.parametrize(("keep", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_error_out_if_exports_to_keep_is_zero(kind, keep, error):
    with pytest.raises(error, match="exports_to_keep"):
        kind("name", exports_to_keep=keep)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a:b", "ü"])
def test_a_name_that_is_no_directory_and_no_part_of_a_url_is_refused(name):
    with pytest.raises(ValueError, match="name="):
        FinalExporter(name)
    with pytest.raises(TypeError, match="name=3 must be a str"):
        FinalExporter(3)


def test_latest_exporter(agent, tmp_path):
    exporter = LatestExporter("latest")
    path = exporter.export(agent, tmp_path / "latest", "7", {"mean_reward": 1.0}, False)
    assert path == versions.newest(tmp_path / "latest")
    assert versions.record_of(path)["checkpoint"] == "checkpoints/7"
    assert versions.record_of(path)["eval_result"] == {"mean_reward": 1.0}
    assert exporter.export(agent, tmp_path / "latest", "8", None, True) is not None
    assert agent.exported == [7, 8]


def test_a_checkpoint_is_never_exported_twice(agent, tmp_path):
    exporter = LatestExporter("latest")
    for final in (False, False, True):
        exporter.export(agent, tmp_path, "7", {"mean_reward": 1.0}, final)
    assert exporter.export(agent, tmp_path, "7", None, False) is None
    assert LatestExporter("latest").export(agent, tmp_path, "7", None, False) is None, "nor by a process that starts again"
    assert agent.exported == [7]


def test_only_the_last_export_is_saved(agent, tmp_path):
    exporter = FinalExporter("final")
    assert offer(exporter, agent, tmp_path, [1.0, 2.0]) == []
    assert list(tmp_path.iterdir()) == []
    assert exporter.export(agent, tmp_path, "3", {"mean_reward": 0.0}, True) is not None
    assert agent.exported == [3]


@pytest.mark.parametrize(("keep", "left"), [(1, [4]), (2, [3, 4]), (5, [1, 2, 3, 4]), (None, [1, 2, 3, 4])])
def test_garbage_collect_exports(agent, tmp_path, keep, left):
    offer(LatestExporter("latest", exports_to_keep=keep), agent, tmp_path, [1.0] * 4)
    assert contents(tmp_path) == left


def test_best_exporter(agent, tmp_path):
    assert offer(BestExporter("best"), agent, tmp_path, [1.0, 0.5, 1.0, 3.0, 2.0, 4.0]) == [1, 4, 6]
    assert contents(tmp_path) == [1, 4, 6]


def test_best_exporter_with_preemption(agent, tmp_path):
    """The best result so far is that of the exports there, in whatever process they were made."""
    offer(BestExporter("best", exports_to_keep=1), agent, tmp_path, [1.0, 3.0])
    for number, score in ((5, 2.0), (6, 3.0), (7, 3.5)):
        BestExporter("best", exports_to_keep=1).export(agent, tmp_path, str(number), {"mean_reward": score}, False)
    assert agent.exported == [1, 2, 7]


def test_a_better_result_of_the_same_checkpoint_counts(agent, tmp_path):
    exporter = BestExporter("best")
    offer(exporter, agent, tmp_path, [1.0])
    assert exporter.export(agent, tmp_path, "1", {"mean_reward": 5.0}, False) is None
    assert exporter.export(agent, tmp_path, "2", {"mean_reward": 3.0}, False) is None
    assert agent.exported == [1]


def test_what_is_better_may_be_said(agent, tmp_path):
    def lower_loss(best, current):
        return current["loss"] < best["loss"]

    exporter = BestExporter("best", compare_fn=lower_loss)
    for number, loss in enumerate([3.0, 4.0, 2.0]):
        exporter.export(agent, tmp_path, str(number), {"loss": loss}, False)
    assert agent.exported == [0, 2]
    with pytest.raises(ValueError, match="has no mean_reward"):
        BestExporter("best").export(agent, tmp_path, "9", {"loss": 1.0}, False)
    with pytest.raises(TypeError, match="compare_fn"):
        BestExporter("best", compare_fn="loss")


def test_best_exporter_without_a_result_exports_nothing(agent, tmp_path):
    assert BestExporter("best").export(agent, tmp_path, "1", None, True) is None
    assert agent.exported == []


def test_an_exporter_of_ones_own_says_when(agent, tmp_path):
    class Every(Exporter):
        def _wants(self, directory, result, is_final):
            return result["mean_reward"] > 1.0

    assert offer(Every("every", None), agent, tmp_path, [1.0, 2.0, 2.0]) == [2, 3]


@pytest.mark.parametrize("how", [{"temperature": 0.5}, {"risk_level": 0.1}])
def test_what_acts_in_another_way_is_another_export(directories, how):
    plain, other = (
        make_agent(q_model_fn("c51", **FAST, max_q_value=9.0, **given), model_dir=directories["c51"]).predictor()
        for given in ({}, how)
    )
    first, second = identity_of(plain), identity_of(other)
    assert {name for name in first if first[name] != second[name]} == {*how}


@pytest.mark.slow
def test_other_weights_at_the_same_step_are_another_export(directories, tmp_path):
    agent = make_agent(MODELS["dqn"], model_dir=directories["dqn"])
    predictor = agent.predictor(at(directories["dqn"], 20))
    first = export(predictor, tmp_path / "policy")
    assert first.is_new
    assert versions.record_of(first.path)["checkpoint"] == "checkpoints/ckpt-000000020"
    assert export(agent.predictor(at(directories["dqn"], 20)), tmp_path / "policy") == (first.path, False)
    variable = predictor.policy.variables[0]
    variable.assign(variable + 1.0)
    assert export(predictor, tmp_path / "policy").is_new


@pytest.mark.slow
def test_an_export_that_is_found_wrong_is_not_kept(directories, tmp_path):
    def refuse(version):
        assert (version / "saved_model.pb").is_file()
        raise RuntimeError("differs")

    predictor = make_agent(MODELS["dqn"], model_dir=directories["dqn"]).predictor()
    with pytest.raises(RuntimeError, match="differs"):
        export(predictor, tmp_path / "policy", check=refuse)
    assert versions.found_in(tmp_path / "policy") == []
