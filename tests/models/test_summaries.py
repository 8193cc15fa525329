"""What goes to TensorBoard: each option gives its own tags and no others."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from polyrl.configs import ExponentialDecayConfig, SGDConfig
from polyrl.summaries import Summaries, SummaryOptions

layers = tf_keras.layers

WEIGHTS = [f"{layer}/{weight}" for layer in ("dense", "advantage", "value") for weight in ("kernel", "bias")]
OUTPUTS = ["dense", "advantage", "value"]
SCALARS = {
    "activations": {"activations/dense/zero_fraction"},  # The heads are linear: theirs would be 0 for ever.
    "loss": {"train/td_error", "train/q_mean", "train/q_max", "train/target_mean"},
    "learning_rate": {"train/learning_rate"},
    "variables": set(),
    "gradients": {"train/grad_norm", "train/grad_norm_clipped"},
    "exploration": set(),
    "reward": set(),
    "image_input": set(),
}
HISTOGRAMS = {
    **{option: set() for option in SCALARS},
    "activations": {f"activations/{layer}" for layer in OUTPUTS},
    "loss": {"train/td_error_distribution"},
    "variables": {f"variables/{weight}" for weight in WEIGHTS},
    "gradients": {f"gradients/{weight}" for weight in WEIGHTS},
}
IMAGES = {**{option: set() for option in SCALARS}, "image_input": {"input/state"}}


def conv_torso(mode, inputs):
    return layers.Dense(8, "relu")(layers.Flatten()(inputs["state"]))


def images(batch, size=6):
    """A batch of random images `[4, 4, 2]`."""
    rng = np.random.default_rng(0)
    states = rng.integers(0, 256, [2, size, 4, 4, 2]).astype(np.float32)
    _, labels = batch(size=size, next_state=states[1])
    return {"state": tf.constant(states[0])}, labels


@pytest.fixture
def summarized(batch):
    """The summaries of one update, of a model over images."""

    def make(kind, summaries, scope=None, **arguments):
        model = kind("train", scope, graph_fn=conv_torso, num_states=[4, 4, 2], summaries=summaries, **arguments)
        return model(*images(batch)).extra_ops["summaries"]

    return make


def tags(kind, option):
    scalars, histograms = SCALARS[option], HISTOGRAMS[option]
    if option == "loss" and kind.categorical:
        scalars, histograms = scalars | {"train/clipped_mass"}, histograms | {"train/return_distribution"}
    return scalars, histograms, IMAGES[option]


def test_the_tables_cover_all_options():
    assert set(SCALARS) == set(SummaryOptions.ALL)


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("option", SCALARS)
def test_each_option_alone_gives_its_tags_and_only_them(head_kind, summarized, option):
    values = summarized(head_kind, [option])
    assert tuple(map(set, values)) == tags(head_kind, option)


@pytest.mark.slow
@pytest.mark.parametrize("nothing", [[], (), None])
def test_no_option_gives_no_tags(head_kind, summarized, nothing):
    """H1: nor does it fail. J16: None is not an error."""
    assert summarized(head_kind, nothing) == Summaries.empty()


def test_all_is_everything_but_the_images(head_kind, summarized):
    values = summarized(head_kind, "all")
    groups = [tags(head_kind, option) for option in SummaryOptions.DEFAULT]
    wanted = [set().union(*group) for group in zip(*groups, strict=True)]
    assert list(map(set, values)) == wanted
    assert not values.images


def test_the_options_asked_for_are_handed_to_the_agent_in_every_mode(dqn, batch):
    """The exploration rate and the rewards are the agent's to write."""
    for mode, given in (("train", batch()), ("train", batch()[:1]), ("eval", batch()), ("infer", batch()[:1])):
        extra = dqn(mode, summaries=["reward", "exploration"])(*given).extra_ops
        assert extra["summary_options"] == ("exploration", "reward")
        assert ("summaries" in extra) == (mode == "train" and len(given) == 2)


def test_the_loss_panel_shows_what_the_predictions_say(kind, batch):
    features, labels = batch()
    spec = kind("train", summaries="loss")(features, labels)
    scalars, predictions = spec.extra_ops["summaries"].scalars, spec.predictions
    taken = predictions["q"].numpy()[np.arange(6), labels["action"].numpy()]
    expected = {
        "train/td_error": np.abs(predictions["td_error"]).mean(),
        "train/q_mean": np.mean(predictions["q"]),
        "train/q_max": np.max(predictions["q"]),
        "train/target_mean": np.mean(predictions["td_error"] + taken),
    }
    for tag, value in expected.items():
        np.testing.assert_allclose(scalars[tag], value, rtol=1e-4, atol=1e-6)


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("clip", [1e-3, 0.05, 1e6])
def test_the_clipped_norm_never_exceeds_the_bound_and_the_norm_before_is_shown_too(head_kind, summarized, clip):
    """J5: two different numbers where clipping acts, one where it does not."""
    scalars = summarized(head_kind, "gradients", clip_gradients=clip).scalars
    before, after = (float(scalars[f"train/{tag}"]) for tag in ("grad_norm", "grad_norm_clipped"))
    assert after <= clip * (1 + 1e-5)
    np.testing.assert_allclose(after, min(before, clip), rtol=1e-4)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("off", [0, None])
def test_gradients_are_shown_without_clipping_too(head_kind, summarized, off):
    """J5: the panel does not vanish with the clipping."""
    values = summarized(head_kind, "gradients", clip_gradients=off)
    norm = np.sqrt(sum(np.square(gradient).sum() for gradient in values.histograms.values()))
    assert norm > 0.0
    for tag in ("train/grad_norm", "train/grad_norm_clipped"):
        np.testing.assert_allclose(values.scalars[tag], norm, rtol=1e-4)


def test_the_gradients_shown_are_those_applied(head_kind, scope, summarized, networks, batch):
    arguments = {"graph_fn": conv_torso, "num_states": [4, 4, 2], "summaries": "gradients"}
    spec = head_kind("train", scope, optimizer_config=SGDConfig(1.0), **arguments)(*images(batch))
    before = {label: variable.numpy() for label, variable in networks.online.labelled_variables().items()}
    spec.train_op()
    for label, variable in networks.online.labelled_variables().items():
        applied = before[label] - variable.numpy()
        shown = spec.extra_ops["summaries"].histograms[f"gradients/{label}"]
        np.testing.assert_allclose(shown, applied, rtol=1e-3, atol=1e-6)


def test_the_variables_shown_are_the_online_networks_before_the_update(head_kind, scope, summarized, networks):
    """A17: only the network that is trained is shown."""
    histograms = summarized(head_kind, "variables", scope).histograms
    for label, variable in networks.online.labelled_variables().items():
        np.testing.assert_array_equal(histograms[f"variables/{label}"], variable)


def test_the_activations_shown_are_the_layers_outputs(head_kind, scope, batch, networks):
    features, labels = batch()
    spec = head_kind("train", scope, summaries="activations")(features, labels)
    values = spec.extra_ops["summaries"]
    torso = spec.predictions["graph_results"]
    np.testing.assert_allclose(values.histograms["activations/dense"], torso, rtol=1e-5, atol=1e-6)
    fraction = values.scalars["activations/dense/zero_fraction"]
    np.testing.assert_allclose(fraction, np.mean(torso.numpy() == 0.0), rtol=1e-6)
    assert 0.0 < fraction < 1.0


@pytest.mark.parametrize("step", [0, 10, 25])
def test_the_learning_rate_shown_is_the_schedules_at_this_update(dqn, scope, summarized, step):
    scope.global_step.assign(step)
    scope.global_timestep.assign(1000)
    optimizer = SGDConfig(ExponentialDecayConfig(0.5, decay_steps=10, decay_rate=0.1))
    values = summarized(dqn, "learning_rate", scope, optimizer_config=optimizer)
    np.testing.assert_allclose(values.scalars["train/learning_rate"], 0.5 * 0.1 ** (step / 10), rtol=1e-5)


def test_a_constant_learning_rate_is_shown_as_it_is(dqn, summarized):
    values = summarized(dqn, "learning_rate", optimizer_config=SGDConfig(0.125))
    assert values.scalars["train/learning_rate"] == 0.125


def test_at_most_four_images_are_shown_their_last_channel_alone(dqn, batch):
    """The newest of the frames in a stack."""
    features, labels = images(batch)
    model = dqn("train", graph_fn=conv_torso, num_states=[4, 4, 2], summaries="image_input")
    shown = model(features, labels).extra_ops["summaries"].images["input/state"]
    np.testing.assert_array_equal(shown, features["state"][:4, :, :, 1:])


def test_the_return_distribution_is_drawn_by_quantiles_of_the_actions_taken(c51, batch):
    features, labels = batch()
    spec = c51("train", summaries="loss")(features, labels)
    drawn = spec.extra_ops["summaries"].histograms["train/return_distribution"].numpy()
    probabilities = spec.predictions["probabilities"].numpy()[np.arange(6), labels["action"].numpy()].mean(axis=0)
    support = spec.predictions["support"].numpy()
    assert set(drawn) <= set(support)
    for atom, probability in zip(support, probabilities, strict=True):
        np.testing.assert_allclose((drawn == atom).mean(), probability, atol=2e-3)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize(
    "torso",
    [
        pytest.param(lambda x: tf_keras.Sequential([layers.Dense(8), layers.Dense(8)])(x), id="a model inside"),
        pytest.param(lambda x: (lambda dense: dense(dense(x)))(layers.Dense(4)), id="a layer used twice"),
        pytest.param(lambda x: tf.nn.relu(layers.Dense(8)(2.0 * x)), id="plain ops"),
        pytest.param(lambda x: layers.BatchNormalization()(layers.LayerNormalization()(x)), id="norms"),
    ],
)
@pytest.mark.parametrize("option", ["activations", "variables", "gradients"])
def test_torsos_of_any_build_can_be_summarized(dqn, scope, batch, networks, torso, option):
    model = dqn("train", scope, graph_fn=lambda mode, inputs: torso(inputs["state"]), summaries=option)
    histograms = model(*batch()).extra_ops["summaries"].histograms
    network = networks.online.model
    number = {"variables": len(network.variables), "gradients": len(network.trainable_variables)}
    assert len(histograms) >= number.get(option, 3)


@pytest.mark.slow
def test_summaries_come_out_of_a_compiled_function(c51, batch):
    model = c51("train", summaries="all")
    eager = model(*batch()).extra_ops["summaries"]
    compiled = tf.function(
        lambda features, labels: model(features, labels).extra_ops["summaries"], autograph=False, jit_compile=True
    )(*batch())
    assert [set(group) for group in compiled] == [set(group) for group in eager]
    for first, second in zip(tf.nest.flatten(eager), tf.nest.flatten(compiled), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-5)


def test_written_summaries_arrive_in_the_event_file_at_their_step(tmp_path):
    values = Summaries(
        {"train/loss": tf.constant(0.5)}, {"variables/kernel": tf.range(8.0)}, {"input/state": tf.zeros([1, 4, 4, 1])}
    )
    writer = tf.summary.create_file_writer(str(tmp_path))
    values.write(writer, step=321)
    writer.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    found = {
        tag: (events.Tensors(tag)[0].step, events.SummaryMetadata(tag).plugin_data.plugin_name)
        for tag in events.Tags()["tensors"]
    }
    assert found == {
        "train/loss": (321, "scalars"),
        "variables/kernel": (321, "histograms"),
        "input/state": (321, "images"),
    }


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("all", SummaryOptions.DEFAULT),
        (["all"], SummaryOptions.DEFAULT),
        ("loss", ("loss",)),
        (["reward", "loss", "loss"], ("loss", "reward")),
        (("gradients",), ("gradients",)),
        ({"image_input"}, ("image_input",)),
        ([], ()),
        (None, ()),
    ],
)
def test_options_become_names_in_one_order_each_once(given, names):
    assert SummaryOptions.validate(given) == names


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("activation", r"'activation' is unknown; .*Did you mean 'activations'\?"),
        (["loss", "learning-rate"], r"'learning-rate' is unknown; .*Did you mean 'learning_rate'\?"),
        (["all", "loss"], "'all' is unknown; use 'all' or some of"),
        ("zzz", r"some of activations, loss, learning_rate, variables, gradients, exploration, reward, image_input\.$"),
    ],
)
def test_an_unknown_option_is_refused_with_those_there_are(given, words):
    with pytest.raises(ValueError, match=words):
        SummaryOptions.validate(given)
