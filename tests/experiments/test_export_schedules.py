"""The schedules `export` and `serve`, and exporters in `train_and_evaluate`."""

from __future__ import annotations

import http.client
import importlib.util
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tiny_agents import q_model_fn
from tiny_envs import ScheduleEnv

from polyrl.errors import NotTrainedError
from polyrl.estimators import Agent, RunConfig, export_checks, exporters
from polyrl.estimators.exporters import BestExporter, Exporter, FinalExporter, LatestExporter
from polyrl.experiments.serving import Serving, export
from polyrl.models import R2D2Model
from polyrl.networks import mlp, recurrent
from polyrl.replay import SequenceReplay
from polyrl.serving import formats, versions

ROOT = Path(__file__).resolve().parents[2]


def exports(experiment, name):
    return versions.found_in(experiment.agent.model_dir / "export" / name)


@pytest.fixture
def trained(experiment):
    """Makes experiments on a run that has been trained."""
    experiment(q_model_fn(), eval_env=ScheduleEnv(), train_timesteps=12).train_and_evaluate()
    return lambda **arguments: experiment(q_model_fn(), eval_env=ScheduleEnv(), **arguments)


def test_export_writes_the_best_once_and_checks_it(trained, caplog):
    caplog.set_level(logging.INFO, "polyrl")
    path = trained().export()
    assert path == exports(trained(), "policy")[-1]
    assert versions.record_of(path)["checkpoint"].startswith("best/ckpt-")
    assert "Checked in 1,000 states: the same actions" in caplog.text
    found = tf.saved_model.load(str(path)).signatures["serving_default"](state=tf.zeros([2, 4]))
    assert set(found) == {"action", "q"}
    assert trained().export() == path
    assert "has been exported before" in caplog.text
    latest = trained(checkpoint="latest", serving=Serving("other")).export()
    assert latest.parent.name == "other"
    assert trained(checkpoint="latest").export() != path
    trained().export()
    assert "is newer, and servers take the newest" in caplog.text


@pytest.mark.slow
def test_an_export_that_answers_something_else_is_refused(trained, monkeypatch):
    caller = formats.caller

    def wrong(format, path):
        call = caller(format, path)
        return lambda inputs: {name: value + (name == "q") * 1e-2 for name, value in call(inputs).items()}

    monkeypatch.setattr(formats, "caller", wrong)
    with pytest.raises(RuntimeError, match="differs from the model in q, in 1000 of 1000 states"):
        trained().export()
    assert exports(trained(), "policy") == []


def test_nothing_trained_nothing_exported(experiment):
    with pytest.raises(NotTrainedError):
        experiment(q_model_fn()).export()


@pytest.mark.slow
def test_a_package_that_is_missing_is_named_with_its_extra(trained, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else find(name))
    with pytest.raises(ValueError, match=r"needs tf2onnx, which is not installed. .*pip install 'polyrl\[onnx\]'"):
        trained(serving=Serving(export_format="onnx")).export()
    with pytest.raises(ValueError, match="export_format='pb' is unknown"):
        trained(serving=Serving(export_format="pb")).export()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["tflite", pytest.param("onnx", marks=pytest.mark.slow)])
def test_other_formats_answer_the_same(trained, format, capfd, monkeypatch):
    if format == "onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    monkeypatch.setattr(logging.root, "handlers", [])  # Of pytest; TensorFlow's messages would add one.
    path = trained(serving=Serving(export_format=format)).export()
    assert not logging.root.handlers
    assert path.parent.name == f"policy_{format}"
    assert (path / formats.FILES[format]).is_file()
    original = formats.caller("saved_model", trained().export())
    states = {"state": np.random.default_rng(3).normal(0.0, 50.0, [100, 4]).astype(np.float32)}
    found, expected = formats.caller(format, path)(states), original(states)
    assert found.keys() == expected.keys()
    np.testing.assert_array_equal(found["action"], expected["action"])
    np.testing.assert_allclose(found["q"], expected["q"], rtol=1e-4, atol=1e-4)
    assert "TensorFlow Lite" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_recurrent_model_is_exported_with_what_it_remembers_but_not_as_onnx(tmp_path, cell):
    def model_fn(features, labels, mode):
        return R2D2Model(mode, recurrent(mlp([8]), 6, cell), 4, 2, burn_in=2, summaries=[])(features, labels)

    config = RunConfig(progress=False, jit="off", save_summary_timesteps=None)
    agent = Agent(model_fn, SequenceReplay(400, 4, sequence_length=4), tmp_path / "run", config)
    agent.train("CartPole-v1", first_update=20, max_timesteps=30)
    answers = []
    for format in ("saved_model", "tflite"):
        path = export(agent.predictor(), "CartPole-v1", tmp_path, Serving(export_format=format))
        rng = np.random.default_rng(0)
        size = 12 if cell == "lstm" else 6
        inputs = {"state": rng.normal(size=[50, 4]), "policy_state": rng.normal(size=[50, size])}
        answers.append(formats.caller(format, path)({name: value.astype(np.float32) for name, value in inputs.items()}))
    assert answers[0].keys() == answers[1].keys() == {"action", "q", "policy_state"}
    for name, value in answers[0].items():
        np.testing.assert_allclose(answers[1][name], value, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="tf2onnx does not convert polyrl's recurrent models"):
        export(agent.predictor(), "CartPole-v1", tmp_path, Serving(export_format="onnx"))


def test_states_to_ask_are_of_the_space_and_masks_leave_an_action():
    from gymnasium.spaces import Box, Dict, Discrete

    space = Dict(state=Box(-3e38, 3e38, (2,), np.float32), place=Discrete(4, start=2), image=Box(0, 9, (2, 2), np.uint8))
    parts = {key: {"shape": list(space[key].shape), "dtype": str(space[key].dtype)} for key in space}
    spec = {"dict": {**parts, "action_mask": {"shape": [3], "dtype": "bool"}}}
    found = export_checks.drawn_states(space, spec, rows=200)
    assert {key: value.shape for key, value in found.items()} == {
        "state": (200, 2),
        "place": (200,),
        "image": (200, 2, 2),
        "action_mask": (200, 3),
    }
    assert np.abs(found["state"]).max() < 10.0, "bounds that are none count as none"
    assert set(found["place"].tolist()) == {2, 3, 4, 5}
    assert found["image"].max() == 9
    assert found["action_mask"].any(axis=1).all()
    assert not found["action_mask"].all()
    again = export_checks.drawn_states(space, spec, rows=200)
    assert all(np.array_equal(found[key], again[key]) for key in found)


@pytest.mark.slow
def test_exporters_are_offered_evaluations_while_training_and_the_end(experiment, monkeypatch):
    """Evaluations at 5 and 10 of 12 environment steps; the weights offered are those that were evaluated."""
    offered = []

    class Noting(Exporter):
        def _wants(self, directory, result, is_final):
            offered.append((directory.name, None if result is None else result["global_timestep"], is_final))
            return not is_final

    monkeypatch.setattr(exporters, "export", lambda predictor, directory, notes: predictors.append(predictor) or ("", False))
    monkeypatch.setattr(versions, "note", lambda path, record: None)
    predictors = []
    for _ in range(2):  # The second time there is nothing to train, but the end.
        experiment(q_model_fn(), eval_env=ScheduleEnv(), train_timesteps=12, exporters=[Noting("mine")]).train_and_evaluate()
    assert offered == [("mine", 5, False), ("mine", 10, False), ("mine", None, True), ("mine", None, True)]
    assert [predictor.counters["global_timestep"] for predictor in predictors] == [5, 10]


@pytest.mark.slow
def test_exporters_export_what_is_evaluated_while_training(experiment):
    """Evaluations at 5 and 10 of 12 environment steps; the reward is the same in both, so that the first is the best."""
    given = [LatestExporter("latest"), BestExporter("best"), FinalExporter("final")]
    first = experiment(q_model_fn(), eval_env=ScheduleEnv(), train_timesteps=12, exporters=given)
    first.train_and_evaluate()
    steps = {
        each.name: [versions.record_of(path)["identity"]["global_timestep"] for path in exports(first, each.name)]
        for each in given
    }
    assert steps == {"latest": [5, 10, 12], "best": [5], "final": [12]}
    assert versions.record_of(exports(first, "best")[0])["eval_result"]["global_timestep"] == 5
    # A run that has ended exports nothing again; one that goes on does.
    experiment(q_model_fn(), eval_env=ScheduleEnv(), train_timesteps=12, exporters=given).train_and_evaluate()
    assert len(exports(first, "latest")) == 3
    experiment(q_model_fn(), eval_env=ScheduleEnv(), train_timesteps=16, exporters=given).train_and_evaluate()
    assert len(exports(first, "latest")) == 5
    assert len(exports(first, "best")) == 1


@pytest.mark.parametrize(
    ("wrong", "error"),
    [("best", TypeError), ([BestExporter], TypeError), ([BestExporter("a"), FinalExporter("a")], ValueError)],
)
def test_wrong_exporters_are_refused(experiment, wrong, error):
    with pytest.raises(error, match="exporters"):
        experiment(exporters=wrong)


def test_serve_exports_if_there_is_nothing_and_answers_until_a_signal(trained, caplog):
    caplog.set_level(logging.INFO, "polyrl")
    answers = []

    def ask():
        deadline = time.monotonic() + 60
        while (found := re.search(r"http://127.0.0.1:(\d+)/v1/models/policy", caplog.text)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
        connection.request("POST", "/v1/models/policy:predict", json.dumps({"instances": [[0.0, 1.0, 2.0, 3.0]]}))
        answers.append(json.loads(connection.getresponse().read()))
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=ask)
    thread.start()
    experiment = trained(serving=Serving(port=0))
    experiment.serve()
    thread.join()
    (row,) = answers[0]["predictions"]
    expected = experiment.agent.predictor("best").predictions([[0.0, 1.0, 2.0, 3.0]])
    np.testing.assert_allclose(row["q"], expected["q"][0], rtol=1e-5, atol=1e-6)
    assert row["action"] == int(expected["q"][0].argmax())
    assert len(exports(experiment, "policy")) == 1


@pytest.mark.slow
def test_the_programs_export_and_serve(tmp_path):
    def start(*flags):
        command = [sys.executable, str(ROOT / "experiments" / "cartpole_c51.py"), f"--model_dir={tmp_path / 'run'}", *flags]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)

    tiny = ("--jit=off", "--noprogress", "--train_timesteps=300", "--first_update=100", "--update_frequency=8")
    assert start(*tiny, "--mode=train").wait(200) == 0
    assert "Exported" in start("--mode=export").communicate(timeout=200)[0]
    server = start("--mode=serve", "--port=0", "--model_name=cartpole")
    for line in server.stdout:
        if found := re.search(r"Ready: http://127.0.0.1:(\d+)/v1/models/cartpole", line):
            break
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
    connection.request("POST", "/v1/models/cartpole:predict", json.dumps({"inputs": [[0.0, 0.1, 0.2, 0.3]]}))
    outputs = json.loads(connection.getresponse().read())["outputs"]
    assert {name: np.shape(value) for name, value in outputs.items()} == {
        "action": (1,),
        "q": (1, 2),
        "probabilities": (1, 2, 51),
        "support": (1, 51),
    }
    server.send_signal(signal.SIGINT)
    assert server.communicate(timeout=60)[0].endswith("Ended.\n")
    assert server.returncode == 0
