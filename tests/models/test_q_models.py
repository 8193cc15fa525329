"""The Q models: what they predict, what their loss is, and what one update changes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.configs import (
    HuberLossConfig,
    LogCoshConfig,
    MeanAbsoluteErrorConfig,
    MeanSquaredErrorConfig,
    MetricConfig,
    SGDConfig,
)
from polyrl.models import Scope
from polyrl.networks import mlp

layers = tf_keras.layers
SEEDS = [0, 1, 2]
GAMMA = 0.9
SMALL = 1e-5


# An independent count of what the losses should be --------------------------------------------------------------------


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def huber(error, delta=1.0):
    size = np.abs(error)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def project(positions, probabilities, atoms):
    """Algorithm 1 of Bellemare et al. 2017, loop by loop."""
    projected = np.zeros([len(positions), len(atoms)])
    spacing = atoms[1] - atoms[0]
    for row in range(len(positions)):
        for position, mass in zip(positions[row], probabilities[row], strict=True):
            b = (np.clip(position, atoms[0], atoms[-1]) - atoms[0]) / spacing
            b = min(max(b, 0.0), len(atoms) - 1.0)
            low, high = int(np.floor(b)), int(np.ceil(b))
            if low == high:
                projected[row, low] += mass
            else:
                projected[row, low] += mass * (high - b)
                projected[row, high] += mass * (b - low)
    return projected


def numpy_losses(kind, online, next_online, next_target, labels, gamma, loss=huber):
    """The loss of each row, out of what the networks give for the states and the next states."""
    labels = {key: np.asarray(value, np.float64) for key, value in labels.items()}
    rows, action = np.arange(len(labels["reward"])), labels["action"].astype(int)
    discount = labels.get("discount", gamma) * (1.0 - labels["done"])
    if not kind.categorical:
        q, next_q = np.asarray(online.q, np.float64), np.asarray(next_target.q, np.float64)
        best = np.argmax(next_online.q if kind.double else next_q, axis=1)
        return loss(labels["reward"] + discount * next_q[rows, best] - q[rows, action])
    low, high, number = (kind.arguments[key] for key in ("min_q_value", "max_q_value", "num_atoms"))
    atoms = np.linspace(low, high, number)
    next_probabilities = softmax(np.asarray(next_target.logits, np.float64))
    selector = softmax(np.asarray(next_online.logits, np.float64)) if kind.double else next_probabilities
    best = np.argmax(selector @ atoms, axis=1)
    positions = labels["reward"][:, None] + np.broadcast_to(discount, rows.shape)[:, None] * atoms[None]
    target = project(positions, next_probabilities[rows, best], atoms)
    chosen = softmax(np.asarray(online.logits, np.float64))[rows, action]
    return -(target * np.log(chosen)).sum(axis=1)


@pytest.fixture
def expected_losses(networks):
    def count(kind, features, labels, gamma=GAMMA, use_target=True, **options):
        online, following = networks.online, {"state": labels["next_state"]}
        bootstrap = (networks.target if use_target else online)(following)
        return numpy_losses(kind, online(features), online(following), bootstrap, labels, gamma, **options)

    return count


@pytest.fixture
def differing(scope, batch, networks):
    """Builds a model in `scope` whose target network differs from the online one in every weight."""

    def build(kind, mode="train", **arguments):
        model = kind(mode, scope, discount=GAMMA, **arguments)
        model(*batch())
        networks.perturb_target()
        return model

    return build


def updating(model):
    """One update as a function of a batch, which gives the loss before it."""

    def update(features, labels):
        spec = model(features, labels)
        spec.train_op()
        return spec.loss

    return update


# Predictions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dueling", ["mean", None])
@pytest.mark.parametrize(
    ("mode", "learning"), [("train", True), ("train", False), ("eval", True), ("eval", False), ("infer", False)]
)
def test_predictions_have_the_documented_keys_and_shapes(head_kind, batch, mode, learning, dueling):
    features, labels = batch(size=5)
    predictions = head_kind(mode, dueling=dueling)(features, labels if learning else None).predictions
    atoms = [11] if head_kind.categorical else []
    shapes = {"results": [5], "q": [5, 3], "a": [5, 3, *atoms], "graph_results": [5, 8]}
    if dueling is not None:
        shapes["v"] = [5, 1, *atoms]
    if learning:
        shapes |= {"td_error": [5], "losses": [5]}
    if head_kind.categorical:
        shapes |= {"probabilities": [5, 3, 11], "support": [11]}
    assert {key: value.shape.as_list() for key, value in predictions.items()} == shapes
    assert predictions["results"].dtype == tf.int32
    assert all(value.dtype == tf.float32 for key, value in predictions.items() if key != "results")


@pytest.mark.parametrize("seed", SEEDS)
def test_c51_values_are_the_expectations_of_its_probabilities(c51, batch, seed):
    predictions = c51("eval")(batch(seed)[0]).predictions
    np.testing.assert_allclose(predictions["support"], np.linspace(-2.0, 3.0, 11), rtol=1e-6)
    np.testing.assert_allclose(tf.reduce_sum(predictions["probabilities"], axis=2), np.ones([6, 3]), rtol=1e-5)
    expected = np.asarray(predictions["probabilities"]) @ np.linspace(-2.0, 3.0, 11)
    np.testing.assert_allclose(predictions["q"], expected, rtol=1e-4, atol=1e-5)


def test_a_two_layer_network_gives_what_its_weights_say(dqn, scope, batch, networks):
    state, predictions = batch()[0]["state"].numpy(), dqn("eval", scope, dueling=None)(batch()[0]).predictions
    (kernel, bias), (head, head_bias) = np.split(np.array(networks.weights(), dtype=object), 2)
    torso = np.maximum(state @ kernel + bias, 0.0)
    np.testing.assert_allclose(predictions["graph_results"], torso, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(predictions["q"], torso @ head + head_bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dueling", [True, "mean", "max", "naive", None, False])
def test_dueling_combines_the_heads_as_documented(kind, batch, dueling):
    """A10: `dueling=False` leaves the value head out, as None does. C51 combines logits, atom by atom over the actions."""
    predictions = kind("eval", dueling=dueling)(batch()[0]).predictions
    a = np.asarray(predictions["a"])
    assert ("v" in predictions) == (dueling not in (None, False))
    v = np.asarray(predictions.get("v", 0.0))
    combined = {
        "mean": v + a - a.mean(axis=1, keepdims=True),
        "max": v + a - a.max(axis=1, keepdims=True),
        "naive": v + a,
    }.get(dueling, a)
    q = softmax(combined) @ np.linspace(-2.0, 3.0, 11) if kind.categorical else combined
    np.testing.assert_allclose(predictions["q"], q, rtol=1e-4, atol=1e-5)


def test_a_bare_state_batch_does_as_well_as_a_dict(head_kind, batch):
    features, labels = batch()
    of_dict, of_tensor = (head_kind("train")(given, labels) for given in (features, features["state"]))
    assert of_dict.loss == of_tensor.loss
    np.testing.assert_array_equal(of_dict.predictions["q"], of_tensor.predictions["q"])


@pytest.mark.parametrize("dtype", [np.float64, np.int64, bool])
def test_labels_of_other_number_types_give_the_same_loss(dqn, scope, batch, dtype):
    model = dqn("eval", scope)
    features, labels = batch()
    given = {**labels, "done": labels["done"].numpy().astype(dtype), "action": labels["action"].numpy().astype(int)}
    assert model(features, given).loss == model(features, labels).loss


def test_graph_fn_is_called_by_position_once_for_each_network_and_mode(dqn, scope, batch):
    calls = []

    def graph_fn(whatever, its_name_is):
        calls.append(whatever)
        return layers.Dense(4)(its_name_is["state"])

    for mode in ("infer", "eval", "train"):
        dqn(mode, scope, graph_fn=graph_fn)(batch()[0])
    assert calls == ["train", "eval", "infer"] * 2
    dqn("train", scope, graph_fn=graph_fn)(*batch()).train_op()
    assert calls == ["train", "eval", "infer"] * 2


def test_calling_again_in_any_mode_finds_the_same_networks(head_kind, scope, batch):
    features, labels = batch()
    model = head_kind("train", scope)
    q = model(features, labels).predictions["q"]
    parts = dict(scope.parts)
    for again in (model, head_kind("train", scope), head_kind("eval", scope), head_kind("infer", scope)):
        np.testing.assert_array_equal(again(features).predictions["q"], q)
    head_kind("eval", scope)(features, labels)
    model(features, labels)
    assert set(parts) == {"Model/online", "Model/target", "Model/fused_step"}
    assert set(scope.parts) == set(parts)
    assert all(scope.parts[name] is part for name, part in parts.items())


# One update -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_changes_before_train_op_is_called(kind, scope, batch, networks, equal, seed):
    model = kind("train", scope)
    model(*batch()).train_op()
    before = networks.everything()
    spec = model(*batch(seed))
    model(batch(seed)[0])
    kind("eval", scope)(*batch(seed))
    kind("infer", scope)(batch(seed)[0])
    assert equal(networks.everything(), before)
    spec.train_op()
    assert not equal(networks.everything(), before)


def test_one_update_changes_the_online_weights_and_not_the_target_ones(kind, scope, batch, networks, equal):
    """A1, A2: the target network is neither trained by the loss nor forgotten."""
    model = kind("train", scope, target_update_frequency=2)
    spec = model(*batch())
    online, target = networks.weights("online"), networks.weights("target")
    step = spec.train_op()
    assert step.dtype == tf.int64
    assert step == 1
    assert not any(np.array_equal(*pair) for pair in zip(online, networks.weights("online"), strict=True))
    assert equal(networks.weights("target"), target)
    assert model(*batch()).train_op() == 2
    assert not equal(networks.weights("target"), target)


@pytest.mark.parametrize("use_target_graph", [True, False])
def test_no_gradient_flows_through_the_bootstrap(kind, scope, batch, networks, use_target_graph):
    """A2: no gradient into the target network, nor into the online one where it stands in."""
    features, labels = batch(done=np.zeros(6, np.float32))
    model = kind("eval", scope, use_target_graph=use_target_graph)
    model(features, labels)
    next_state = tf.Variable(labels["next_state"])
    with tf.GradientTape() as tape:
        loss = model(features, {**labels, "next_state": next_state}).loss
    watched = [next_state, *(networks.target.model.variables if use_target_graph else [])]
    assert tape.gradient(loss, watched) == [None] * len(watched)
    assert use_target_graph == ("Model/target" in scope.parts)


def test_the_optimizer_holds_the_online_network_alone(head_kind, scope, batch, networks):
    """A2: Adam keeps two slots for each variable it trains."""
    head_kind("train", scope)(*batch()).train_op()
    slots = [v.shape.num_elements() for v in scope.parts["Model/optimizer"].variables if v.shape.rank]
    assert slots == 2 * [sum(v.shape.num_elements() for v in networks.online.model.trainable_variables)]


def test_the_two_networks_share_no_variable(head_kind, scope, batch, networks):
    head_kind("train", scope)(*batch())
    online, target = ({v.ref() for v in n.model.variables} for n in (networks.online, networks.target))
    assert not online & target


def test_learning_fits_the_rewards_of_terminal_steps(head_kind, batch, compilations):
    features, labels = batch(done=np.ones(6, np.float32))
    model = head_kind("train", clip_gradients=None)
    update = compilations["function"](updating(model))
    losses = [float(update(features, labels)) for _ in range(60)]
    assert losses[-1] < 0.9 * losses[0]


def test_train_op_applies_the_gradient_of_the_loss(head_kind, scope, batch, networks, equal):
    features, labels = batch(3)
    model = head_kind("train", scope, optimizer_config=SGDConfig(1.0), clip_gradients=None)
    spec = model(features, labels)
    with tf.GradientTape() as tape:
        loss = head_kind("eval", scope)(features, labels).loss
    gradients = tape.gradient(loss, networks.online.model.trainable_variables)
    before = networks.trained()
    spec.train_op()
    for old, new, gradient in zip(before, networks.trained(), gradients, strict=True):
        np.testing.assert_allclose(old - new, gradient, rtol=1e-4, atol=1e-6)


# The target network's period ------------------------------------------------------------------------------------------


def test_the_target_is_the_online_network_at_the_start_and_after_each_period_only(
    dqn, scope, batch, networks, equal, compiled
):
    """A1, A5: synchronised after the update, on an exact count of updates."""
    model = dqn("train", scope, target_update_frequency=3)
    update = compiled(lambda features, labels: model(features, labels).train_op())
    model(*batch())
    assert equal(networks.weights("target"), networks.weights("online"))
    target = networks.weights("target")
    for step in range(1, 8):
        scope.global_timestep.assign_add(5)  # Another counter: it must not matter.
        assert update(*batch(step)) == step
        assert equal(networks.weights("target"), networks.weights("online")) == (step % 3 == 0)
        assert equal(networks.weights("target"), target) == (step % 3 != 0)
        target = networks.weights("target")


@pytest.mark.parametrize("labelled", [False, True])
def test_the_first_call_makes_both_networks_alike(head_kind, scope, batch, networks, equal, labelled):
    """A1: the target is a copy of the online network, not another draw of initial weights."""
    features, labels = batch()
    head_kind("train", scope)(features, labels if labelled else None)
    assert equal(networks.weights("target"), networks.weights("online"))


def test_several_updates_within_one_compiled_call_keep_the_period(dqn, batch, networks_of):
    def run(updates_per_call, jit_compile):
        scope = Scope(seed=0)
        model = dqn("train", scope, target_update_frequency=3)
        features, labels = batch()
        model(features, labels)

        def updates():
            for _ in range(updates_per_call):
                model(features, labels).train_op()

        call = tf.function(updates, autograph=False, jit_compile=True) if jit_compile else updates
        for _ in range(8 // updates_per_call):
            call()
        assert scope.global_step.numpy() == 8
        return networks_of(scope)

    singly, together = run(1, jit_compile=False), run(2, jit_compile=True)
    for role in ("online", "target"):
        for first, second in zip(singly.weights(role), together.weights(role), strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
    gap = max(np.abs(a - b).max() for a, b in zip(together.weights(), together.weights("target"), strict=True))
    assert gap > 1e-4  # Eight updates, a copy after the sixth.


def test_the_period_goes_by_the_count_of_all_updates_not_of_those_since_the_start(dqn, scope, batch, networks, equal):
    scope.global_step.assign(3)
    model = dqn("train", scope, target_update_frequency=5)
    for step, due in [(4, False), (5, True), (6, False)]:
        assert model(*batch(step)).train_op() == step
        assert equal(networks.weights("target"), networks.weights("online")) == due


def test_a_period_of_one_copies_the_updated_weights_not_those_before(head_kind, scope, batch, networks, equal):
    """A5: the copy follows the update."""
    model = head_kind("train", scope, target_update_frequency=1)
    model(*batch())
    before = networks.weights("online")
    model(*batch()).train_op()
    assert equal(networks.weights("target"), networks.weights("online"))
    assert not equal(networks.weights("target"), before)


class TwoNorms(layers.Layer):
    """A layer of layers, in which trainable variables and moving statistics take turns."""

    def __init__(self):
        super().__init__()
        self.norms = [layers.BatchNormalization(momentum=0.5) for _ in range(2)]

    def call(self, inputs, training=None):
        return self.norms[1](3.0 * self.norms[0](inputs, training=training) + 2.0, training=training)


@pytest.mark.parametrize(
    "torso",
    [
        pytest.param(lambda x: layers.BatchNormalization(momentum=0.5)(x), id="one layer"),
        pytest.param(lambda x: tf_keras.Sequential([layers.BatchNormalization(), layers.Dense(4)])(x), id="a model"),
        pytest.param(lambda x: TwoNorms()(x), id="a layer of layers"),
    ],
)
def test_a_copy_takes_the_moving_statistics_along_by_structure(dqn, scope, batch, networks, torso):
    """J2: copied by structure, all variables."""
    features, labels = batch()

    def graph_fn(mode, inputs):
        return layers.Dense(4)(torso(inputs["state"]))

    model = dqn("train", scope, target_update_frequency=2, graph_fn=graph_fn)
    for _ in range(2):
        model(features, labels).train_op()
    np.testing.assert_allclose(networks.target(features).q, networks.online(features).q, rtol=1e-5, atol=1e-6)


def test_a_layer_made_outside_of_graph_fn_is_refused_because_the_networks_would_share_it(dqn, batch):
    """A2, J1: a shared layer would be the target network's too, frozen with it and never trained."""
    shared = layers.Dense(4)
    model = dqn("train", graph_fn=lambda mode, inputs: shared(inputs["state"]))
    with pytest.raises(ValueError, match="graph_fn"):
        model(*batch())


# The loss -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "seed"), [("train", 0), ("train", 1), ("eval", 2)])
def test_the_loss_is_the_textbook_one_of_two_different_networks(kind, differing, batch, expected_losses, mode, seed):
    model = differing(kind, mode)
    features, labels = batch(seed, size=12)
    spec = model(features, labels)
    expected = expected_losses(kind, features, labels)
    np.testing.assert_allclose(spec.predictions["losses"], expected, rtol=1e-4, atol=SMALL)
    np.testing.assert_allclose(spec.loss, expected.mean(), rtol=1e-4)


def test_without_a_target_graph_the_online_network_bootstraps(kind, scope, batch, expected_losses):
    model = kind("train", scope, discount=GAMMA, use_target_graph=False, target_update_frequency=1)
    for seed in SEEDS:
        features, labels = batch(seed)
        spec = model(features, labels)
        expected = expected_losses(kind, features, labels, use_target=False)
        np.testing.assert_allclose(spec.predictions["losses"], expected, rtol=1e-4, atol=SMALL)
        spec.train_op()
    assert "Model/target" not in scope.parts


def test_the_double_kinds_choose_by_the_online_network_and_value_by_the_target(differing, scope, networks, batch, c51):
    """Where the two networks disagree about the best action, double and plain losses differ; elsewhere they are one."""
    double = c51._replace(arguments={**c51.arguments, "double": True}, double=True)
    features, labels = batch(4, size=40, done=np.zeros(40, np.float32))
    model = differing(double)
    plain = c51("train", scope, discount=GAMMA)
    following = {"state": labels["next_state"]}
    online, target = (network(following).q for network in (networks.online, networks.target))
    agree = np.argmax(online, axis=1) == np.argmax(target, axis=1)
    assert 0 < agree.sum() < 40
    gap = np.abs(model(features, labels).predictions["losses"] - plain(features, labels).predictions["losses"])
    np.testing.assert_allclose(gap[agree], 0.0, atol=SMALL)
    assert (gap[~agree] > 1e-4).all()


def test_done_rows_do_not_bootstrap_and_truncated_rows_do(kind, differing, batch):
    """A14: a truncated episode is not done; it keeps its bootstrap."""
    done = np.array([1, 0, 1, 0, 0, 1], np.float32)
    features, labels = batch(1, done=done)
    model = differing(kind)
    losses = model(features, labels).predictions["losses"].numpy()
    other = {**labels, "next_state": labels["next_state"] * -2.0 + 1.0}
    changed = np.abs(model(features, other).predictions["losses"].numpy() - losses) > SMALL
    np.testing.assert_array_equal(changed, done == 0)


def test_a_row_is_compared_with_its_own_next_state_and_no_row_is_dropped(kind, differing, batch):
    """A3, A4: the successor of a row is its `next_state`, not the row after it."""
    features, labels = batch(2, size=7)
    model = differing(kind)
    losses = model(features, labels).predictions["losses"].numpy()
    order = np.random.default_rng(0).permutation(7)
    shuffled = {key: tf.gather(value, order) for key, value in labels.items()}
    permuted = model({"state": tf.gather(features["state"], order)}, shuffled).predictions["losses"]
    np.testing.assert_allclose(permuted, losses[order], rtol=1e-5, atol=SMALL)
    for row in range(7):
        one = {key: value[row : row + 1] for key, value in labels.items()}
        alone = model({"state": features["state"][row : row + 1]}, one)
        np.testing.assert_allclose(alone.loss, losses[row], rtol=1e-4, atol=SMALL)


def test_an_empty_batch_is_refused(head_kind, scope, batch):
    """A4: a loss over no rows is no number."""
    model = head_kind("train", scope)
    model(*batch())
    with pytest.raises(ValueError, match=r"batch|empty|rows"):
        model(*batch(size=0))


def test_importance_weights_count_in_the_mean_and_nowhere_else(kind, differing, batch):
    """A20: one weight for each row."""
    features, labels = batch(3)
    model = differing(kind)
    plain = model(features, labels)
    weights = np.array([0.0, 1.0, 2.0, 0.5, 0.0, 3.0], np.float32)
    weighted = model(features, {**labels, "weights": weights})
    np.testing.assert_array_equal(weighted.predictions["losses"], plain.predictions["losses"])
    np.testing.assert_array_equal(weighted.predictions["td_error"], plain.predictions["td_error"])
    np.testing.assert_allclose(weighted.loss, np.mean(weights * plain.predictions["losses"]), rtol=1e-5)
    np.testing.assert_allclose(model(features, {**labels, "weights": np.ones(6)}).loss, plain.loss, rtol=1e-6)


def test_rows_of_weight_zero_do_not_train(head_kind, batch, networks_of):
    def trained(labels, weights):
        scope = Scope()
        model = head_kind("train", scope, optimizer_config=SGDConfig(0.5))
        model(features, {**labels, "weights": weights}).train_op()
        return networks_of(scope).trained()

    features, labels = batch()
    weights = np.array([1, 0, 1, 0, 0, 1], np.float32)
    other = {**labels, "reward": tf.where(weights > 0, labels["reward"], 9.0)}
    for first, second in zip(trained(labels, weights), trained(other, weights), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def test_a_discount_for_each_row_overrides_gamma(kind, differing, batch, expected_losses):
    features, labels = batch(5)
    labels["discount"] = tf.constant([0.0, 0.5, 0.99, 1.0, 0.2, 0.7])
    losses = differing(kind)(features, labels).predictions["losses"]
    np.testing.assert_allclose(losses, expected_losses(kind, features, labels), rtol=1e-4, atol=SMALL)
    by_gamma = expected_losses(kind, features, {**labels, "discount": GAMMA})
    assert abs(losses.numpy() - by_gamma)[4] > 0.01


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_the_discount_is_the_models_where_no_label_gives_it(head_kind, scope, batch, networks, expected_losses, gamma):
    features, labels = batch(6)
    model = head_kind("eval", scope, discount=gamma)
    model(features, labels)
    networks.perturb_target()
    expected = expected_losses(head_kind, features, labels, gamma=gamma)
    np.testing.assert_allclose(model(features, labels).predictions["losses"], expected, rtol=1e-4, atol=SMALL)


def test_the_default_loss_is_huber_with_delta_one(scalar_kind, scope, batch):
    """A13: linear beyond an error of one, half the square below."""
    features, labels = batch(reward=np.array([8, -9, 0.1, 0.2, 30, -40], np.float32), done=np.ones(6, np.float32))
    predictions = scalar_kind("eval", scope)(features, labels).predictions
    error = labels["reward"].numpy() - predictions["q"].numpy()[np.arange(6), labels["action"].numpy()]
    assert (np.abs(error) > 1).sum() >= 4
    np.testing.assert_allclose(predictions["td_error"], error, rtol=1e-5)
    expected = np.where(np.abs(error) < 1, error**2 / 2, np.abs(error) - 0.5)
    np.testing.assert_allclose(predictions["losses"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "loss"),
    [
        (HuberLossConfig(delta=2.0), lambda x: huber(x, 2.0)),
        (MeanSquaredErrorConfig(), np.square),
        (MeanAbsoluteErrorConfig(), np.abs),
        (LogCoshConfig(), lambda x: np.logaddexp(x, -x) - np.log(2.0)),
    ],
    ids=lambda value: getattr(value, "IDENTIFIER", ""),
)
def test_loss_config_decides_the_loss(scalar_kind, differing, batch, expected_losses, config, loss):
    features, labels = batch(7, reward=np.linspace(-6, 6, 6, dtype=np.float32))
    losses = differing(scalar_kind, loss_config=config)(features, labels).predictions["losses"]
    np.testing.assert_allclose(losses, expected_losses(scalar_kind, features, labels, loss=loss), rtol=1e-4, atol=SMALL)


def test_td_error_is_the_target_less_the_value_of_the_action_taken(kind, differing, batch):
    features, labels = batch(8, done=np.ones(6, np.float32), reward=np.full(6, 1.5, np.float32))
    predictions = differing(kind)(features, labels).predictions
    taken = predictions["q"].numpy()[np.arange(6), labels["action"].numpy()]
    np.testing.assert_allclose(predictions["td_error"], 1.5 - taken, rtol=1e-4, atol=SMALL)


# Layers that act otherwise in training --------------------------------------------------------------------------------


def dropout_torso(mode, inputs):
    return layers.Dropout(0.5)(layers.Dense(32)(inputs["state"]))


def test_dropout_acts_in_the_update_and_nowhere_else(kind, scope, batch):
    """A16: acting, evaluation and the bootstrap are in inference mode."""
    features, labels = batch()
    arguments = {"graph_fn": dropout_torso}
    learning = kind("train", scope, **arguments)
    passes = [learning(features, labels).predictions for _ in range(3)]
    assert not np.allclose(passes[0]["q"], passes[1]["q"])
    for mode, given in (("train", None), ("eval", None), ("eval", labels), ("infer", None)):
        model = kind(mode, scope, **arguments)
        first, second = (model(features, given).predictions["q"].numpy() for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert not np.allclose(first, passes[0]["q"])


def test_the_bootstrap_is_deterministic_under_dropout(kind, scope, batch):
    """A16: target, and the online network where it chooses the next action."""
    features, labels = batch(done=np.zeros(6, np.float32))
    model = kind("train", scope, graph_fn=dropout_torso, discount=1.0)
    targets = []
    for _ in range(3):
        predictions = model(features, labels).predictions
        taken = predictions["q"].numpy()[np.arange(6), labels["action"].numpy()]
        targets.append(predictions["td_error"].numpy() + taken)
    np.testing.assert_allclose(targets[0], targets[1], rtol=1e-4, atol=SMALL)
    np.testing.assert_allclose(targets[0], targets[2], rtol=1e-4, atol=SMALL)


def test_dropout_follows_from_the_seed_of_the_scope(dqn, batch, compilations):
    """One root seed, one run: the masks too."""

    def losses():
        model = dqn("train", Scope(seed=4), graph_fn=dropout_torso)
        update = compilations["function"](updating(model))
        return [float(update(*batch())) for _ in range(3)]

    assert losses() == losses()


def norm_torso(mode, inputs):
    return layers.BatchNormalization(momentum=0.9)(inputs["state"])


def moving_mean(network):
    return network.labelled_variables()["batch_normalization/moving_mean"].numpy()


def test_one_update_moves_the_batch_norm_statistics_once_by_the_states_alone(head_kind, scope, batch, networks):
    """A16: the next states do not count."""
    features, labels = batch(next_state=np.full([6, 4], 50.0, np.float32))
    head_kind("train", scope, graph_fn=norm_torso)(features, labels).train_op()
    expected = 0.1 * features["state"].numpy().mean(axis=0)
    np.testing.assert_allclose(moving_mean(networks.online), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("compilation", ["eager", "function"])
def test_the_target_networks_batch_norm_statistics_move_by_copying_alone(
    dqn, scope, batch, networks, compilations, compilation
):
    """A16: from the first update on, eager or not."""
    update = compilations[compilation](updating(dqn("train", scope, graph_fn=norm_torso, target_update_frequency=2)))
    update(*batch())
    np.testing.assert_array_equal(moving_mean(networks.target), 0.0)
    update(*batch())
    np.testing.assert_array_equal(moving_mean(networks.target), moving_mean(networks.online))
    assert np.abs(moving_mean(networks.target)).min() > 0.0


def test_acting_and_evaluating_leave_the_batch_norm_statistics_alone(head_kind, scope, batch, networks):
    """A16."""
    features, labels = batch()
    for mode, given in (("train", None), ("eval", labels), ("eval", None), ("infer", None)):
        head_kind(mode, scope, graph_fn=norm_torso)(features, given)
    np.testing.assert_array_equal(moving_mean(networks.online), 0.0)
    np.testing.assert_array_equal(moving_mean(networks.target), 0.0)


def test_the_batch_norm_statistics_do_not_move_before_train_op_is_called(dqn, scope, batch, networks):
    spec = dqn("train", scope, graph_fn=norm_torso)(*batch())
    np.testing.assert_array_equal(moving_mean(networks.online), 0.0)
    spec.train_op()
    assert np.abs(moving_mean(networks.online)).min() > 0.0


def test_regularisation_enters_the_training_loss_once_and_no_other(dqn, scope, batch, networks, compiled):
    """A17: the online network's alone."""

    def graph_fn(mode, inputs):
        return layers.Dense(8, kernel_regularizer=tf_keras.regularizers.l2(0.1))(inputs["state"])

    learning, evaluating = (dqn(mode, scope, graph_fn=graph_fn) for mode in ("train", "eval"))

    def losses(features, labels):
        spec = learning(features, labels)
        return spec.loss, evaluating(features, labels).loss, spec.predictions["losses"]

    losses = compiled(losses)
    for _ in range(2):
        trained, evaluated, rows = losses(*batch())
        kernel = networks.online.labelled_variables()["dense/kernel"].numpy()
        np.testing.assert_allclose(trained - evaluated, 0.1 * np.square(kernel).sum(), rtol=1e-4)
        np.testing.assert_allclose(evaluated, np.mean(rows), rtol=1e-5)
        networks.perturb_target()


def test_regularisation_is_not_scaled_by_the_importance_weights(dqn, scope, batch, networks):
    def graph_fn(mode, inputs):
        return layers.Dense(8, kernel_regularizer=tf_keras.regularizers.l2(0.1))(inputs["state"])

    features, labels = batch()
    loss = dqn("train", scope, graph_fn=graph_fn)(features, {**labels, "weights": np.zeros(6)}).loss
    kernel = networks.online.labelled_variables()["dense/kernel"].numpy()
    np.testing.assert_allclose(loss, 0.1 * np.square(kernel).sum(), rtol=1e-5)


# Clipping -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def update_by(scope, networks):
    """What one step of plain gradient descent takes off each trained variable: the gradients as applied."""

    def step(kind, features, labels, **arguments):
        model = kind("train", scope, optimizer_config=SGDConfig(1.0), **arguments)
        model(features, labels)
        before = networks.trained()
        model(features, labels).train_op()
        moved = [old - new for old, new in zip(before, networks.trained(), strict=True)]
        for variable, value in zip(networks.online.model.trainable_variables, before, strict=True):
            variable.assign(value)
        return moved

    return step


def norm(arrays):
    return np.sqrt(sum(np.square(array).sum() for array in arrays))


def test_clip_gradients_bounds_the_norm_of_all_gradients_and_keeps_their_direction(kind, batch, update_by):
    features, labels = batch(reward=np.full(6, 3.0, np.float32))
    free = update_by(kind, features, labels, clip_gradients=None)
    clip = 0.3 * norm(free)
    clipped = update_by(kind, features, labels, clip_gradients=clip)
    for before, after in zip(free, clipped, strict=True):
        np.testing.assert_allclose(after, 0.3 * before, rtol=1e-2, atol=2e-6)
    np.testing.assert_allclose(norm(clipped), clip, rtol=1e-3)


def test_gradients_below_the_bound_are_left_alone(dqn, batch, update_by):
    free = update_by(dqn, *batch(), clip_gradients=None)
    loose = update_by(dqn, *batch(), clip_gradients=2.0 * norm(free))
    for before, after in zip(free, loose, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("off", [0, 0.0, None])
def test_zero_and_none_do_not_clip(dqn, batch, update_by, off):
    """J5: clipping off is off."""
    features, labels = batch(reward=np.full(6, 9.0, np.float32))
    free = update_by(dqn, features, labels, clip_gradients=off)
    loose = update_by(dqn, features, labels, clip_gradients=1e6)
    assert norm(free) > 1.0
    np.testing.assert_allclose(norm(free), norm(loose), rtol=1e-5)


def test_the_default_bound_is_a_half(dqn, batch, update_by):
    features, labels = batch(reward=np.full(6, 9.0, np.float32))
    np.testing.assert_allclose(norm(update_by(dqn, features, labels)), 0.5, rtol=1e-3)


def embedding_torso(mode, inputs):
    return layers.Dense(4)(layers.Flatten()(layers.Embedding(10, 4)(inputs["state"])))


def discrete(batch, states):
    """A batch of states that are numbers, with large errors."""
    size = len(states)
    labels = {"reward": np.full(size, 9.0, np.float32), "done": np.ones(size, np.float32)}
    _, labels = batch(size=size, next_state=np.zeros([size, 1], np.int32), **labels)
    return {"state": tf.constant(states, tf.int32)[:, tf.newaxis]}, labels


@pytest.mark.parametrize("states", [[0, 1, 2, 3, 4, 5], [3, 3, 3, 3, 3, 3]], ids=["distinct rows", "one row, repeated"])
def test_clip_embed_gradients_bounds_the_table_alone(dqn, batch, update_by, states):
    """J4: whether the gradient comes in one piece per row or in several."""
    features, labels = discrete(batch, states)
    common = {"graph_fn": embedding_torso, "num_states": 1, "clip_gradients": None}
    free = update_by(dqn, features, labels, clip_embed_gradients=None, **common)
    clip = 0.2 * norm(free[:1])
    clipped = update_by(dqn, features, labels, clip_embed_gradients=clip, **common)
    np.testing.assert_allclose(norm(clipped[:1]), clip, rtol=1e-3)
    np.testing.assert_allclose(clipped[0], 0.2 * free[0], rtol=1e-2, atol=1e-6)
    for before, after in zip(free[1:], clipped[1:], strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("states", [[0, 1, 2, 3, 4, 5], [3, 3, 3, 3, 3, 3]], ids=["distinct rows", "one row, repeated"])
def test_clip_gradients_bounds_the_norm_with_an_embedding_too(dqn, batch, update_by, states):
    features, labels = discrete(batch, states)
    common = {"graph_fn": embedding_torso, "num_states": 1, "clip_embed_gradients": None}
    free = update_by(dqn, features, labels, clip_gradients=None, **common)
    clipped = update_by(dqn, features, labels, clip_gradients=0.2 * norm(free), **common)
    np.testing.assert_allclose(norm(clipped), 0.2 * norm(free), rtol=1e-3)


@pytest.mark.parametrize("off", [0, None])
def test_zero_and_none_do_not_clip_embeddings(dqn, batch, update_by, off):
    features, labels = discrete(batch, [0, 1, 2, 3, 4, 5])
    common = {"graph_fn": embedding_torso, "num_states": 1, "clip_gradients": None}
    free = update_by(dqn, features, labels, clip_embed_gradients=off, **common)
    loose = update_by(dqn, features, labels, clip_embed_gradients=1e6, **common)
    assert norm(free[:1]) > 0.1
    np.testing.assert_allclose(free[0], loose[0], rtol=1e-5)


def test_clip_embed_gradients_leaves_networks_without_embeddings_alone(dqn, batch, update_by):
    free = update_by(dqn, *batch(), clip_gradients=None, clip_embed_gradients=None)
    bound = update_by(dqn, *batch(), clip_gradients=None, clip_embed_gradients=1e-6)
    np.testing.assert_allclose(norm(bound), norm(free), rtol=1e-5)


# Evaluation metrics ---------------------------------------------------------------------------------------------------


def test_eval_metrics_report_what_they_are_asked_for_over_all_batches(head_kind, scope, batch):
    configs = [
        MetricConfig("Mean", "losses"),
        MetricConfig("Mean", "labels.reward", name="reward"),
        MetricConfig("MeanSquaredError", "labels.done", target="labels.reward", name="distance"),
    ]
    model = head_kind("eval", scope, eval_metrics_config=configs)
    specs = [model(*batch(seed)) for seed in (0, 1)]
    values = {key: float(metric.result()) for key, metric in specs[1].eval_metric_ops.items()}
    labels = [batch(seed)[1] for seed in (0, 1)]
    assert set(values) == {"Mean_losses", "reward", "distance"}
    np.testing.assert_allclose(values["Mean_losses"], np.mean([spec.loss for spec in specs]), rtol=1e-5)
    np.testing.assert_allclose(values["reward"], np.mean([y["reward"] for y in labels]), rtol=1e-5)
    distances = [np.square(y["reward"] - y["done"]) for y in labels]
    np.testing.assert_allclose(values["distance"], np.mean(distances), rtol=1e-5)


def test_eval_metrics_belong_to_eval_alone(dqn, scope, batch):
    spec = dqn("train", scope, eval_metrics_config=[MetricConfig()])(*batch())
    assert spec.eval_metric_ops == {}
    assert dqn("eval", scope, eval_metrics_config=[MetricConfig()])(batch()[0]).eval_metric_ops == {}


def test_a_metric_of_an_unknown_value_lists_those_there_are(dqn, batch):
    model = dqn("eval", eval_metrics_config=[MetricConfig("Mean", "los")])
    with pytest.raises(KeyError, match=r"asks for 'los'; there are .*'losses'"):
        model(*batch())


# Compiled and not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dqn", pytest.param("ddqn", marks=pytest.mark.slow), "c51_double"], indirect=True)
def test_twenty_updates_are_the_same_eager_traced_and_compiled(kind, batch, networks_of, compilations):
    results = {}
    for name, compiled in compilations.items():
        scope = Scope(seed=3)
        update = compiled(updating(kind("train", scope, target_update_frequency=7)))
        losses = [float(update(*batch(seed))) for seed in range(20)]
        results[name] = [np.array(losses), *networks_of(scope).everything()]
    for name in ("function", "xla"):
        for first, second in zip(results["eager"], results[name], strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-5)


def test_the_same_seed_gives_the_same_ten_updates_bit_for_bit(head_kind, batch, networks_of, equal):
    def run():
        scope = Scope(seed=5)
        update = updating(head_kind("train", scope))
        for step in range(10):
            update(*batch(step))
        return networks_of(scope).everything()

    assert equal(run(), run())


def test_a_deep_torso_trains_in_every_layer(head_kind, scope, batch, networks):
    model = head_kind("train", scope, graph_fn=mlp([8, 8, 8], activation="tanh"))
    model(*batch())
    before = networks.weights()
    model(*batch()).train_op()
    assert not any(np.array_equal(a, b) for a, b in zip(before, networks.weights(), strict=True))
