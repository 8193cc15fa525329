"""The family's losses against loops in NumPy, with online and target networks that differ; heads, noise, policies."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from model_testing import GAMMA, huber, softmax

from polyrl.configs import ConstantExplorationConfig, GreedyExplorationConfig, MeanSquaredErrorConfig
from polyrl.models import (
    CategoricalDQNModel,
    DQNModel,
    ExpectedSarsaModel,
    IQNModel,
    MunchausenDQNModel,
    MunchausenIQNModel,
    NAFModel,
    QRDQNModel,
    RainbowModel,
    Scope,
)
from polyrl.networks import mlp
from polyrl.networks.drawing import drawing

ROWS, ACTIONS = 12, 3
SOFT = {"entropy_temperature": 0.3, "munchausen_scale": 0.8, "log_policy_minimum": -0.5}
FAMILY = {
    "qr_dqn": (QRDQNModel, {"num_quantiles": 5, "kappa": 0.5}),
    "qr_dqn_double": (QRDQNModel, {"num_quantiles": 5, "double": True}),
    "qr_dqn_noisy": (QRDQNModel, {"num_quantiles": 5, "noisy": True, "dueling": None}),
    "iqn": (IQNModel, {"num_samples": 6, "num_policy_samples": 4, "num_cosines": 7}),
    "iqn_double": (IQNModel, {"num_samples": 6, "num_policy_samples": 4, "double": True, "head_units": (5,)}),
    "munchausen": (MunchausenDQNModel, SOFT),
    "munchausen_noisy": (MunchausenDQNModel, {**SOFT, "noisy": True}),
    "munchausen_iqn": (MunchausenIQNModel, {**SOFT, "num_samples": 6, "num_policy_samples": 4}),
    "expected_sarsa": (ExpectedSarsaModel, {"exploration_config": ConstantExplorationConfig(0.4)}),
    "dqn_noisy": (DQNModel, {"noisy": True, "head_units": (5,)}),
    "dqn_double": (DQNModel, {"double": True}),
    "rainbow": (RainbowModel, {"num_atoms": 5, "min_q_value": -2.0, "max_q_value": 2.0}),
}
QUANTILE = ("qr_dqn", "qr_dqn_double", "qr_dqn_noisy", "iqn", "iqn_double", "munchausen_iqn")


def build(name, mode="train", scope=None, **arguments):
    model_class, defaults = FAMILY[name]
    with (Scope() if scope is None else scope).active():
        given = {"discount": GAMMA, "summaries": [], **defaults, **arguments}
        return model_class(mode, mlp([8]), 4, ACTIONS, **given)


@pytest.fixture(params=FAMILY)
def name(request):
    return request.param


@pytest.fixture
def apart(scope, batch, networks):
    """Builds a model in `scope` whose target network differs from the online one in every weight."""

    def make(name, mode="train", **arguments):
        build(name, "train", scope, **arguments)(*batch(size=ROWS))
        networks.perturb_target()
        return build(name, mode, scope, **arguments)

    return make


def outputs(model, networks, features, labels, mode):
    """What the networks give for the roles of an update, with the noise of that update."""
    drawn, following = model._networks._drawing, {"state": labels["next_state"]}
    found = {}
    for role, network, inputs in (
        ("online", networks.online, features),
        ("next_online", networks.online, following),
        ("next_target", networks.target, following),
        ("target", networks.target, features),
    ):
        with drawn(role, mode):
            found[role] = network(inputs, mode)
    return found


def quantile_loss(target, quantiles, fractions, kappa):
    error = target[None, :] - quantiles[:, None]
    size = np.abs(error)
    line = np.where(size <= kappa, 0.5 * error**2 / max(kappa, 1e-9), size - 0.5 * kappa)
    return (np.abs(fractions[:, None] - (error < 0)) * line).mean(axis=1).sum()


def expected(name, model, found, labels):
    """The loss of each row as the papers have it, written down row by row."""
    reward, done, action = (np.asarray(labels[key], np.float64) for key in ("reward", "done", "action"))
    discount, losses = GAMMA * (1.0 - done), []
    part = {
        role: {k: np.asarray(v, np.float64) for k, v in spec._asdict().items() if v is not None}
        for role, spec in found.items()
    }
    munchausen = name.startswith("munchausen")
    for row in range(len(reward)):
        a = int(action[row])
        next_q = part["next_target"]["q"][row]
        best = int(np.argmax(part["next_online"]["q"][row] if model.double else next_q))
        r = reward[row]
        if munchausen:
            now = softmax(part["target"]["q"][row] / SOFT["entropy_temperature"])
            log = SOFT["entropy_temperature"] * np.log(now[a])
            r += SOFT["munchausen_scale"] * np.clip(log, SOFT["log_policy_minimum"], 0.0)
            policy = softmax(next_q / SOFT["entropy_temperature"])
            entropy = -SOFT["entropy_temperature"] * np.log(policy)
        if name in QUANTILE:
            z = part["next_target"]["quantiles"][row]
            bootstrap = policy @ (z + entropy[:, None]) if munchausen else z[best]
            target = r + discount[row] * bootstrap
            online = part["online"]
            losses.append(quantile_loss(target, online["quantiles"][row, a], online["fractions"][row], model.kappa))
        elif name == "rainbow":
            atoms = np.linspace(-2.0, 2.0, 5)
            target = np.zeros(5)
            for z, p in zip(atoms, softmax(part["next_target"]["logits"][row, best]), strict=True):
                position = (np.clip(r + discount[row] * z, -2.0, 2.0) + 2.0) / 1.0
                low = min(int(np.floor(position)), 3)
                target[low] += p * (low + 1 - position)
                target[low + 1] += p * (position - low)
            losses.append(-(target * np.log(softmax(part["online"]["logits"][row, a]))).sum())
        else:
            bootstrap = next_q[best]
            if munchausen:
                bootstrap = policy @ (next_q + entropy)
            elif name == "expected_sarsa":
                bootstrap = 0.6 * next_q.max() + 0.4 * next_q.mean()
            losses.append(huber(r + discount[row] * bootstrap - part["online"]["q"][row, a]))
    return np.array(losses)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_loss_is_the_papers_of_two_different_networks(name, apart, batch, networks, mode):
    model = apart(name, mode)
    features, labels = batch(3, size=ROWS)
    spec = model(features, labels)
    found = outputs(model, networks, features, labels, mode)
    losses = expected(name, model, found, labels)
    np.testing.assert_allclose(spec.predictions["losses"], losses, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(spec.loss, losses.mean(), rtol=2e-4)


def test_windows_of_steps_are_reduced(name, apart, batch):
    """As one transition with their discounted reward."""
    model = apart(name, "eval")
    features, labels = batch(5, size=ROWS, done=np.zeros(ROWS, np.float32))
    reward = np.asarray(labels["reward"])
    window = {**labels, "reward": np.stack([reward, reward * 0.5], axis=1), "done": np.zeros([ROWS, 2], np.float32)}
    one = {**labels, "reward": reward * (1 + 0.5 * GAMMA), "discount": np.full(ROWS, GAMMA**2, np.float32)}
    first, second = (model(features, given).predictions["losses"] for given in (window, one))
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_illegal_actions_change_nothing_whatever_their_values_are(name, apart, masked, networks):
    """Their head's weights may be anything: neither greedy actions nor losses of legal actions depend on them."""
    model = apart(name, "eval")
    features, labels = masked(1)
    mask = features["action_mask"].numpy()
    legal = np.array([np.flatnonzero(row)[0] for row in mask])
    labels = {**labels, "action": tf.constant(legal)}
    spec = model(features, labels)
    assert mask[np.arange(len(mask)), spec.predictions["results"].numpy()].all()
    assert np.isfinite(spec.predictions["losses"]).all()


@pytest.mark.parametrize("jit", [False, True])
def test_an_update_learns_in_a_compiled_call(name, scope, batch, networks, jit):
    model = build(name, scope=scope)
    features, labels = batch(2, size=ROWS)
    before_build = model(features, labels)
    assert np.isfinite(before_build.loss)
    before = networks.trained()

    @tf.function(autograph=False, jit_compile=jit)
    def update():
        spec = model(features, labels)
        spec.train_op()
        return spec.loss

    losses = [float(update()) for _ in range(150)]
    assert np.mean(losses[-20:]) < np.mean(losses[:20])  # Those with noise are noisy.
    assert all((first != second).any() for first, second in zip(before, networks.trained(), strict=True))


def test_the_policy_of_infer_takes_the_greedy_actions_of_eval(name, scope, batch):
    features, _ = batch(7, size=ROWS)
    acting = [build(name, mode, scope)(features).predictions["results"].numpy() for mode in ("eval", "infer")]
    np.testing.assert_array_equal(*acting)
    policy = build(name, "infer", scope)(features).extra_ops["policy"]
    assert policy.action_spec.maximum == ACTIONS - 1


# Noise. -----------------------------------------------------------------------------------------------------------------

NOISY = ("qr_dqn_noisy", "munchausen_noisy", "dqn_noisy", "rainbow", "iqn", "munchausen_iqn")
"""Those that draw in a forward pass: noise, or fractions."""


@pytest.mark.parametrize("name", NOISY)
def test_only_training_draws(name, scope, batch):
    features, _ = batch(4, size=ROWS)
    draws = {}
    for mode in ("train", "eval", "infer"):
        model, found = build(name, mode, scope, exploration_config=GreedyExplorationConfig()), []
        for timestep in (1, 2, 1):
            scope.global_timestep.assign(timestep)
            found.append(model(features).predictions["q"].numpy())
        draws[mode] = found
    first, second, again = draws["train"]
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)
    for mode in ("eval", "infer"):
        np.testing.assert_array_equal(draws[mode][0], draws[mode][1])
        np.testing.assert_array_equal(draws[mode][0], draws["eval"][0])


@pytest.mark.parametrize("name", NOISY)
def test_each_role_of_an_update_draws_its_own_numbers_and_each_update_others(name, scope, batch, networks):
    """With equal networks and equal states: the online and the target network differ by their noise alone."""
    model = build(name, scope=scope)
    features, labels = batch(4, size=ROWS)
    labels = {**labels, "next_state": features["state"]}
    model(features, labels)
    found = outputs(model, networks, features, labels, "train")
    values = [found[role].q.numpy() for role in ("online", "next_online", "next_target", "target")]
    scope.global_step.assign_add(1)
    values.append(outputs(model, networks, features, labels, "train")["online"].q.numpy())
    with model._networks._drawing("acting", "train"):
        values.append(networks.online(features, "train").q.numpy())
    for index, first in enumerate(values):
        for second in values[:index]:
            assert (np.abs(first - second) > 1e-6).any()


def test_iqn_draws_as_many_fractions_as_its_arguments_say(scope, batch, networks):
    model = build("iqn", scope=scope)
    features, labels = batch(4, size=ROWS)
    model(features, labels)
    found = outputs(model, networks, features, labels, "train")
    assert found["online"].quantiles.shape == (ROWS, ACTIONS, 6)
    assert found["next_target"].fractions.shape == (ROWS, 6)
    fractions = found["online"].fractions.numpy()
    assert ((fractions >= 0) & (fractions < 1)).all()
    assert len(np.unique(fractions)) == fractions.size
    with model._networks._drawing("acting", "train"):
        assert networks.online(features, "train").quantiles.shape == (ROWS, ACTIONS, 4)
    plain = networks.online(features, "eval")
    np.testing.assert_allclose(plain.fractions, np.tile([0.125, 0.375, 0.625, 0.875], [ROWS, 1]))


def test_iqn_computes_equation_4(scope, batch, networks):
    """Cosines of the fractions, a dense layer with a ReLU, the product with the torso's output, the heads."""
    model = build("iqn", scope=scope, dueling=None)
    features, labels = batch(4, size=ROWS)
    model(features, labels)
    weights = {label: v.numpy().astype(np.float64) for label, v in networks.online.labelled_variables().items()}
    with drawing(lambda number: tf.constant([3, number], tf.int64)):
        found = networks.online(features, "train")
    torso = np.maximum(features["state"].numpy() @ weights["dense/kernel"] + weights["dense/bias"], 0.0)
    for row in range(ROWS):
        for n, tau in enumerate(found.fractions.numpy()[row]):
            cosines = np.cos(np.pi * np.arange(7) * tau)
            phi = np.maximum(cosines @ weights["fractions/kernel"] + weights["fractions/bias"], 0.0)
            expected = (torso[row] * phi) @ weights["advantage/kernel"] + weights["advantage/bias"]
            np.testing.assert_allclose(found.quantiles[row, :, n], expected, rtol=1e-3, atol=1e-5)


# Switches. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FAMILY])
def test_rewards_are_scaled_then_clipped_before_anything_is_learned_from_them(name, apart, scope, batch):
    features, labels = batch(3, size=ROWS)
    model = apart(name, "eval", reward_scale=2.0, clip_rewards=1.0)
    given = model(features, labels).predictions["losses"]
    plain = build(name, "eval", scope)
    reward = np.clip(2.0 * labels["reward"].numpy(), -1.0, 1.0)
    np.testing.assert_array_equal(given, plain(features, {**labels, "reward": reward}).predictions["losses"])
    assert (np.abs(reward) == 1.0).any()
    assert (np.abs(reward) < 1.0).any()


@pytest.mark.parametrize("units", [(), (5,), (6, 5)])
@pytest.mark.parametrize("dueling", [None, "mean"])
def test_each_stream_of_a_head_has_its_hidden_layers(scope, batch, networks, units, dueling):
    model = build("dqn_double", scope=scope, head_units=units, dueling=dueling)
    model(*batch())
    names = [label.removesuffix("/kernel") for label in networks.online.labelled_variables() if label.endswith("/kernel")]
    streams = ["advantage"] if dueling is None else ["advantage", "value"]
    hidden = [f"{stream}_hidden{'_1' * number}" for stream in streams for number in range(len(units))]
    assert sorted(names) == sorted(["dense", *streams, *hidden])


def test_what_has_no_effect_is_refused():
    with pytest.raises(ValueError, match="double=True has no effect"):
        build("munchausen", double=True)
    with pytest.raises(ValueError, match="double=True has no effect"):
        build("expected_sarsa", double=True)
    with pytest.raises(ValueError, match="loss_config must be None: the loss of QR-DQN"):
        build("qr_dqn", loss_config=MeanSquaredErrorConfig())
    with pytest.raises(TypeError, match="unexpected keyword argument 'noisy'"):
        NAFModel("train", mlp([8]), 3, 1, noisy=True)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("qr_dqn", {"num_quantiles": 0}),
        ("qr_dqn", {"kappa": -1.0}),
        ("iqn", {"num_samples": 0}),
        ("iqn", {"num_policy_samples": 0}),
        ("iqn", {"num_cosines": 0}),
        ("munchausen", {"entropy_temperature": 0.0}),
        ("munchausen", {"munchausen_scale": 1.5}),
        ("munchausen", {"log_policy_minimum": 0.5}),
        ("dqn_double", {"reward_scale": 0.0}),
        ("dqn_double", {"clip_rewards": 0.0}),
        ("dqn_double", {"head_units": (0,)}),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name, arguments):
    (argument,) = arguments
    with pytest.raises(ValueError, match=argument):
        build(name, **arguments)


def test_rainbow_is_a_preset_of_parts_each_of_which_can_be_switched_off():
    rainbow = build("rainbow")
    assert (rainbow.double, rainbow.noisy, rainbow.dueling) == (True, True, "mean")
    assert rainbow.exploration_config == GreedyExplorationConfig()
    plain = build("rainbow", double=False, noisy=False, dueling=None, exploration_config=ConstantExplorationConfig(0.1))
    assert isinstance(plain, CategoricalDQNModel)
    assert (plain.double, plain.noisy, plain.dueling) == (False, False, None)
