"""What the family's targets and priorities are made of, where a mistake would be seen in no loss of the other tests."""

from __future__ import annotations

import numpy as np
import pytest
from family_testing import ACTIONS, outputs
from model_testing import GAMMA

from polyrl.configs import HuberLossConfig
from polyrl.models import R2D2Model
from polyrl.networks import mlp


@pytest.mark.parametrize("name", ["qr_dqn", "iqn", "munchausen_iqn"])
def test_priorities_of_quantiles_are_the_losses(name, apart, batch):
    spec = apart(name)(*batch(3, size=12))
    priorities, losses = spec.extra_ops["priorities"].numpy(), spec.predictions["losses"].numpy()
    np.testing.assert_array_equal(priorities, losses)
    assert np.abs(priorities - np.abs(spec.predictions["td_error"])).max() > 0.01


def test_expected_sarsa_expects_legal_actions_alone(apart, masked, networks):
    """A uniform action with probability 0.4, among those that are legal in the next state."""
    model = apart("expected_sarsa", "eval", loss_config=HuberLossConfig(delta=1e6))
    features, labels = masked(1)
    found = outputs(model, networks, {"state": features["state"]}, labels, "eval")
    expected = []
    for row, legal in enumerate(labels["next_action_mask"].numpy() > 0):
        q = found["next_target"].q.numpy()[row][legal]
        value = 0.6 * q.max() + 0.4 * q.mean() if legal.any() else 0.0
        taken = found["online"].q.numpy()[row, int(labels["action"][row])]
        target = float(labels["reward"][row]) + GAMMA * (1.0 - float(labels["done"][row])) * value
        expected.append(0.5 * (target - taken) ** 2)
    assert (labels["next_action_mask"].numpy().sum(axis=1) < ACTIONS).any()
    np.testing.assert_allclose(model(features, labels).predictions["losses"], expected, rtol=1e-4, atol=1e-5)


def test_after_a_terminal_state_without_legal_actions_r2d2_learns_the_reward(scope, masked):
    """The value of no action has no finite inverse of the rescaling."""
    with scope.active():
        model = R2D2Model("eval", mlp([8]), 4, ACTIONS, discount=GAMMA)
        features, labels = masked(1)
        spec = model(features, labels)
    over = labels["done"].numpy() > 0
    assert over.any()
    assert (labels["next_action_mask"].numpy()[over] == 0).all()
    reward = labels["reward"].numpy()[over]
    rescaled = np.sign(reward) * (np.sqrt(np.abs(reward) + 1) - 1) + 1e-3 * reward
    q = spec.predictions["q"].numpy()
    taken = q[np.arange(len(q)), labels["action"].numpy()][over]
    np.testing.assert_allclose(spec.predictions["losses"].numpy()[over], (rescaled - taken) ** 2, rtol=1e-3, atol=1e-5)
    assert np.isfinite(spec.predictions["losses"]).all()
