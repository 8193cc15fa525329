"""What the steps of the template pass on, and what a subclass has to know: nothing but its arguments."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl import ops
from polyrl.configs import MeanSquaredErrorConfig
from polyrl.models import (
    BaseModel,
    BaseQModel,
    Batch,
    DDQNModel,
    DQNModel,
    Forward,
    ModelCall,
)
from polyrl.networks import mlp
from polyrl.summaries import Summaries

layers = tf_keras.layers
MODES = pytest.mark.parametrize("mode", ["train", "eval", "infer"])


# What a call has at hand ----------------------------------------------------------------------------------------------


@MODES
def test_there_is_no_current_call_outside_of_a_call(kind, scope, batch, mode):
    model = kind(mode, scope)
    words = rf"{type(model).__name__}\.current_call exists only while the model is called"
    for _ in range(2):
        with pytest.raises(RuntimeError, match=words):
            _ = model.current_call
        model(batch()[0])


def test_there_is_none_after_a_call_that_failed_either(scope, batch):
    class Failing(DQNModel):
        def _build_loss(self, results, features, labels):
            raise ArithmeticError

    with scope.active():
        model = Failing("train", mlp([4]), 4, 3)
    with pytest.raises(ArithmeticError):
        model(*batch())
    with pytest.raises(RuntimeError, match="current_call"):
        _ = model.current_call


def test_the_current_call_has_what_has_been_computed_so_far(scope, batch):
    seen: dict[str, ModelCall] = {}

    class Looking(DQNModel):
        def _build_loss(self, results, features, labels):
            call = self.current_call
            seen["loss"] = call
            assert call.features is features
            assert call.labels is labels
            assert not call.acting
            assert call.online.q.shape == (6, 3)
            assert (call.loss_output, call.gradients) == (None, None)
            return super()._build_loss(results, features, labels)

        def _build_train_op(self, loss):
            call = self.current_call
            assert call is seen["loss"]
            assert call.loss_output.td_error.shape == (6,)
            kernel = self._trainable_variables()[0]
            seen["gradient"] = call.tape.gradient(loss, [kernel])[0]
            return lambda: tf.constant(0)

    with scope.active():
        Looking("train", mlp([4]), 4, 3, summaries=[])(*batch())
    assert np.any(seen["gradient"].numpy())


@pytest.mark.parametrize("given", [1, 2])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_only_an_update_has_a_tape(scope, batch, mode, given):
    tapes = []

    class Looking(DQNModel):
        def _build_predictions(self, results, features, labels):
            tapes.append(self.current_call.tape)
            return super()._build_predictions(results, features, labels)

    with scope.active():
        Looking(mode, mlp([4]), 4, 3)(*batch()[:given])
    assert (tapes[0] is not None) == (mode == "train" and given == 2)


# A new algorithm ------------------------------------------------------------------------------------------------------


class ExpectedSarsa(BaseQModel):
    """The value of the next state is that of a softmax policy over the target network's values."""

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        next_q = forward.next_target.q
        value = tf.reduce_sum(tf.nn.softmax(next_q / 0.3) * next_q, axis=1)
        loss_fn = self.loss_config.build()
        return ops.td_loss(forward.online.q, batch.action, batch.reward, batch.discount, value, loss_fn)


class Munchausen(BaseQModel):
    """Vieillard et al. (2020)."""

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        log_pi = tf.nn.log_softmax(forward.online.q / 0.1)
        bonus = 0.9 * tf.clip_by_value(0.1 * tf.gather(log_pi, batch.action, batch_dims=1), -1.0, 0.0)
        log_next = tf.nn.log_softmax(forward.next_target.q / 0.1)
        value = tf.reduce_sum(tf.exp(log_next) * (forward.next_target.q - 0.1 * log_next), axis=1)
        loss_fn = self.loss_config.build()
        return ops.td_loss(forward.online.q, batch.action, batch.reward + bonus, batch.discount, value, loss_fn)


def softmax(x):
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def taken(values, action):
    return np.take_along_axis(values, action[:, None], 1)[:, 0]


def expected_sarsa(q, next_q, action):
    return 0.0, np.sum(softmax(next_q / 0.3) * next_q, axis=1)


def munchausen(q, next_q, action):
    q, next_q = np.float64(q), np.float64(next_q)
    pi = softmax(next_q / 0.1)
    bonus = 0.9 * np.clip(0.1 * np.log(taken(softmax(q / 0.1), action)), -1.0, 0.0)
    return bonus, np.sum(pi * next_q - 0.1 * pi * np.log(np.maximum(pi, 1e-300)), axis=1)


@pytest.mark.parametrize(("model_class", "formula"), [(ExpectedSarsa, expected_sarsa), (Munchausen, munchausen)])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_td_loss_alone_is_a_new_algorithm(scope, batch, networks, mode, model_class, formula):
    features, labels = batch(weights=np.array([1.0, 0.5, 2.0, 0.0, 1.0, 1.0], np.float32))
    with scope.active():
        model = model_class(mode, mlp([8]), 4, 3, MeanSquaredErrorConfig(), discount=0.9)
    model(features)
    networks.perturb_target()
    q = networks.online(features).q.numpy()
    next_q = networks.target({"state": labels["next_state"]}).q.numpy()
    action, reward, done, weights = (labels[key].numpy() for key in ("action", "reward", "done", "weights"))
    bonus, value = formula(q, next_q, action)
    target = reward + bonus + 0.9 * (1.0 - done) * value
    spec = model(features, labels)
    losses = np.square(target - taken(q, action))
    np.testing.assert_allclose(spec.predictions["losses"], losses, rtol=1e-4)
    np.testing.assert_allclose(spec.loss, np.mean(weights * losses), rtol=1e-4)
    if mode == "train":
        before = networks.trained()
        spec.train_op()
        assert any(not np.array_equal(old, new) for old, new in zip(before, networks.trained(), strict=True))
        np.testing.assert_allclose(spec.extra_ops["priorities"], np.abs(target - taken(q, action)), rtol=1e-4)


def test_the_records_hold_what_they_say(scope, batch, networks):
    """Without a target network the online one stands in for it."""
    seen: list[tuple[Batch, Forward]] = []

    class Looking(DDQNModel):
        def _build_td_loss(self, batch, forward):
            seen.append((batch, forward))
            return super()._build_td_loss(batch, forward)

    features, labels = batch()
    with scope.active():
        model = Looking("eval", mlp([8]), 4, 3, discount=0.5)
    model(features)
    networks.perturb_target()
    model(features, labels)
    Looking("eval", mlp([8]), 4, 3, use_target_graph=False)(features, labels)
    (given, forward), (_, alone) = seen
    np.testing.assert_array_equal(given.inputs["state"], features["state"])
    np.testing.assert_array_equal(given.next_inputs["state"], labels["next_state"])
    np.testing.assert_array_equal(given.discount, 0.5 * (1.0 - labels["done"]))
    assert (given.mask, given.next_mask, given.weights, given.expert) == (None, None, None, None)
    np.testing.assert_array_equal(forward.online.q, networks.online(features).q)
    np.testing.assert_array_equal(forward.next_online.q, networks.online({"state": labels["next_state"]}).q)
    np.testing.assert_array_equal(forward.next_target.q, networks.target({"state": labels["next_state"]}).q)
    assert alone.next_target is alone.next_online


# The two levels -------------------------------------------------------------------------------------------------------


def test_base_model_names_the_steps_and_leaves_them_to_its_subclasses():
    assert BaseQModel.__mro__[2] is BaseModel  # Between them are the arguments alone.
    with pytest.raises(NotImplementedError):
        BaseModel("infer", lambda mode, inputs: inputs)(tf.zeros([1, 2]))


@pytest.mark.slow
def test_a_model_of_another_family_needs_the_steps_alone(scope):
    """Least squares, with a variable of the scope."""

    class LeastSquares(BaseModel):
        def _kernel(self):
            return self._part("kernel", lambda: tf.Variable(tf.zeros([2, 1])))

        def _trainable_variables(self):
            return [self._kernel()]

        def _call_graph_fn(self, inputs):
            return (inputs @ self._kernel().read_value())[:, 0]

        def _build_loss(self, results, features, labels):
            losses = tf.square(results - labels["y"])
            return losses, tf.reduce_mean(losses)

        def _build_summary_op(self, results, features, labels):
            return Summaries.empty()

    x = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    labels = {"y": tf.constant([1.0, 2.0, 3.0])}
    with scope.active():
        losses = []
        for _ in range(100):
            spec = LeastSquares("train", lambda mode, inputs: inputs, clip_gradients=None)(x, labels)
            spec.train_op()
            losses.append(float(spec.loss))
    assert losses[-1] < 0.9 * losses[0]
    assert scope.global_step.numpy() == 100


@pytest.mark.parametrize("returned", [None, tf.zeros([3]), (tf.zeros([3]), tf.zeros([3]))], ids=["None", "loss", "two"])
def test_a_loss_that_is_not_a_loss_output_is_refused_with_what_to_return(dqn, scope, batch, returned):
    model = dqn("train", scope)
    model._build_td_loss = lambda batch, forward: returned
    with pytest.raises(TypeError, match=r"must return a polyrl.ops.LossOutput\(loss, target, td_error, prediction\)"):
        model(*batch())
