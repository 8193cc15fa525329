"""A run of each model of the family that died is resumed, exactly, as the run that did not."""

from __future__ import annotations

import numpy as np
import pytest
from family_agents import FAMILY, agent
from tiny_agents import counters, weights

from polyrl.envs import GymEnvironment
from polyrl.envs.compiled import CartPole
from polyrl.estimators.hooks import Hook

KINDS = {"target_timesteps": {"target_update_timesteps": 90}, **{name: {} for name in FAMILY}}
COMPILED = ("target_timesteps", "rainbow", "munchausen_iqn", "pqn")


class Killed(Exception):
    """Ends a run as a crash does: nothing is saved after it."""


class Die(Hook):
    def after_act(self, run):
        if run.timestep >= 300:
            raise Killed


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(("kind", "jit"), [*((kind, "off") for kind in KINDS), *((kind, "on") for kind in COMPILED)])
def test_a_run_that_died_is_resumed_as_the_run_that_did_not(tmp_path, kind, jit):
    def run(name, hooks=()):
        model = kind if kind in FAMILY else "dqn"
        learner, schedule = agent(tmp_path / name, model, 4, 2, jit=jit, every=200, **KINDS[kind])
        env = CartPole(num_envs=4) if jit == "on" else GymEnvironment("CartPole-v1", 4)
        learner.train(env, **{**schedule, "first_update": 0}, hooks=hooks, max_timesteps=480)
        return learner

    whole = run("whole")
    with pytest.raises(Killed):
        run("died", [Die()])
    resumed = run("died")
    assert counters(whole) == counters(resumed)
    found, expected = weights(resumed), weights(whole)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)
    for first, second in zip(whole.memory.variables, resumed.memory.variables, strict=True):
        # No checkpoint has the rows that nothing was written into yet.
        rows = slice(480) if first.shape.rank > 0 and first.shape[0] == whole.memory.size else ...
        np.testing.assert_array_equal(second.numpy()[rows], first.numpy()[rows], first.name)
