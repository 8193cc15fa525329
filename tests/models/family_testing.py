"""The family's models, small, and what their networks give in an update."""

from __future__ import annotations

from model_testing import GAMMA

from polyrl.configs import ConstantExplorationConfig
from polyrl.models import (
    DQNModel,
    ExpectedSarsaModel,
    IQNModel,
    MunchausenDQNModel,
    MunchausenIQNModel,
    QRDQNModel,
    RainbowModel,
    Scope,
)
from polyrl.networks import mlp

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
