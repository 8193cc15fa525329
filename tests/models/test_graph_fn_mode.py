"""`graph_fn` is called with the model's mode: it may act on it, as long as it builds the same variables in each."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

from polyrl.models import CategoricalDQNModel, DQNModel, NAFModel, QNetwork, Scope

layers = tf_keras.layers
MODES = ("train", "eval", "infer")


# What depends on the mode ---------------------------------------------------------------------------------------------


def told(mode, inputs):
    """Dropout that is told."""
    return layers.Dropout(0.5)(layers.Dense(6)(inputs["state"]), training=mode == "train")


def function(mode, inputs):
    """Dropout by a function."""
    x = layers.Dense(6)(inputs["state"])
    if mode == "train":
        x = tf.nn.dropout(x, 0.5)
    return x


def layer(mode, inputs):
    """A layer, with a random generator of its own, in one mode alone."""
    x = layers.Dense(6)(inputs["state"])
    if mode == "train":
        x = layers.Dropout(0.5)(x)
    return x


def noise(mode, inputs):
    """Layers without weights of any kind, on both sides of those with weights."""
    x = inputs["state"]
    if mode == "train":
        x = layers.GaussianNoise(1.0)(x, training=True)
    x = layers.Dense(6)(x)
    return x + tf.random.normal(tf.shape(x)) if mode == "train" else x


TORSOS = pytest.mark.parametrize("torso", [told, function, layer, noise], ids=lambda torso: torso.__name__)


def plain(network: QNetwork, state: tf.Tensor | np.ndarray) -> np.ndarray:
    """The values that the weights give, `Q = A`."""
    kernel, bias, head, head_bias = (variable.numpy() for variable in network.model.trainable_variables)
    return (np.asarray(state) @ kernel + bias) @ head + head_bias


@TORSOS
def test_what_is_for_training_does_nothing_in_eval_and_infer(dqn, scope, batch, networks, torso):
    features, labels = batch()
    given = {"graph_fn": torso, "dueling": None}
    dqn("train", scope, **given)(features, labels).train_op()
    expected = plain(networks.online, features["state"])
    for mode in ("eval", "infer"):
        for _ in range(2):
            q = dqn(mode, scope, **given)(features).predictions["q"]
            np.testing.assert_allclose(q, expected, rtol=1e-5, atol=1e-6)


@TORSOS
def test_evaluation_bootstraps_without_it(dqn, scope, batch, networks, torso):
    features, labels = batch()
    dqn("train", scope, graph_fn=torso, dueling=None)(features, labels)
    networks.perturb_target()
    model = dqn("eval", scope, graph_fn=torso, dueling=None)
    target = labels["reward"] + model.discount * (1 - labels["done"]) * plain(networks.target, labels["next_state"]).max(1)
    value = np.take_along_axis(plain(networks.online, features["state"]), labels["action"][:, None].numpy(), 1)[:, 0]
    for _ in range(2):
        np.testing.assert_allclose(model(features, labels).predictions["td_error"], target - value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("torso", [function, layer], ids=lambda torso: torso.__name__)
def test_it_does_something_in_the_updates(dqn, scope, batch, torso):
    losses = {float(dqn("train", scope, graph_fn=torso)(*batch()).loss) for _ in range(4)}
    assert len(losses) == 4


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
@TORSOS
def test_a_trained_agent_and_its_predictor_act_by_the_weights(tmp_path, torso, jit):
    def model_fn(features, labels, mode):
        return DQNModel(mode, torso, 4, 3, dueling=None, summaries=[])(features, labels)

    agent = make_agent(model_fn, model_dir=tmp_path, jit=jit)
    agent.train(ScheduleEnv(), first_update=4, timesteps=12)
    states = np.random.default_rng(0).normal(size=[20, 4]).astype(np.float32)
    expected = np.argmax(plain(agent._scope.parts["Model/online"], states), axis=1)
    predictor = agent.predictor()
    for _ in range(2):
        np.testing.assert_array_equal(agent.act(states), expected)
        np.testing.assert_array_equal(predictor.act(states), expected)
    losses = {agent.evaluate(ScheduleEnv(lengths=[2]), episodes=2)["loss"] for _ in range(3)}
    assert len(losses) == 1


def test_the_mode_is_the_models(batch, scope, dqn):
    """A sign is enough to see which graph ran."""
    signs = {"train": 1.0, "eval": 10.0, "infer": 100.0}

    def torso(mode, inputs):
        return signs[mode] * inputs["state"]

    features, labels = batch()
    for mode in MODES:
        outputs = dqn(mode, scope, graph_fn=torso)(features).predictions["graph_results"]
        np.testing.assert_allclose(outputs, signs[mode] * features["state"])
    predictions = dqn("eval", scope, graph_fn=torso)(features, labels).predictions
    np.testing.assert_allclose(predictions["graph_results"], 10.0 * features["state"])


# What is built in each mode -------------------------------------------------------------------------------------------


class Scaled(layers.Layer):
    """Variables made in every way that there is."""

    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(2.0)
        self.calls = tf.Variable(3, dtype=tf.int64, trainable=False)
        self.named = tf.Variable(tf.ones([4]), name="offset")

    def build(self, shape):
        self.kernel = self.add_weight("kernel", [shape[-1], 5])
        self.count = self.add_weight("count", [], tf.int32, "zeros", trainable=False)

    def call(self, x):
        return self.scale * (x + self.named) @ self.kernel + tf.cast(self.calls + tf.cast(self.count, tf.int64), tf.float32)


def sequences(x):
    return tf.stack([x, 2.0 * x, x], axis=1)


def nested():
    inner = tf_keras.Sequential([layers.Dense(5, activation="relu"), layers.BatchNormalization()])
    return tf_keras.Sequential([inner, layers.LayerNormalization(), layers.Dense(4)])


def attention(x):
    x = sequences(x)
    return layers.Flatten()(layers.MultiHeadAttention(2, 3)(x, x))


def shared(x):
    dense = layers.Dense(4)
    return dense(dense(x))


def normalised(x):
    return layers.BatchNormalization(momentum=0.5)(layers.Dense(3)(x))


BUILT = {
    "lstm": lambda x: layers.LSTM(3)(sequences(x)),
    "gru": lambda x: layers.Bidirectional(layers.GRU(3))(sequences(x)),
    "batch_normalisation": normalised,
    "attention": attention,
    "custom": lambda x: Scaled()(x),
    "nested": lambda x: nested()(x),
    "one layer twice": shared,
    "embedding": lambda x: layers.Flatten()(layers.Embedding(3, 4)(tf.cast(x > 0.0, tf.int32))),
    "mixed": lambda x: layers.Dropout(0.3)(layers.PReLU()(layers.Conv1D(3, 2)(sequences(x))))[:, 0],
}


@pytest.mark.slow
@pytest.mark.parametrize("first", [pytest.param(mode, marks=pytest.mark.slow) if mode != "infer" else mode for mode in MODES])
@pytest.mark.parametrize("layer", BUILT)
def test_all_modes_share_all_weights(dqn, batch, networks_of, layer, first):
    scope, networks = Scope(), None
    features, labels = batch()
    given = {"graph_fn": lambda mode, inputs: BUILT[layer](inputs["state"])}
    dqn(first, scope, **given)(features)
    for _ in range(3):
        dqn("train", scope, **given)(features, labels).train_op()
    networks = networks_of(scope)
    rng = np.random.default_rng(0)
    for variable in networks.online.model.variables:
        if variable.dtype.is_floating and "variance" not in variable.name:
            variable.assign(rng.normal(size=variable.shape).astype(np.float32))
    values = [networks.online(features, mode).q.numpy() for mode in MODES]
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[0], values[2])
    assert np.ptp(values[0]) > 0.0


@pytest.mark.parametrize("names", [("p", "q"), ("part1", "part2"), ("dense_7", "dense_8")])
def test_layers_of_the_same_names_in_another_order_have_the_same_weights(dqn, batch, networks_of, names):
    """They were once exchanged in silence: both have the same shapes."""

    def graph_fn(mode, inputs):
        outputs = {}
        for name in names if mode == "train" else reversed(names):
            outputs[name] = layers.Dense(8, name=name)(inputs["state"])
        return tf.nn.relu(outputs[names[0]]) - tf.nn.relu(outputs[names[1]])

    scope = Scope()
    dqn("train", scope, graph_fn=graph_fn)(batch()[0])
    network, features = networks_of(scope).online, batch()[0]
    values = [network(features, mode).q.numpy() for mode in MODES]
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[0], values[2])


# What is refused ------------------------------------------------------------------------------------------------------


def another_name(mode, inputs):
    return layers.Dense(6, name=f"encoder_{mode}")(inputs["state"])


def another_layer(mode, inputs):
    x = layers.Dense(6)(inputs["state"])
    return layers.Dense(2)(x) if mode != "train" else x


def another_size(mode, inputs):
    return layers.Dense(6 if mode != "infer" else 7)(inputs["state"])


def one_layer_fewer(mode, inputs):
    x = layers.Dense(4)(inputs["state"])
    return layers.Dense(4)(x) if mode == "train" else x


def no_bias(mode, inputs):
    return layers.Dense(6, use_bias=mode != "eval")(inputs["state"])


def a_norm_in_training(mode, inputs):
    return layers.BatchNormalization()(inputs["state"]) if mode == "train" else inputs["state"]


def a_norm_in_evaluation(mode, inputs):
    return layers.BatchNormalization()(inputs["state"]) if mode == "eval" else inputs["state"]


def another_dtype(mode, inputs):
    dtype = "float16" if mode == "eval" else "float32"
    return tf.cast(layers.Dense(6, dtype=dtype)(tf.cast(inputs["state"], dtype)), tf.float32)


def another_order(mode, inputs):
    sizes = (5, 3) if mode == "train" else (3, 5)
    return tf.concat([layers.Dense(size)(inputs["state"]) for size in sizes], axis=1)


def another_kind(mode, inputs):
    """Of the same shape."""
    kind = layers.PReLU if mode == "infer" else functools.partial(layers.LayerNormalization, center=False)
    return kind()(inputs["state"])


REFUSED = {
    another_layer: r"'eval' .*: \w+/kernel \(6, 2\) float32 is \w+/kernel \(6, \d+\) float32 in mode 'train'",
    another_size: r"'infer' .*: \w+/kernel \(4, 7\) float32 is dense\w*/kernel \(4, 6\) float32 in mode 'train'",
    one_layer_fewer: r"'eval' .*: dense\w*/kernel \(4, 4\) float32 is missing",
    no_bias: r"'eval' .*: dense\w*/bias \(6,\) float32 is missing",
    a_norm_in_training: r"'eval' .*: batch_norm\w+/gamma \(4,\) float32 is missing",
    a_norm_in_evaluation: r"'eval' .*: \w+/gamma \(4,\) float32 is \w+/kernel \(4, \d+\) float32 in",
    another_dtype: r"'eval' .*: \w+/kernel \(4, 6\) float16 is dense\w*/kernel \(4, 6\) float32 in mode 'train'",
    another_order: r"'eval' .*: \w+/kernel \(4, 3\) float32 is dense\w*/kernel \(4, 5\) float32 in mode 'train'",
    another_kind: r"'infer' .*: \w+/alpha \(4,\) float32 is layer_norm\w+/gamma \(4,\) float32 in mode 'train'",
    another_name: r"'eval' .*: encoder_eval/kernel \(4, 6\) float32 is encoder_train/kernel \(4, 6\)",
}


@pytest.mark.default_cases(12)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model_class", [DQNModel, CategoricalDQNModel, NAFModel])
@pytest.mark.parametrize("torso", REFUSED, ids=lambda torso: torso.__name__)
def test_other_variables_in_some_mode_are_refused_in_every_mode_with_the_first_difference(batch, torso, model_class, mode):
    given = {"is_continuous": True} if model_class is NAFModel else {}
    model = model_class(mode, torso, 4, 3, **given)
    with pytest.raises(ValueError, match="graph_fn builds other variables in mode " + REFUSED[torso]):
        model(batch()[0])
