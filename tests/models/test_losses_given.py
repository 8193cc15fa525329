"""Losses, steps and graph functions of one's own that would train something else than they say."""

from __future__ import annotations

import pytest
import tensorflow as tf
from override_runs import run, subclass

from polyrl import ops
from polyrl.models import DQNModel


def loss_of(**changes):
    """A `_build_td_loss` that regresses on rewards; `changes` are functions of the batch and the predictions."""

    def _build_td_loss(self, batch, forward):
        prediction = forward.online.q[:, 0]
        error = batch.reward - prediction
        parts = {"loss": tf.square(error), "target": batch.reward, "td_error": error, "prediction": prediction}
        return ops.LossOutput(**parts | {name: change(batch, forward.online.q[:, :1]) for name, change in changes.items()})

    return subclass(DQNModel, _build_td_loss=_build_td_loss)


SHAPES = {
    "scalar": lambda batch, q: tf.reduce_mean(tf.square(batch.reward - q[:, 0])),
    "column": lambda batch, q: tf.square(batch.reward[:, tf.newaxis] - q),
    "square": lambda batch, q: tf.square(batch.reward - q),
}


@pytest.mark.slow
def test_a_loss_of_one_number_for_each_transition_trains():
    run(loss_of(), "off")


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("part", ["loss", "td_error"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_loss_of_another_shape_is_refused(part, shape):
    """`[B]` less `[B, 1]` is `[B, B]`: its mean is a loss, but not that of the transitions."""
    with pytest.raises(ValueError, match=f"_build_td_loss: {part} must be one number for each transition"):
        run(loss_of(**{part: SHAPES[shape]}), "off")


def test_a_loss_of_integers_is_refused():
    with pytest.raises(TypeError, match="_build_td_loss: loss must be floats, got int32"):
        run(loss_of(loss=lambda batch, q: tf.cast(batch.reward, tf.int32)), "off")


@pytest.mark.parametrize("jit", ["off", "on"])
def test_a_loss_that_depends_on_no_weight_is_refused(jit):
    with pytest.raises(ValueError, match="depends on no variable of the network, so that there is nothing to learn"):
        run(loss_of(loss=lambda batch, q: tf.square(batch.reward - tf.stop_gradient(q[:, 0]))), jit)


def test_steps_that_return_no_pair_are_named():
    with pytest.raises(TypeError, match=r"_preprocess must return \(features, labels\), got None"):
        run(subclass(DQNModel, _preprocess=lambda self, features, labels: None), "off")
    with pytest.raises(TypeError, match=r"_build_loss must return \(losses, loss\), got <tf.Tensor"):
        run(subclass(DQNModel, _build_loss=lambda self, results, features, labels: tf.constant(0.0)), "off")


@pytest.mark.slow
def test_no_extra_ops_are_none():
    run(subclass(DQNModel, _build_extra_ops=lambda self, results, features, labels: None), "off")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda actions: tf.cast(actions, tf.float32), "predictions\\['results'\\] are float32"),
        (lambda actions: actions[:, tf.newaxis], "predictions\\['results'\\] are int32"),
        (lambda actions: actions + 7, "The model gave the actions .* there are those from 0 to 2"),
    ],
)
def test_actions_that_are_none_of_the_environment_are_refused(change, message):
    def _build_actions(self):
        return change(tf.fill(tf.shape(self.current_call.online.q)[:1], 1))

    with pytest.raises((TypeError, ValueError), match=message):
        run(subclass(DQNModel, _build_actions=_build_actions), "off")


@pytest.mark.parametrize("graph_fn", [lambda inputs: inputs, lambda inputs, mode: inputs, lambda mode, inputs, more: inputs])
def test_a_graph_fn_that_takes_other_arguments_is_refused(graph_fn):
    with pytest.raises(TypeError, match=r"graph_fn is called by position as graph_fn\(mode, inputs\); this one takes \("):
        DQNModel("train", graph_fn, 4, 2)


@pytest.mark.parametrize(("name", "meant"), [("_build_tdloss", "_build_td_loss"), ("_build_action", "_build_actions")])
def test_a_method_with_almost_the_name_of_a_step_is_warned_of(name, meant, caplog):
    type("Mine", (DQNModel,), {name: lambda self: None})
    assert f"Mine.{name} is called by none of polyrl's methods. Did you mean '{meant}'" in caplog.text


@pytest.mark.parametrize("name", ["_build_td_loss", "_build_prior", "_helper", "temperature_of"])
def test_other_methods_are_not_warned_of(name, caplog):
    type("Mine", (DQNModel,), {name: lambda self: None})
    assert not caplog.text
