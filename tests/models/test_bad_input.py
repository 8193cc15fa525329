"""What the Q models refuse, and the words they refuse it with."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.configs import AdamConfig, HuberLossConfig, MetricConfig
from polyrl.models import CategoricalDQNModel, DQNModel, NAFModel
from polyrl.networks import mlp

layers = tf_keras.layers


# The constructor ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["training", "predict", "TRAIN", None])
def test_an_unknown_mode_is_refused_with_the_modes_there_are(kind, mode):
    with pytest.raises(ValueError, match=r"mode=.* is unknown; use one of 'train', 'eval', 'infer'\."):
        kind(mode)


REFUSED_VALUES = [
    ("discount", -0.1, r"discount=-0\.1 must lie in \[0\.0, 1\.0\]"),
    ("discount", 1.01, r"discount=1\.01 must lie in \[0\.0, 1\.0\]"),
    ("discount", float("nan"), "discount=nan"),
    ("is_continuous", True, r"is_continuous=True: \w*DQNModel has discrete actions"),
    ("expert_margin", 0.5, r"expert_margin=0\.5 has no effect without use_expert_demo=True"),
    ("expert_weight", 2.0, r"expert_weight=2\.0 has no effect without use_expert_demo=True"),
    ("expert_margin", -0.1, r"expert_margin=-0\.1 must lie in \[0\.0, inf\]"),
    ("expert_weight", float("nan"), "expert_weight=nan"),
    ("target_update_frequency", 0, "target_update_frequency=0 must be at least 1"),
    ("target_update_frequency", -5, "target_update_frequency=-5 must be at least 1"),
    ("clip_gradients", -0.5, r"clip_gradients=-0\.5 must lie in \[0\.0, inf\]"),
    ("clip_gradients", float("inf"), "clip_gradients=inf .*finite"),
    ("clip_embed_gradients", -1, r"clip_embed_gradients=-1 must lie in \[0\.0, inf\]"),
    ("target_update_tau", 0.0, r"target_update_tau=0\.0 must be above 0"),
    ("target_update_tau", 1.5, r"target_update_tau=1\.5 must lie in \[0\.0, 1\.0\]"),
    ("target_update_tau", float("nan"), "target_update_tau=nan"),
    ("eval_metrics_config", [MetricConfig(), MetricConfig()], "'Mean_losses', 'Mean_losses'.*a name of its own"),
    ("temperature", -1.0, r"temperature=-1\.0 must lie in \[0\.0, inf\]"),
    ("num_actions", 1, "num_actions=1 must be at least 2"),
    ("num_states", 0, "num_states=0 must be at least 1"),
    ("num_states", [4, 0], "num_states=0 must be at least 1"),
    ("name", "", "name='' must be a string of ASCII letters.*beginning with a letter, as 'Model'"),
    ("name", 3, "name=3 must be .* as 'Model_3'"),
    ("name", None, "name=None must be .* as 'None'"),
    ("name", "my model", "name='my model' must be .* as 'my_model'"),
    ("name", "Modèle", "name='Modèle' must be .* as 'Modele'"),
    ("name", "1", "name='1' must be .* as 'Model_1'"),
    ("name", "a/b", "name='a/b' must be .* as 'a_b'"),
    ("name", "_model", "name='_model' must be .* as 'Model__model'"),
    ("name", "Model\n", r"name='Model\\n' must be"),
    ("name", "模型", "name='模型' must be .* as 'Model'"),
    ("summaries", "los", r"summaries='los': 'los' is unknown; .*Did you mean 'loss'\?"),
    ("summaries", ["loss", "gradient"], r"'gradient' is unknown; .*Did you mean 'gradients'\?"),
    ("summaries", ["xyzzy"], "use 'all' or some of activations, loss, learning_rate, variables, gradients"),
    ("summaries", ["image_input"], r"image_input needs states \[height, width, channels\]; num_states=4"),
]


@pytest.mark.parametrize(("name", "value", "words"), REFUSED_VALUES, ids=lambda value: str(value)[:24])
def test_a_value_out_of_range_is_refused_with_its_name_and_value(head_kind, name, value, words):
    with pytest.raises(ValueError, match=words):
        head_kind("train", **{name: value})


@pytest.mark.parametrize("dueling", ["average", "True", "", 1, 0, 2.0, ["mean"]])
def test_an_unknown_dueling_is_refused_with_those_there_are(head_kind, dueling):
    """A10: only the documented values, and 1 is not True."""
    with pytest.raises(ValueError, match=r"dueling=.* is unknown; use True, 'mean', 'max', 'naive', or None"):
        head_kind("train", dueling=dueling)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("graph_fn", "mlp", "graph_fn='mlp' must be a function of"),
        ("optimizer_config", "adam", "optimizer_config='adam' must be an OptimizerConfig"),
        ("optimizer_config", HuberLossConfig(), "optimizer_config=.* must be an OptimizerConfig"),
        ("exploration_config", 0.1, r"exploration_config=0\.1 must be an ExplorationConfig"),
        ("eval_metrics_config", ["Mean"], "eval_metrics_config='Mean' must be a MetricConfig"),
        ("eval_metrics_config", MetricConfig(), "eval_metrics_config=.* must be a list"),
        ("use_target_graph", "no", "use_target_graph='no' must be True or False"),
        ("target_update_tau", "soft", "target_update_tau='soft' must be a number"),
        ("num_actions", 2.0, r"num_actions=2\.0 must be an integer"),
        ("num_actions", True, "num_actions=True must be an integer"),
        ("num_states", [4.5], r"num_states=4\.5 must be an integer"),
        ("num_states", 4.0, r"num_states=4\.0 must be"),
        ("num_states", True, "num_states=True must be an integer"),
        ("target_update_frequency", 2.5, r"target_update_frequency=2\.5 must be an integer"),
        ("discount", "high", "discount='high' must be a number"),
        ("clip_gradients", True, "clip_gradients=True must be a number"),
        ("clip_embed_gradients", "0.1", r"clip_embed_gradients='0\.1' must be a number"),
        ("temperature", None, "temperature=None must be a number"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_value_of_another_type_is_refused_with_its_name(head_kind, name, value, words):
    with pytest.raises(TypeError, match=words):
        head_kind("train", **{name: value})


def test_a_loss_config_that_is_none_is_a_type_error(scalar_kind):
    with pytest.raises(TypeError, match="loss_config='huber' must be a LossConfig"):
        scalar_kind("train", loss_config="huber")


@pytest.mark.parametrize("positional", [True, False])
def test_c51_refuses_a_loss_config(positional):
    given, named = ([HuberLossConfig()], {}) if positional else ([], {"loss_config": HuberLossConfig()})
    with pytest.raises(ValueError, match="loss_config must be None: the loss of C51 is the cross-entropy"):
        CategoricalDQNModel("train", mlp([8]), 4, 3, *given, **named)


def test_c51_takes_a_loss_config_of_none_and_what_follows_it_by_position():
    model = CategoricalDQNModel("train", mlp([8]), 4, 3, None, AdamConfig(0.5), [MetricConfig()], 0.25)
    assert (model.optimizer_config, model.discount) == (AdamConfig(0.5), 0.25)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"min_q_value": 3.0}, ValueError, r"min_q_value=3\.0 must be below max_q_value=3\.0"),
        ({"min_q_value": 4.0}, ValueError, r"min_q_value=4\.0 must be below max_q_value=3\.0"),
        ({"max_q_value": float("inf")}, ValueError, "max_q_value=inf must be finite"),
        ({"max_q_value": 1e39}, ValueError, r"atoms from .* to 1e\+39 are not finite, or too close together for float32"),
        ({"min_q_value": 1e8, "max_q_value": 1e8 + 1}, ValueError, r"atoms from 100000000\.0 .* are not finite"),
        ({"min_q_value": "low"}, TypeError, "min_q_value='low' must be a number"),
        ({"num_atoms": 1}, ValueError, "num_atoms=1 must be at least 2"),
        ({"num_atoms": 0}, ValueError, "num_atoms=0 must be at least 2"),
        ({"num_atoms": 51.0}, TypeError, r"num_atoms=51\.0 must be an integer"),
    ],
)
def test_c51_refuses_a_support_that_is_none(c51, arguments, error, words):
    with pytest.raises(error, match=words):
        c51("train", **arguments)


@pytest.mark.parametrize("discount", [0, 0.0, 1, 1.0])
def test_the_ends_of_the_discounts_range_are_allowed(kind, discount):
    assert kind("train", discount=discount).discount == discount


@pytest.mark.parametrize("name", ["discounts", "lr", "num_atom"])
def test_an_argument_that_does_not_exist_is_a_type_error(kind, name):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        kind("train", **{name: 1})


def test_image_input_is_allowed_for_images_only(dqn):
    for num_states in (4, [4], [4, 4]):
        with pytest.raises(ValueError, match="image_input needs states"):
            dqn("train", num_states=num_states, summaries="image_input")
    assert dqn("train", num_states=[4, 4, 1], summaries="image_input").summaries == ("image_input",)


# Features -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
def test_features_without_a_state_are_a_key_error(kind, batch, mode):
    state = batch()[0]["state"]
    with pytest.raises(KeyError, match=r"features must contain 'state'; they have \['goal', 'obs'\]"):
        kind(mode)({"obs": state, "goal": state})


@pytest.mark.parametrize("num_states", [5, [4, 1], [2, 2]])
def test_a_state_that_does_not_fit_is_refused_with_both_shapes(kind, batch, num_states):
    """A12: `num_states` is checked, not stored and forgotten."""
    model = kind("infer", num_states=num_states)
    wanted = ", ".join(map(str, [num_states] if isinstance(num_states, int) else num_states))
    words = rf"features\['state'\]: expected shape \[batch, {wanted}\] by num_states, got \(6, 4\)"
    with pytest.raises(ValueError, match=words):
        model(batch()[0])


@pytest.mark.parametrize("shape", [[4], [3], []])
def test_a_state_without_a_batch_dimension_is_refused(dqn, shape):
    with pytest.raises(ValueError, match=r"features\['state'\]: expected shape \[batch, 4\] by num_states, got "):
        dqn("infer")(np.zeros(shape, np.float32))


def test_a_bare_tensor_of_the_wrong_shape_is_refused_too(dqn):
    with pytest.raises(ValueError, match=r"expected shape \[batch, 4\] by num_states, got \(2, 3\)"):
        dqn("infer")(np.zeros([2, 3], np.float32))


def test_a_traced_call_checks_the_shapes_as_well(dqn, batch):
    model = dqn("infer", num_states=5)
    with pytest.raises(ValueError, match=r"expected shape \[batch, 5\] by num_states, got "):
        tf.function(lambda features: model(features).predictions["q"], autograph=False)(batch()[0])


# Labels ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("missing", ["action", "reward", "done", "next_state"])
def test_a_missing_label_is_a_key_error(kind, batch, mode, missing):
    """A3, A18: `next_state` is one of them."""
    features, labels = batch()
    del labels[missing]
    with pytest.raises(KeyError, match=rf"labels must contain '{missing}'; they have \["):
        kind(mode)(features, labels)


def test_labels_in_infer_are_refused(kind, batch):
    with pytest.raises(ValueError, match="labels must be None in mode 'infer'"):
        kind("infer")(*batch())


@pytest.mark.parametrize("key", ["action", "reward", "done", "weights", "discount"])
@pytest.mark.parametrize("shape", [[5], [1], [6, 1], []])
def test_a_label_of_the_wrong_shape_is_refused_by_name(head_kind, batch, key, shape):
    features, labels = batch(size=6)
    words = rf"labels\['{key}'\]: expected one value for each of the 6 states.*got shape \({', '.join(map(str, shape))}"
    with pytest.raises(ValueError, match=words):
        head_kind("train")(features, {**labels, key: np.zeros(shape, np.float32)})


@pytest.mark.parametrize("shape", [[6, 3], [6], [6, 4, 1]])
def test_a_next_state_of_another_shape_is_refused_by_name(head_kind, batch, shape):
    features, labels = batch(size=6)
    with pytest.raises(ValueError, match=r"labels\['next_state'\]: expected shape \[batch, 4\] by num_states, got "):
        head_kind("train")(features, {**labels, "next_state": np.zeros(shape, np.float32)})


@pytest.mark.parametrize("rows", [1, 5, 12])
def test_another_number_of_next_states_is_refused(kind, batch, rows):
    features, labels = batch(size=6)
    with pytest.raises(ValueError, match=r"next_\w+.*expected .*got"):
        kind("train")(features, {**labels, "next_state": np.zeros([rows, 4], np.float32)})


# The torso ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("torso", "shape"),
    [
        (lambda x: layers.Reshape([2, 2])(x), r"\(None, 2, 2\)"),
        (lambda x: tf.reduce_sum(x, axis=1), r"\(None,\)"),
        (lambda x: None, "None"),
        (lambda x: [layers.Dense(4)(x)], r"\["),
    ],
    ids=["rank 3", "rank 1", "nothing", "a list"],
)
def test_a_torso_that_gives_no_rows_of_features_is_refused_with_its_shape(head_kind, batch, torso, shape):
    words = rf"graph_fn must return one row of features for each state, \[B, features\]; got {shape}"
    with pytest.raises(ValueError, match=words):
        head_kind("infer", graph_fn=lambda mode, inputs: torso(inputs["state"]))(batch()[0])


def test_a_graph_fn_may_name_its_arguments_as_it_likes():
    """J15."""
    model = DQNModel("infer", lambda m, observations: layers.Dense(4)(observations), 4, 3, summaries=[])
    assert model(np.zeros([2, 4], np.float32)).predictions["q"].shape == [2, 3]


def test_a_graph_fn_that_refuses_once_can_be_called_again(dqn, scope, batch):
    answers = iter([None, None])

    def graph_fn(mode, inputs):
        return next(answers, layers.Dense(4)(inputs["state"]))

    model = dqn("infer", scope, graph_fn=graph_fn)
    for _ in range(2):
        with pytest.raises(ValueError, match="graph_fn must return"):
            model(batch()[0])
    assert model(batch()[0]).predictions["q"].shape == [6, 3]


@pytest.mark.parametrize("model_class", [DQNModel, CategoricalDQNModel, NAFModel])
@pytest.mark.parametrize(
    ("given", "named", "missing"),
    [
        ((None,), {"num_states": 4, "num_actions": 2}, "'graph_fn'"),  # The mode was forgotten.
        (("train", None), {"num_states": 4}, "'num_actions'"),
        (("train",), {}, "'graph_fn', 'num_states', 'num_actions'"),
    ],
)
def test_arguments_that_are_missing_are_told_by_the_models_name(model_class, given, named, missing):
    """An internal class was named, and for a mode that was forgotten the argument behind it alone."""
    words = rf"^{model_class.__name__} got no {missing}: it takes \(mode, graph_fn, num_states, num_actions\) in this order"
    with pytest.raises(TypeError, match=words):
        model_class(*given, **named)
