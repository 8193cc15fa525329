"""The parts of the family: noise and random fractions, rewards, hidden layers, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from family_testing import ACTIONS, FAMILY, ROWS, build, outputs

from polyrl.configs import (
    BoltzmannExplorationConfig,
    ConstantExplorationConfig,
    GreedyExplorationConfig,
    MeanSquaredErrorConfig,
)
from polyrl.models import CategoricalDQNModel, NAFModel
from polyrl.networks import mlp
from polyrl.networks.drawing import drawing
from polyrl.policies import TimeStep

# Noise. -----------------------------------------------------------------------------------------------------------------

NOISY = ("qr_dqn_noisy", "munchausen_noisy", "dqn_noisy", "rainbow", "iqn", "munchausen_iqn")
"""Those that draw in a forward pass: noise, or fractions."""


@pytest.mark.default_cases(4)
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


@pytest.mark.default_cases(3)
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


@pytest.mark.default_cases(4)
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


@pytest.mark.parametrize("name", ["rainbow", "qr_dqn", "iqn", "munchausen_iqn"])
def test_a_risk_level_is_the_business_of_infer_alone(scope, batch, name):
    features, _ = batch(3, size=300)
    greedy = GreedyExplorationConfig()
    cautious = {
        mode: build(name, mode, scope, risk_level=0.1, exploration_config=greedy)(features).predictions
        for mode in ("train", "eval", "infer")
    }
    for mode in ("train", "eval"):
        q = cautious[mode]["q"].numpy()
        np.testing.assert_array_equal(q[np.arange(300), cautious[mode]["results"]], q.max(axis=1))  # Some are equal.
    policy = build(name, "infer", scope, risk_level=0.1)(features).extra_ops["policy"]
    assert policy.risk_level == 0.1
    distribution = policy.value_distribution(TimeStep.restart({"state": features["state"]}, batch_size=300))
    atoms = np.broadcast_to(distribution.atoms, distribution.probabilities.shape)
    worst = np.minimum(np.cumsum(distribution.probabilities, axis=-1), 0.1)
    tail = np.diff(worst, axis=-1, prepend=0.0)
    values = (tail * atoms).sum(axis=-1)
    chosen = cautious["infer"]["results"].numpy()
    np.testing.assert_allclose(values[np.arange(300), chosen], values.max(axis=1), atol=1e-6)
    assert (chosen != np.argmax(cautious["infer"]["q"], axis=1)).any()


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
    assert build("dqn_noisy").exploration_config == GreedyExplorationConfig()
    assert build("dqn_noisy", exploration_config=ConstantExplorationConfig(0.1)).exploration_config.value == 0.1
    plain = build("rainbow", double=False, noisy=False, dueling=None, exploration_config=ConstantExplorationConfig(0.1))
    assert isinstance(plain, CategoricalDQNModel)
    assert (plain.double, plain.noisy, plain.dueling) == (False, False, None)


def test_expected_sarsa_refuses_a_rate_that_is_no_epsilon():
    with pytest.raises(ValueError, match=r"exploration_config=BoltzmannExplorationConfig.*does not give the epsilon"):
        build("expected_sarsa", exploration_config=BoltzmannExplorationConfig())
    with pytest.raises(ValueError, match=r"exploration_config=BoltzmannExplorationConfig.*does not give the epsilon"):
        build("expected_sarsa", exploration_config=BoltzmannExplorationConfig(0.1, warmup_timesteps=5))
