"""Variables that a graph function uses and the network does not own are refused, with their names and what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.models import QModelSpec, QNetwork, Scope

layers = tf_keras.layers


class Holder(layers.Layer):
    """A layer of tf-keras that holds one of Keras 3."""

    def __init__(self):
        super().__init__()
        self.held = tf.keras.layers.Dense(8, "relu")

    def call(self, inputs):
        return self.held(inputs)


class Kernel(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(tf.ones([4, 8]), name="own_kernel")

    def __call__(self, inputs):
        return inputs @ self.kernel


class Owner(layers.Layer):
    """A layer whose attributes are a variable, and a module that has one."""

    def __init__(self):
        super().__init__()
        self.module, self.scale = Kernel(), tf.Variable(tf.ones([8]))

    def call(self, inputs):
        return self.module(inputs) * self.scale


def keras3_functional(x):
    symbolic = tf.keras.Input((4,))
    return tf.keras.Model(symbolic, tf.keras.layers.Dense(8)(symbolic))(x)


def keras3_in_lambda(x):
    dense = tf.keras.layers.Dense(8)
    dense.build((None, 4))
    return layers.Lambda(lambda inputs: dense(inputs))(x)


KERAS3 = {
    "layer": (lambda x: tf.keras.layers.Dense(8, "relu")(x), "dense/kernel"),
    "sequential": (lambda x: tf.keras.Sequential([tf.keras.layers.Dense(8)])(x), "dense/kernel"),
    "functional": (keras3_functional, "dense/kernel"),
    "inside a layer": (lambda x: Holder()(x), "dense/kernel"),
    "in a lambda": (keras3_in_lambda, "dense/kernel"),
    "averages": (lambda x: tf.keras.layers.BatchNormalization()(layers.Dense(8)(x)), "moving_mean"),
    # Without weights, but without effect too: tf-keras cannot tell it when the network trains.
    "dropout": (lambda x: tf.keras.layers.Dropout(0.5)(layers.Dense(8)(x)), "seed_generator_state"),
}


@pytest.mark.parametrize("name", KERAS3)
@pytest.mark.parametrize("use_target_graph", [True, False])
def test_layers_of_keras_3_are_refused_by_the_names_of_their_variables(dqn, batch, name, use_target_graph):
    torso, variable = KERAS3[name]
    model = dqn(graph_fn=lambda mode, inputs: torso(inputs["state"]), use_target_graph=use_target_graph)
    with pytest.raises(ValueError, match=rf"(?s)Keras 3.*{variable}.*import tf_keras as keras.*TF_USE_LEGACY_KERAS=1"):
        model(batch()[0])


def own_constant(x):
    """The product is computed before the network exists, and lies in it as a constant."""
    return x @ (2.0 * tf.Variable(tf.ones([4, 8]), name="own_kernel"))


def own_constant_in_lambda(x):
    doubled = 2.0 * tf.Variable(tf.ones([4, 8]), name="own_kernel")
    return layers.Lambda(lambda inputs: inputs @ doubled)(x)


OWN = {
    "variable": lambda x: x @ tf.Variable(tf.ones([4, 8]), name="own_kernel"),
    "module": lambda x: Kernel()(x),
    "constant": own_constant,
    "constant in a lambda": own_constant_in_lambda,
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("use_target_graph", [True, False])
def test_bare_variables_are_refused_by_name(head_kind, batch, name, use_target_graph):
    model = head_kind(graph_fn=lambda mode, inputs: OWN[name](inputs["state"]), use_target_graph=use_target_graph)
    words = r"does not track.*: own_kernel \(4, 8\) float32\. .*attribute of that layer.*import tf_keras as keras"
    with pytest.raises(ValueError, match=words):
        model(batch()[0])


def test_variables_from_outside_are_refused_also_those_that_do_not_train(dqn, batch):
    kernel = tf.Variable(tf.ones([4, 8]), trainable=False, name="frozen")
    dense = tf.keras.layers.Dense(8)
    dense.build((None, 4))
    for torso, variable in ((lambda x: x @ kernel, "frozen"), (lambda x: dense(x), "kernel")):
        model = dqn(graph_fn=lambda mode, inputs, torso=torso: torso(inputs["state"]))
        with pytest.raises(ValueError, match=rf"does not track.*{variable} \(4, 8\) float32.*TF_USE_LEGACY_KERAS"):
            model(batch()[0])


@pytest.mark.parametrize("use_target_graph", [True, False])
@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_layer_made_outside_is_refused_also_without_a_second_network(dqn, batch, use_target_graph, built, wrapped):
    """A predictor in the same process would share it too."""
    dense = layers.Dense(3)  # As wide as the heads: the shapes tell nothing.
    if built or wrapped:
        dense.build((None, 4))
    torso = layers.Lambda(lambda x: dense(x)) if wrapped else dense
    model = dqn(graph_fn=lambda mode, inputs: torso(inputs["state"]), use_target_graph=use_target_graph)
    words = "does not track.*kernel" if wrapped else r"must create its layers inside.*kernel \(4, 3\)"
    with pytest.raises(ValueError, match=words):
        model(batch()[0])


def dropped(x):
    """Makes a layer whose output nobody uses."""
    layers.Dense(5)(x)
    return layers.Dense(8)(x)


def tied(x):
    dense = layers.Dense(8)
    return dense(x) @ tf.transpose(dense.kernel)


ACCEPTED = {
    "attributes": (lambda x: Owner()(x), 2),
    "dropped": (dropped, 2),
    "tied": (tied, 2),
    "random state": (lambda x: layers.Dense(8)(layers.Dropout(0.5)(x)), 2),
    "keras 3 without variables": (lambda x: tf.keras.layers.ReLU()(layers.Dense(8)(x)), 2),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_variables_that_the_network_tracks_are_trained(dqn, scope, batch, networks, name):
    torso, count = ACCEPTED[name]
    model = dqn("train", scope, graph_fn=lambda mode, inputs: torso(inputs["state"]), dueling=None)
    spec = model(*batch())
    before = networks.trained()
    spec.train_op()
    assert len(before) == count + 2
    assert all(np.any(old != new) for old, new in zip(before, networks.trained(), strict=True))


def test_looking_for_variables_changes_none_of_them(dqn, scope, batch, networks):
    """A network is tried on zeros only where it reads something strange; batch normalisation would notice."""
    elsewhere = tf.Variable(1.0)

    def graph(mode, inputs):
        _ = elsewhere + 1.0
        return QModelSpec(None, None, None, layers.BatchNormalization()(inputs + 1.0, training=True))

    network = QNetwork(graph, tf.TensorSpec([None, 4]), seed=0, name="tried")
    mean = network.labelled_variables()["batch_normalization/moving_mean"]
    np.testing.assert_array_equal(mean.numpy(), np.zeros(4))


def test_the_message_is_one_line(dqn, batch):
    with pytest.raises(ValueError, match="Keras 3") as raised:
        dqn("train", Scope(), graph_fn=lambda mode, inputs: Holder()(inputs["state"]))(batch()[0])
    assert not re.search(r"\n", str(raised.value))
