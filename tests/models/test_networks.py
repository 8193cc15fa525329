"""The networks of a Q model: when they are created, and what the graph function must return."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.configs import ConstantExplorationConfig
from polyrl.models import (
    CategoricalDQNModel,
    DQNModel,
    QModelSpec,
)
from polyrl.networks import mlp

layers = tf_keras.layers
MODES = pytest.mark.parametrize("mode", ["train", "eval", "infer"])


@pytest.mark.default_cases(11)
@pytest.mark.parametrize("as_arrays", [False, True])
@pytest.mark.parametrize("use_target_graph", [True, False])
@MODES
def test_call_graph_fn_alone_creates_the_networks_and_returns_actions(
    kind, scope, networks, mode, use_target_graph, as_arrays
):
    exploration = ConstantExplorationConfig(0.0)
    model = kind(mode, scope, use_target_graph=use_target_graph, exploration_config=exploration)
    state = np.random.default_rng(0).normal(size=[7, 4]).astype(np.float32)
    actions = model._call_graph_fn({"state": state if as_arrays else tf.constant(state)})
    assert set(scope.parts) == {"Model/online", *(["Model/target"] if use_target_graph else [])}
    np.testing.assert_array_equal(actions, np.argmax(networks.online({"state": tf.constant(state)}).q, axis=1))
    assert actions.dtype == tf.int32


def test_call_graph_fn_takes_a_bare_state_too(dqn, scope):
    state = tf.random.stateless_normal([5, 4], [0, 1])
    model = dqn("eval", scope, graph_fn=lambda mode, inputs: inputs)
    np.testing.assert_array_equal(model._call_graph_fn(state), model(state).predictions["results"])


NO_SPECS = {
    "a tensor": lambda inputs: inputs["state"],
    "a tuple": lambda inputs: (inputs["state"],) * 4,
    "a dict": lambda inputs: {"q": inputs["state"]},
    "nothing": lambda inputs: None,
}


@pytest.mark.parametrize("columns", [2, 4])
@MODES
def test_a_graph_whose_values_are_not_one_for_each_action_is_refused(scope, batch, mode, columns):
    class Wrong(DQNModel):
        def _build_graph_fn(self):
            return lambda mode, inputs: QModelSpec(None, None, None, layers.Dense(columns)(inputs["state"]))

    with scope.active():
        model = Wrong(mode, mlp([4]), 4, 3)
    with pytest.raises(ValueError, match=rf"has q \(6, {columns}\); expected \[B, num_actions\], with num_actions=3"):
        model(batch()[0])


@MODES
@pytest.mark.parametrize("given", NO_SPECS)
def test_a_graph_that_gives_no_q_model_spec_is_a_type_error(scope, batch, mode, given):
    class Wrong(DQNModel):
        def _build_graph_fn(self):
            return lambda mode, inputs: NO_SPECS[given](inputs)

    with scope.active():
        model = Wrong(mode, mlp([4]), 4, 3)
    with pytest.raises(TypeError, match=r"_build_graph_fn.* must return a QModelSpec, got "):
        model(batch()[0])
    assert not scope.parts


@pytest.mark.parametrize("returned", [None, QModelSpec(1, 2, 3, 4)])
def test_build_graph_fn_must_return_a_function(scope, batch, returned):
    class Wrong(DQNModel):
        def _build_graph_fn(self):
            return returned

    with scope.active():
        model = Wrong("train", mlp([4]), 4, 3)
    with pytest.raises(TypeError, match=r"_build_graph_fn must return a function of \(mode, inputs\), got "):
        model(batch()[0])


@pytest.mark.parametrize("model_class", [DQNModel, CategoricalDQNModel])
def test_a_spec_without_what_the_model_needs_is_refused_by_its_name(scope, batch, model_class):
    name = "q" if model_class is DQNModel else "logits"

    class Wrong(model_class):
        def _build_graph_fn(self):
            def graph(mode, inputs):
                x = layers.Dense(3)(inputs["state"])
                return QModelSpec(x, x, x, x, x)._replace(**{name: None})

            return graph

    with scope.active():
        model = Wrong("train", mlp([4]), 4, 3)
    with pytest.raises(ValueError, match=rf"QModelSpec of this model must have .*; \['{name}'\] are None"):
        model(*batch())


@MODES
def test_a_spec_may_hold_the_values_alone(scope, batch, mode):
    class Bare(DQNModel):
        def _build_graph_fn(self):
            return lambda mode, inputs: QModelSpec(None, None, None, layers.Dense(3)(inputs["state"]))

    features, labels = batch()
    with scope.active():
        model = Bare(mode, mlp([4]), 4, 3)
    predictions = model(features).predictions
    assert set(predictions) == {"results", "q"}
    if mode == "train":
        assert "td_error" in model(features, labels).predictions
