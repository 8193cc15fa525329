"""Soft updates of the target network: `target <- (1 - tau) target + tau online` at each due update."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.configs import SGDConfig
from polyrl.models import Scope

layers = tf_keras.layers


class Counting(layers.Layer):
    """Counts its passes in training mode, as a float and as an integer."""

    def build(self, shape):
        self.whole = self.add_weight(name="whole", shape=(), dtype=tf.int64, initializer="zeros", trainable=False)

    def call(self, inputs, training=False):
        if training:
            self.whole.assign_add(1)
        return inputs


def torso(mode, inputs):
    """With variables that are not trained: averages, and an integer."""
    return Counting()(layers.BatchNormalization(momentum=0.5)(layers.Dense(6)(inputs["state"])))


def mixed(old, new, tau):
    """The textbook's line, in float64; integers as they are."""
    return [
        (1.0 - tau) * np.float64(a) + tau * np.float64(b) if a.dtype.kind == "f" else b for a, b in zip(old, new, strict=True)
    ]


MIXTURES = [(0.3, 1), (0.01, 3), (1.0, 3)]


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    ("compiled", "tau", "period"),
    [
        *((how, *mixture) for how in ("eager", "function") for mixture in MIXTURES),
        ("xla", 0.3, 1),
        *(pytest.param("xla", *mixture, marks=pytest.mark.slow) for mixture in MIXTURES[1:]),
    ],
    indirect=["compiled"],
)
def test_each_due_update_mixes_all_variables_of_two_networks_that_differ(dqn, scope, batch, networks, compiled, tau, period):
    model = dqn("train", scope, graph_fn=torso, target_update_frequency=period, target_update_tau=tau)
    update = compiled(lambda features, labels: model(features, labels).train_op())
    model(*batch())
    for variable in networks.target.model.variables:
        variable.assign_add(tf.fill(variable.shape, tf.cast(2, variable.dtype)))
    for step in range(1, 5):
        target = networks.weights("target")
        update(*batch(step))
        expected = mixed(target, networks.weights("online"), tau) if step % period == 0 else target
        for found, wanted in zip(networks.weights("target"), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    kinds = {value.dtype.kind for value in target}
    assert kinds == {"f", "i"}
    assert [value for value in networks.weights("target") if value.dtype.kind == "i"] == [period * (4 // period)]


def test_a_tau_of_one_copies_bit_for_bit_and_is_the_default(dqn, scope, batch, networks, equal):
    model = dqn("train", scope, target_update_frequency=2)
    assert model.target_update_tau == 1.0
    for step in range(2):
        model(*batch(step)).train_op()
    assert equal(networks.weights("target"), networks.weights("online"))


def test_the_bootstrap_is_the_mixed_networks(dqn, scope, batch, networks):
    """By hand: one linear layer without hidden ones, one update, then the target of the next."""
    arguments = {"graph_fn": lambda mode, inputs: layers.Flatten()(inputs["state"]), "dueling": None, "discount": 0.5}
    model = dqn(
        "train", scope, target_update_frequency=1, target_update_tau=0.25, optimizer_config=SGDConfig(0.1), **arguments
    )
    features, labels = batch(done=np.zeros(6, np.float32))
    model(features, labels)
    before = networks.weights("online")
    model(features, labels).train_op()
    kernel, bias = mixed(before, networks.weights("online"), 0.25)
    next_q = labels["next_state"].numpy() @ kernel + bias
    expected = labels["reward"].numpy() + 0.5 * next_q.max(axis=1)
    predictions = model(features, labels).predictions
    taken = predictions["q"].numpy()[np.arange(6), labels["action"].numpy()]
    np.testing.assert_allclose(predictions["td_error"] + taken, expected, rtol=1e-5, atol=1e-5)


def test_a_tau_without_a_target_network_is_refused(kind):
    with pytest.raises(ValueError, match=r"target_update_tau=0\.5 is for a target network"):
        kind("train", use_target_graph=False, target_update_tau=0.5)
    kind("train", use_target_graph=False, target_update_tau=1.0)


def test_a_target_period_of_a_model_without_a_target_is_refused(kind):
    with pytest.raises(ValueError, match=r"target_update_timesteps=9 is for a target network"):
        kind("train", use_target_graph=False, target_update_timesteps=9)
    for wrong in (0, -3, 2.5, True):
        with pytest.raises((TypeError, ValueError), match="target_update_timesteps"):
            kind("train", target_update_timesteps=wrong)


def test_two_target_periods_are_refused(kind):
    """The one in updates was passed over in silence."""
    with pytest.raises(ValueError, match=r"target_update_frequency=9 has no effect with target_update_timesteps=90; give one"):
        kind("train", target_update_frequency=9, target_update_timesteps=90)
    assert kind("train", target_update_timesteps=90).target_update_timesteps == 90


@pytest.mark.slow
def test_soft_updates_resume_from_a_checkpoint_bit_for_bit(tmp_path, dqn, batch, networks_of):
    def go_on(scope, seeds):
        model = dqn("train", scope, graph_fn=torso, target_update_frequency=2, target_update_tau=0.1)
        for seed in seeds:
            model(*batch(seed)).train_op()

    straight, resumed = Scope(seed=1), Scope(seed=7)
    go_on(straight, range(3))
    path = tf.train.Checkpoint(scope=straight).save(str(tmp_path / "ckpt"))
    go_on(straight, range(3, 7))
    go_on(resumed, [5])
    tf.train.Checkpoint(scope=resumed).restore(path).assert_existing_objects_matched()
    go_on(resumed, range(3, 7))
    for first, second in zip(networks_of(straight).everything(), networks_of(resumed).everything(), strict=True):
        np.testing.assert_array_equal(first, second)
