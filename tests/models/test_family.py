"""The family's losses against loops in NumPy, with online and target networks that differ; heads, noise, policies."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from family_testing import ACTIONS, FAMILY, QUANTILE, ROWS, SOFT, build, outputs
from model_testing import GAMMA, huber, softmax


@pytest.fixture(params=FAMILY)
def name(request):
    return request.param


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


@pytest.mark.parametrize("mode", ["train", pytest.param("eval", marks=pytest.mark.slow)])
def test_the_loss_is_the_papers_of_two_different_networks(name, apart, batch, networks, mode):
    model = apart(name, mode)
    features, labels = batch(3, size=ROWS)
    spec = model(features, labels)
    found = outputs(model, networks, features, labels, mode)
    losses = expected(name, model, found, labels)
    np.testing.assert_allclose(spec.predictions["losses"], losses, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(spec.loss, losses.mean(), rtol=2e-4)


@pytest.mark.default_cases(4)
def test_windows_of_steps_are_reduced(name, apart, batch):
    """As one transition with their discounted reward."""
    model = apart(name, "eval")
    features, labels = batch(5, size=ROWS, done=np.zeros(ROWS, np.float32))
    reward = np.asarray(labels["reward"])
    window = {**labels, "reward": np.stack([reward, reward * 0.5], axis=1), "done": np.zeros([ROWS, 2], np.float32)}
    one = {**labels, "reward": reward * (1 + 0.5 * GAMMA), "discount": np.full(ROWS, GAMMA**2, np.float32)}
    first, second = (model(features, given).predictions["losses"] for given in (window, one))
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.default_cases(6)
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


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
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


@pytest.mark.default_cases(4)
def test_the_policy_of_infer_takes_the_greedy_actions_of_eval(name, scope, batch):
    features, _ = batch(7, size=ROWS)
    acting = [build(name, mode, scope)(features).predictions["results"].numpy() for mode in ("eval", "infer")]
    np.testing.assert_array_equal(*acting)
    policy = build(name, "infer", scope)(features).extra_ops["policy"]
    assert policy.action_spec.maximum == ACTIONS - 1
