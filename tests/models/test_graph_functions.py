"""What may be given as `graph_fn`: functions, models and layers; and what is said about functions that fail."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

from polyrl.models import DQNModel, Scope

layers = tf_keras.layers
FEATURES = {"state": tf.reshape(tf.range(8.0), [2, 4])}


# Models and layers ----------------------------------------------------------------------------------------------------


def functional():
    symbolic = tf_keras.Input((4,))
    return tf_keras.Model(symbolic, layers.Dense(6, "relu")(symbolic))


class Subclassed(tf_keras.Model):
    def __init__(self, units=6):
        super().__init__()
        self.dense = layers.Dense(units, "relu")

    def call(self, inputs):
        return self.dense(inputs)


GIVEN = {
    "sequential": lambda: tf_keras.Sequential([layers.Dense(6, "relu")]),
    "built": lambda: tf_keras.Sequential([tf_keras.Input((4,)), layers.Dense(6, "relu")]),
    "functional": functional,
    "subclassed": Subclassed,
    "layer": lambda: layers.Dense(6, "relu"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_each_network_has_a_copy_of_a_given_model_which_is_trained(head_kind, scope, batch, networks, name):
    model = head_kind("train", scope, graph_fn=GIVEN[name](), dueling=None)
    spec = model(*batch())
    before = networks.trained()
    spec.train_op()
    assert [value.shape for value in before[:2]] == [(4, 6), (6,)]
    assert all(np.any(old != new) for old, new in zip(before, networks.trained(), strict=True))
    for old, target in zip(before, networks.weights("target"), strict=True):
        np.testing.assert_array_equal(old, target)


def test_a_model_that_asks_for_the_mask_is_told_where_it_is(dqn, batch):
    state, mask = tf_keras.Input((4,)), tf_keras.Input((3,), dtype=tf.bool)
    model = tf_keras.Model({"state": state, "action_mask": mask}, layers.Dense(6)(state))
    with pytest.raises(ValueError, match="The action_mask is not among them: it is applied to the network's values") as error:
        dqn("train", graph_fn=model)(batch()[0])
    assert type(error.value) is ValueError


def test_an_unbuilt_model_begins_as_the_seed_says(dqn, batch):
    def kernel(seed):
        scope = Scope(seed=seed)
        dqn("train", scope, graph_fn=tf_keras.Sequential([layers.Dense(6)]))(batch()[0])
        return scope.parts["Model/online"].model.trainable_variables[0].numpy()

    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert np.any(kernel(1) != kernel(2))


def test_copies_of_a_built_model_begin_with_its_weights_and_leave_it_alone(dqn, scope, batch, networks):
    given = GIVEN["built"]()
    given.set_weights([np.full([4, 6], 0.25, np.float32), np.full([6], -0.5, np.float32)])
    spec = dqn("train", scope, graph_fn=given, target_update_frequency=1)(*batch())
    for network in (networks.online, networks.target):
        np.testing.assert_array_equal(network.model.trainable_variables[0].numpy(), np.full([4, 6], 0.25))
    spec.train_op()
    trained = networks.trained()[0]
    assert np.any(trained != 0.25)
    # Also when the target network is first run in another mode.
    networks.target(batch()[0], "eval")
    np.testing.assert_array_equal(networks.target.model.trainable_variables[0].numpy(), trained)
    np.testing.assert_array_equal(given.weights[0].numpy(), np.full([4, 6], 0.25))


def test_a_model_that_names_its_inputs_gets_those_features(dqn, scope):
    named = {"state": tf_keras.Input((4,), name="state"), "speed": tf_keras.Input((1,), name="speed")}
    given = tf_keras.Model(named, layers.Dense(5)(layers.Concatenate()([named["state"], named["speed"]])))
    features = {**FEATURES, "speed": tf.ones([2, 1])}
    outputs = dqn("train", scope, graph_fn=given)(features).predictions["graph_results"]
    np.testing.assert_allclose(outputs, given(features), rtol=1e-6)


class WithoutConfig(layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def get_config(self):
        raise NotImplementedError

    def call(self, inputs):
        return self.function(inputs)


@pytest.mark.parametrize(
    ("given", "features", "error", "words"),
    [
        (tf.keras.Sequential([]), FEATURES, TypeError, "is a Keras 3 object.*import tf_keras as keras"),
        (tf.keras.layers.Dense(3), FEATURES, TypeError, "is a Keras 3 object.*TF_USE_LEGACY_KERAS=1"),
        (3, FEATURES, TypeError, "graph_fn=3 must be a function of .mode, inputs., or a model of tf-keras"),
        (tf_keras.Sequential([WithoutConfig(tf.abs)]), FEATURES, TypeError, "cannot be copied.*return MyModel"),
        (
            layers.Dense(3),
            {**FEATURES, "more": FEATURES["state"]},
            ValueError,
            r"takes one input.*in addition to the state: \['more'\]",
        ),
        (
            tf_keras.Sequential([layers.Reshape([2, 2])]),
            FEATURES,
            ValueError,
            r"got \(None, 2, 2\)\. End with `layers.Flatten",
        ),
        (
            tf_keras.Sequential([tf_keras.Input((3,)), layers.Dense(2)]),
            FEATURES,
            ValueError,
            "expected axis -1 of input shape to have value 3",
        ),
    ],
    ids=range(7),
)
def test_what_does_not_do_as_a_model_is_refused(dqn, given, features, error, words):
    with pytest.raises(error, match=f"(?s){words}"):
        dqn("train", graph_fn=given)(features)


@pytest.mark.slow
def test_an_agent_trains_with_a_given_model_and_reads_it_back(tmp_path):
    given = [layers.BatchNormalization(), layers.Dense(6, "relu"), layers.Dropout(0.5)]

    def model_fn(features, labels, mode):
        return DQNModel(mode, tf_keras.Sequential(given), 4, 3)(features, labels)

    agent = make_agent(model_fn, model_dir=tmp_path)
    agent.train(ScheduleEnv(), max_timesteps=20, first_update=4)
    values = next(agent.predict(ScheduleEnv(), steps=1))["q"]
    again = next(make_agent(model_fn, model_dir=tmp_path).predict(ScheduleEnv(), steps=1))["q"]
    np.testing.assert_array_equal(values, again)


# Functions that fail ---------------------------------------------------------------------------------------------------


IMAGES = tf.ones([2, 5, 5, 1])


def conv(x):
    return layers.Flatten()(layers.Conv2D(2, 3)(x))


FAILING = [
    (lambda x: layers.Dense(3)(x), FEATURES, r"a dict of features.*\['state'\].*`inputs\['state'\]`"),
    (lambda x: x, FEATURES, r"a dict of features.*`inputs\['state'\]`"),
    (lambda x: layers.Dense(3)(x["state"]), FEATURES["state"], "the state itself.*use `inputs` in place of"),
    (
        lambda x: conv(x["state"]),
        {"state": tf.cast(IMAGES, tf.bool)},
        r"got bool: write `tf.cast\(inputs\['state'\], tf.float32\)`",
    ),
    (lambda x: conv(x), tf.cast(IMAGES, tf.uint8), r"got uint8: write `tf.cast\(inputs, tf.float32\) / 255.0`.*Rescaling"),
    (lambda x: layers.Flatten()(x * 0.5), tf.cast(IMAGES, tf.int32), r"got int32: write `tf.cast\(inputs, tf.float32\)`"),
    (lambda x: conv(x), {"state": tf.cast(IMAGES, tf.bool)}, "a dict of features.*and it needs floats and got bool"),
]


@pytest.mark.parametrize(("torso", "features", "words"), FAILING, ids=range(len(FAILING)))
def test_a_function_that_would_work_on_other_inputs_is_told_so(head_kind, torso, features, words):
    shape = tf.nest.flatten(features)[0].shape[1:]
    with pytest.raises(ValueError, match=f"^graph_fn .*{words}.*It raised .*Error: ") as raised:
        head_kind("train", graph_fn=lambda mode, inputs: torso(inputs), num_states=tuple(shape))(features)
    assert "\n" not in str(raised.value)


def test_of_several_features_the_one_that_is_no_float_is_named(dqn):
    def torso(mode, inputs):
        return tf.concat([inputs["state"], layers.Flatten()(inputs["image"])], axis=1)

    images = tf.zeros([len(FEATURES["state"]), 2, 2, 1], tf.uint8)
    with pytest.raises(ValueError, match=r"got uint8: write `tf\.cast\(inputs\['image'\], tf\.float32\) / 255\.0`, or"):
        dqn("train", graph_fn=torso)({**FEATURES, "image": images})


@pytest.mark.parametrize("name", ["advantage", "value", "mine"])
def test_a_layer_with_the_name_of_another_is_told_so(dqn, name):
    def torso(mode, inputs):
        first = layers.Dense(3, name=name)(inputs["state"])
        return layers.Dense(3, name=name if name == "mine" else None)(first)

    with pytest.raises(ValueError, match=rf"Two layers of the network are called '{name}'\. .*another name\.$"):
        dqn("train", graph_fn=torso, dueling="mean")(FEATURES)


@pytest.mark.slow
@pytest.mark.parametrize("layer", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_a_recurrent_layer_over_one_state_is_refused(dqn, layer):
    """It trained without a word, and remembered nothing."""

    def one_step(mode, inputs):
        return layer(3)(inputs["state"][:, None])

    def no_steps(mode, inputs):
        return layer(3)(inputs["state"])

    def parts(mode, inputs):
        return layer(3)(layers.Reshape([2, 2])(inputs["state"]))

    with pytest.raises(ValueError, match=r"sees one state at a time.*polyrl\.networks\.recurrent\(torso, units\)"):
        dqn("train", graph_fn=one_step)(FEATURES)
    with pytest.raises(ValueError, match=r"expected ndim=3, found ndim=2.*polyrl\.networks\.recurrent\(torso, units\)"):
        dqn("train", graph_fn=no_steps)(FEATURES)
    assert dqn("train", graph_fn=parts)(FEATURES).loss is None


def test_numbers_of_categories_are_told_beside_what_the_library_says(dqn):
    def torso(mode, inputs):
        return layers.Dense(3)(inputs["kind"])

    words = r"min_ndim=2.*\. 'kind': integers \[B\], numbers of categories, of which `layers.Embedding` or `tf.one_hot` "
    words += r"makes vectors\.$"
    with pytest.raises(ValueError, match=words):
        dqn("train", graph_fn=torso)({**FEATURES, "kind": tf.zeros([len(FEATURES["state"])], tf.int32)})


def test_any_other_error_of_a_function_is_raised_as_it_is(dqn):
    def divides(mode, inputs):
        return inputs["state"] / (1 // 0)

    with pytest.raises(ZeroDivisionError, match=r"^integer division or modulo by zero$"):
        dqn("train", graph_fn=divides)(FEATURES)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("dtype", [tf.bool, tf.uint8])
@pytest.mark.parametrize("name", ["cast", "rescaling", "dense"])
def test_a_network_is_given_the_dtype_of_the_states_in_training_and_as_exported(dqn, scope, dtype, name):
    seen, torsos = (
        [],
        {
            "cast": lambda x: conv(tf.cast(x, tf.float32)),
            "rescaling": lambda x: conv(layers.Rescaling(1 / 255)(x)),
            "dense": lambda x: layers.Dense(3)(layers.Flatten()(x)),
        },
    )

    def torso(mode, inputs):
        seen.append(inputs["state"].dtype)
        return torsos[name](inputs["state"])

    features = {"state": tf.cast(tf.random.stateless_uniform([2, 5, 5, 1], [0, 1], 0, 2, tf.int32), dtype)}
    expected = dqn("train", scope, graph_fn=torso, num_states=(5, 5, 1))(features).predictions["q"].numpy().argmax(axis=1)
    policy = dqn("infer", scope, graph_fn=torso, num_states=(5, 5, 1))(features).extra_ops["policy"]
    served = policy.signatures()["action"](observation_state=features["state"], seed=tf.constant([0, 0]))
    np.testing.assert_array_equal(served["action"], expected)
    assert set(seen) == {dtype}


@pytest.mark.parametrize("mode", ["train", "infer"])
def test_a_feature_that_is_not_there_is_named_with_those_that_are(dqn, mode):
    def torso(now, inputs):
        return layers.Dense(8)(inputs["states" if now == mode else "state"])

    message = r"graph_fn takes inputs\['states'\], and gets a dict of features with the keys \['goal', 'state'\]. .*'state'"
    with pytest.raises(ValueError, match=message):
        dqn("train", graph_fn=torso)({**FEATURES, "goal": tf.zeros([2, 1])})


def test_a_key_error_of_another_dict_is_raised_as_it_is(dqn):
    with pytest.raises(KeyError, match="depth"):
        dqn("train", graph_fn=lambda mode, inputs: layers.Dense({}["depth"])(inputs["state"]))(
            {**FEATURES, "goal": tf.zeros([2, 1])}
        )
