"""What docs/serving.md shows runs as it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tensorflow as tf
from tiny_agents import make_agent, q_model_fn

from polyrl.estimators.exporters import BestExporter, FinalExporter, LatestExporter
from polyrl.serving.requests import RequestError, arrays, parsed
from polyrl.serving.served_model import ServedModel
from polyrl.serving.server import ModelServer, serving

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text()
EXPERIMENT, CLIENT, EXPORTERS, ONNX = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
PARTS = {
    "state": tf.TensorSpec([None, 2], tf.float32),
    "goal": tf.TensorSpec([None, 1], tf.float32),
    "action_mask": tf.TensorSpec([None, 3], tf.bool),
}
URL = "http://127.0.0.1:8501/v1/models/policy:predict"


class Balancing(tf.Module):
    """Goes where the pole leans to, as an export of CartPole would."""

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "state")])
    def greedy(self, state):
        return {"action": tf.cast(state[:, 1] > 0.0, tf.int32), "q": state[:, :2]}

    @tf.function(
        input_signature=[tf.TensorSpec([None, 4], tf.float32, "observation_state"), tf.TensorSpec([2], tf.int32, "seed")]
    )
    def act(self, observation_state, seed):
        return {"action": tf.cast(observation_state[:, 1] > 0.0, tf.int32) + 0 * seed[0]}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    module, path = Balancing(), tmp_path_factory.mktemp("policy") / "1"
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.greedy, "action": module.act})
    return ServedModel("policy", path)


@pytest.mark.slow
def test_an_agent_without_flags_is_exported_as_on_the_page(tmp_path):
    agent = make_agent(q_model_fn("dqn", num_actions=2), model_dir=tmp_path)
    agent.train("CartPole-v1", timesteps=30, first_update=20)
    exec(EXPERIMENT, scope := {"agent": agent, "env": "CartPole-v1"})
    assert (scope["path"] / "saved_model.pb").is_file()


def test_the_client_on_the_page(model, capsys):
    server = ModelServer(model, port=0)
    assert URL in CLIENT
    with serving(server):
        exec(CLIENT.replace(":8501", f":{server.server_port}"), {})
    assert capsys.readouterr().out == "[1, 0]\n"


def test_the_requests_on_the_page(model):
    bodies = re.findall(r"curl -d '(.*?)'", PAGE)
    answers = [json.loads(model.predict(body.encode())) for body in bodies[:2]]
    assert [row["action"] for row in answers[0]["predictions"]] == [1, 0]
    assert answers[1] == {"outputs": [1]}
    (masked,) = bodies[2:]
    given = arrays(parsed(masked.encode()), PARTS)
    assert given["action_mask"].tolist() == [[True, True, False]]
    with pytest.raises(RequestError, match="action_mask: got integers; expected true and false of shape"):
        arrays(parsed(masked.replace("true", "1").replace("false", "0").encode()), PARTS)


def test_the_exporters_on_the_page():
    scope = {}
    exec(EXPORTERS, scope)
    assert [type(each) for each in scope["exporters"]] == [BestExporter, LatestExporter, FinalExporter]
    compile(ONNX, "page", "exec")
