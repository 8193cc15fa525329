"""`warmup_timesteps`: uniformly random actions at the start, whatever the config says."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from exploration_testing import CONTINUOUS, DISCRETE, HIGH, LOW, ROWS, build, features

from polyrl.configs import ConstantExplorationConfig, GreedyExplorationConfig, RandomExplorationConfig
from polyrl.models import Scope


def with_warmup(config, timesteps):
    return type(config).from_dict({**config.to_dict(), "warmup_timesteps": timesteps})


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", sorted(set(CONTINUOUS) - {"random"}))
def test_continuous_actions_are_uniform_over_the_range_until_its_end(name, jit):
    config, scope = CONTINUOUS[name][0], Scope()
    model = build(True, with_warmup(config, 10), scope)
    act = tf.function(lambda: model(features(np.ones(ROWS, bool))).predictions["results"], autograph=False, jit_compile=jit)
    plain_scope = Scope()
    plain = build(True, config, plain_scope)
    for timestep, warm in ((0, True), (9, True), (10, False), (500, False)):
        scope.global_timestep.assign(timestep)
        plain_scope.global_timestep.assign(timestep)
        shares = (act().numpy() - LOW) / (HIGH - LOW)
        expected = np.asarray(plain(features(np.ones(ROWS, bool))).predictions["results"])
        if warm:
            assert (abs(shares.mean(axis=0) - 0.5) < 5 * np.sqrt(1 / 12 / ROWS)).all()
            assert (abs(shares.std(axis=0) - np.sqrt(1 / 12)) < 0.02).all()
        else:
            np.testing.assert_allclose(LOW + shares * (HIGH - LOW), expected, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(DISCRETE) - {"random"}))
def test_discrete_actions_are_uniform_until_its_end_and_then_those_without_it(name):
    config, scope, plain_scope = DISCRETE[name][0], Scope(), Scope()
    model, plain = build(False, with_warmup(config, 10), scope), build(False, config, plain_scope)
    for timestep, warm in ((0, True), (9, True), (10, False)):
        scope.global_timestep.assign(timestep)
        plain_scope.global_timestep.assign(timestep)
        actions = model(features()).predictions["results"].numpy()
        counts = np.bincount(actions, minlength=2)
        if warm:
            assert (abs(counts / ROWS - 1 / len(counts)) < 5 * np.sqrt(0.25 / ROWS)).all()
        else:
            np.testing.assert_array_equal(actions, plain(features()).predictions["results"])


def test_illegal_actions_are_not_taken_in_it():
    model = build(False, GreedyExplorationConfig(warmup_timesteps=10))
    count = model.num_actions
    mask = np.tile(np.arange(count) != 1, (ROWS, 1))
    actions = model({**features(), "action_mask": tf.constant(mask)}).predictions["results"].numpy()
    assert set(actions) == set(range(count)) - {1}


@pytest.mark.parametrize("value", [-1, 2**63])
def test_a_number_of_steps_that_is_not_valid_is_refused(value):
    with pytest.raises(ValueError, match="warmup_timesteps"):
        ConstantExplorationConfig(0.1, warmup_timesteps=value)


def test_a_warmup_of_random_actions_has_no_effect():
    with pytest.raises(ValueError, match="warmup_timesteps=3 has no effect"):
        RandomExplorationConfig(warmup_timesteps=3)
