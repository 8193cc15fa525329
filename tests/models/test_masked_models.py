"""Masks in the Q models: illegal actions are neither taken nor bootstrapped from."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from model_testing import ACTIONS, GAMMA, SIZE, targets_of

from polyrl.configs import BoltzmannExplorationConfig, ConstantExplorationConfig
from polyrl.policies import QPolicy

SEEDS = [0, 1]


@pytest.fixture
def differing(scope, masked, networks):
    """Builds a model whose two networks differ in every weight."""

    def build(kind, mode="train", **arguments):
        model = kind(mode, scope, **{"discount": GAMMA, **arguments})
        model(*masked())
        networks.perturb_target()
        return model

    return build


# Targets. ---------------------------------------------------------------------------------------------------------------


def naive_target(kind, row, reward, discount, networks, next_state, mask):
    """The expected value of the target of one row, action by action."""
    state = {"state": next_state[row : row + 1]}
    online, target = networks.online(state), networks.target(state)
    best, best_value = None, -np.inf
    for action in range(ACTIONS):
        value = float((online if kind.double else target).q[0, action])
        if mask[row, action] and value > best_value:
            best, best_value = action, value
    if best is None or discount == 0.0:
        assert discount == 0.0
        best = 0
    if not kind.categorical:
        return reward + discount * float(target.q[0, best])
    low, high, number = (kind.arguments[key] for key in ("min_q_value", "max_q_value", "num_atoms"))
    probabilities = tf.nn.softmax(target.logits[0, best]).numpy()
    # The projection keeps the mean of what it does not clip.
    return sum(
        p * np.clip(reward + discount * z, low, high)
        for p, z in zip(probabilities, np.linspace(low, high, number), strict=True)
    )


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_targets_bootstrap_from_legal_actions_only(kind, differing, masked, networks, mode, seed):
    model = differing(kind, mode)
    features, labels = masked(seed)
    targets, spec = targets_of(model, features, labels)
    mask, done = labels["next_action_mask"].numpy(), labels["done"].numpy()
    assert not mask[done > 0].any()
    for row in range(SIZE):
        reward = float(labels["reward"][row])
        expected = naive_target(kind, row, reward, GAMMA * (1 - done[row]), networks, labels["next_state"], mask)
        assert float(targets[row]) == pytest.approx(expected, abs=2e-4), row
    assert np.isfinite(spec.loss.numpy())
    unmasked = model({"state": features["state"]}, {k: v for k, v in labels.items() if k != "next_action_mask"})
    assert abs(float(unmasked.loss) - float(spec.loss)) > 1e-3


def test_windows_bootstrap_by_the_mask_of_the_state_at_their_end(kind, differing, masked, networks):
    n = 3
    rng = np.random.default_rng(4)
    rewards = rng.normal(size=[SIZE, n]).astype(np.float32)
    done = (rng.random([SIZE, n]) < 0.15).astype(np.float32)
    model = differing(kind)
    features, labels = masked(5, reward=rewards, done=done)
    targets, _ = targets_of(model, features, labels)
    mask = labels["next_action_mask"].numpy()
    for row in range(SIZE):
        total, discount = 0.0, 1.0
        for k in range(n):
            total, discount = total + discount * rewards[row, k], discount * GAMMA
            if done[row, k]:
                discount = 0.0
                break
        expected = naive_target(kind, row, total, discount, networks, labels["next_state"], mask)
        assert float(targets[row]) == pytest.approx(expected, abs=2e-4), row


def test_a_mask_of_the_next_state_alone_masks_the_target(dqn, differing, masked, networks):
    model = differing(dqn)
    features, labels = masked(1)
    expected = model(features, labels).loss.numpy()
    np.testing.assert_array_equal(model({"state": features["state"]}, labels).loss, expected)
    np.testing.assert_array_equal(model(features["state"], labels).loss, expected)


def test_masks_of_all_actions_change_nothing(kind, differing, batch):
    model = differing(kind)
    features, labels = batch(3, SIZE)
    everything = np.ones([SIZE, ACTIONS], bool)
    plain = model(features, labels)
    full = model({**features, "action_mask": everything}, {**labels, "next_action_mask": everything})
    for name, value in plain.predictions.items():
        np.testing.assert_array_equal(full.predictions[name], value, err_msg=name)
    np.testing.assert_array_equal(full.loss, plain.loss)


@pytest.mark.parametrize(
    "kind",
    ["ddqn", "c51_double", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("dqn", "c51"))],
    indirect=True,
)
def test_an_update_is_the_same_however_it_is_compiled(kind, masked, networks_of, compilations):
    from polyrl.models import Scope

    found = {}
    for name, compile_it in compilations.items():
        scope = Scope(seed=0)
        model = kind("train", scope, discount=GAMMA, target_update_frequency=2)
        model(*masked(0))
        update = compile_it(lambda features, labels, model=model: _updated(model, features, labels))
        losses = [update(*masked(seed)).numpy() for seed in range(3)]
        found[name] = [*losses, *networks_of(scope).weights()]
    for name in ("function", "xla"):
        for value, expected in zip(found[name], found["eager"], strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5, err_msg=name)


def _updated(model, features, labels):
    spec = model(features, labels)
    spec.train_op()
    return spec.loss


# Actions. ---------------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_greedy_action_is_the_best_legal_one_in_each_mode(head_kind, scope, masked, compiled, mode, seed):
    features, _ = masked(seed, size=50)
    model = head_kind(mode, scope, exploration_config=ConstantExplorationConfig(0.0))
    predictions = compiled(lambda features: dict(model(features).predictions))(features)
    q, mask = predictions["q"].numpy(), features["action_mask"].numpy()
    for row in range(50):
        legal = [action for action in range(ACTIONS) if mask[row, action]]
        assert predictions["results"][row] == max(legal, key=lambda action: q[row, action])
    assert (predictions["results"].numpy() != q.argmax(axis=1)).any()


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


MANY = 9_000


def test_exploration_is_uniform_over_the_legal_actions(head_kind, scope, masked):
    features, _ = masked(0, size=1)
    mask = np.repeat([[1, 0, 1], [0, 1, 0], [1, 1, 1]], MANY, axis=0)
    state = tf.repeat(features["state"], len(mask), axis=0)
    model = head_kind("train", scope, exploration_config=ConstantExplorationConfig(1.0))
    actions = model({"state": state, "action_mask": mask}).predictions["results"].numpy().reshape([3, MANY])
    counts = np.stack([np.bincount(row, minlength=ACTIONS) for row in actions])
    assert counts[[0, 1, 1], [1, 0, 2]].tolist() == [0, 0, 0]
    assert counts[1, 1] == MANY
    # Of one and of two degrees of freedom: exceeded once in 100,000 times.
    assert chi_square(counts[0, [0, 2]]) < 19.5
    assert chi_square(counts[2]) < 23.0


def test_the_policy_of_infer_draws_among_the_legal_by_their_values(head_kind, scope, masked):
    features, _ = masked(0, size=1)
    mask = np.tile([[1, 0, 1]], [MANY, 1])
    state = tf.repeat(features["state"], MANY, axis=0)
    predictions = head_kind("infer", scope, temperature=0.5)({"state": state, "action_mask": mask}).predictions
    counts = np.bincount(predictions["results"].numpy(), minlength=ACTIONS)
    weights = np.exp(predictions["q"].numpy()[0].astype(np.float64) / 0.5) * [1, 0, 1]
    expected = weights / weights.sum()
    assert counts[1] == 0
    assert abs(counts[0] / MANY - expected[0]) < 5 * np.sqrt(expected[0] * expected[2] / MANY)


def test_without_a_mask_the_policy_has_no_splitter(head_kind, scope, batch, masked):
    model = head_kind("infer", scope)
    assert model(batch()[0]).extra_ops["policy"].observation_and_action_constraint_splitter is None
    policy = model(masked()[0]).extra_ops["policy"]
    assert isinstance(policy, QPolicy) != head_kind.categorical
    network, mask = policy.observation_and_action_constraint_splitter(masked()[0])
    assert network.keys() == {"state"}
    assert mask.shape == [SIZE, ACTIONS]


@pytest.mark.slow
def test_boltzmann_exploration_is_among_legal_actions(dqn, scope, masked):
    """At so high a temperature every action is drawn, if it is legal."""
    features = masked()[0]
    model = dqn("train", scope, exploration_config=BoltzmannExplorationConfig(temperature=1e6))
    legal = features["action_mask"].numpy() != 0
    drawn = np.zeros_like(legal)
    for timestep in range(60):
        scope.global_timestep.assign(timestep)
        drawn[np.arange(SIZE), model(features).predictions["results"].numpy()] = True
    np.testing.assert_array_equal(drawn, legal)
