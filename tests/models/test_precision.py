"""Precision policies of tf-keras: the torso computes as they say, heads and losses in float32, and all is trained."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from naf_models import K
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

from polyrl.models import DQNModel, NAFModel, Scope

layers = tf_keras.layers
COMPUTED = {"mixed_float16": tf.float16, "mixed_bfloat16": tf.bfloat16, "float64": tf.float64}


@pytest.fixture(params=COMPUTED)
def policy(request):
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(request.param)
    yield request.param
    tf_keras.mixed_precision.set_global_policy(before)


def torso(mode, inputs):
    x = layers.Dense(8, "relu", kernel_regularizer="l2")(inputs["state"])
    return layers.Dense(5)(layers.BatchNormalization()(x))


@pytest.mark.default_cases(2)
def test_the_torso_computes_as_the_policy_says_and_the_heads_in_float32(kind, scope, batch, networks, policy):
    seen = []

    def watched(mode, inputs):
        outputs = torso(mode, inputs)
        seen.append(outputs.dtype)
        return outputs

    spec = kind("train", scope, graph_fn=watched, summaries="all")(*batch())
    assert set(seen) == {COMPUTED[policy]}
    floats = {k: v.dtype for k, v in spec.predictions.items() if v.dtype.is_floating}
    assert set(floats.values()) == {tf.float32}
    assert spec.loss.dtype == tf.float32
    before = networks.trained()
    spec.train_op()
    assert all(np.any(old != new) for old, new in zip(before, networks.trained(), strict=True))


@pytest.mark.default_cases(1)
def test_gradients_are_those_of_float32_to_the_precision(dqn, batch, policy):
    def gradients():
        with Scope(seed=0).active():
            model = dqn("train", Scope(seed=0), graph_fn=torso, clip_gradients=0.01)
        features, labels = batch()
        found = []
        original = model._build_summary_op
        model._build_summary_op = lambda *given: found.append(model.current_call.gradients.clipped) or original(*given)
        model(features, labels)
        return [gradient.numpy().astype(np.float64) for gradient in found[0]]

    if policy == "float64":
        pytest.skip("its initial weights are others")
    ours = gradients()
    tf_keras.mixed_precision.set_global_policy("float32")
    for mine, plain in zip(ours, gradients(), strict=True):
        np.testing.assert_allclose(mine, plain, atol=3e-4)


def test_naf_trains_too(policy):
    with Scope(seed=0).active() as scope:
        model = NAFModel("train", torso, 4, K)
        labels = {"action": tf.zeros([2, K]), "reward": tf.ones([2]), "done": tf.zeros([2]), "next_state": tf.ones([2, 4])}
        spec = model({"state": tf.ones([2, 4])}, labels)
        before = [variable.numpy() for variable in scope.parts["Model/online"].model.trainable_variables]
        spec.train_op()
    assert spec.predictions["mean"].dtype == tf.float32
    assert np.any(before[0] != scope.parts["Model/online"].model.trainable_variables[0].numpy())


@pytest.mark.slow
def test_a_run_is_the_same_with_xla_and_without(tmp_path, policy, caplog):
    def values(jit):
        def model_fn(features, labels, mode):
            return DQNModel(mode, torso, 4, 3, clip_gradients=0)(features, labels)

        agent = make_agent(model_fn, model_dir=tmp_path / jit, jit=jit, seed=0)
        agent.train(ScheduleEnv(), max_timesteps=24, first_update=4)
        return next(agent.predict(ScheduleEnv(), steps=1))["q"]

    np.testing.assert_allclose(values("on"), values("off"), rtol=0.1, atol=0.05)
    assert "XLA cannot" not in caplog.text


@pytest.mark.parametrize("name", ["mixed_float16", "float64"])
def test_a_precision_that_was_set_for_keras_3_is_refused(dqn, scope, batch, name):
    keras = pytest.importorskip("keras")
    if name == "float64":
        keras.config.set_floatx(name)
    else:
        keras.config.set_dtype_policy(name)
    try:
        with pytest.raises(
            ValueError, match=rf"Keras 3 is set to compute with {name}, which .* tf-keras, whose policy is float32"
        ):
            dqn("train", scope)(*batch())
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
