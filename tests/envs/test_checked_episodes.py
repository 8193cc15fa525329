"""What `check_environment` asks in addition to gymnasium: episodes that begin alike, and sound masks."""

from __future__ import annotations

import types

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from sound_env import Sound

from polyrl.envs import GymEnvironment
from polyrl.envs.checking import check_environment


class BeginsElsewhere(Sound):
    seeds = ()

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed, options=options)
        noise = np.random.default_rng().uniform(0.1, 0.9, observation.shape) if (seed is None) in self.seeds else 1.0
        return (observation * noise).astype(observation.dtype), info


@pytest.mark.parametrize(
    ("seeds", "how"), [((False,), r"reset\(seed=123\)"), ((True,), r"reset\(seed=123\) and then reset\(\)")]
)
def test_episodes_that_begin_by_chance_are_told_of_a_class_as_well(seeds, how):
    """gymnasium asks it of registered ids alone."""
    kind = type("Begins", (BeginsElsewhere,), {"seeds": seeds})
    with pytest.raises(ValueError, match=rf"began differently with the same seed: {how} gave .*, and then .*self\.np_random"):
        check_environment(GymEnvironment(kind))
    check_environment(GymEnvironment(BeginsElsewhere))


class Forbids(Sound):
    """It forbids the middle action, and what it gives may be wrong in some way."""

    given, lacks = None, None

    def mask(self, where):
        return {} if self.lacks == where else {"action_mask": [1, 0, 1] if self.given is None else self.given}

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], self.mask("reset")

    def step(self, action):
        if action == 1:
            raise IndexError("an illegal action")
        return *super().step(action)[:4], self.mask("step")


@pytest.mark.parametrize("given", [[1, 0], [1, 0, 1, 0], [1.0, 0.0, 1.0], [[1], [1, 2]], "abc", np.ones([1, 3])], ids=str)
def test_a_mask_that_is_none_is_told_before_an_action_is_taken(given):
    """The check took illegal actions, and what the environment raised then came in place of it."""
    check_environment(GymEnvironment(Forbids))
    kind = type("Wrong", (Forbids,), {"given": given})
    with pytest.raises(ValueError, match=r"returned the action_mask .* at its reset; expected an array of 3 integers or"):
        check_environment(GymEnvironment(kind))


def test_a_mask_that_only_the_reset_returns_is_told():
    kind = type("Lacking", (Forbids,), {"lacks": "step"})
    with pytest.raises(ValueError, match=r"returned no info\['action_mask'\] at a step, but did at reset; expected one for"):
        check_environment(GymEnvironment(kind))


class Parts(Sound):
    """Of its two parts the second leaves its space."""

    observation_space = Dict(image=Box(0, 255, (3, 3, 1), np.uint8), state=Box(-1.0, 1.0, (2,), np.float32))

    def reset(self, *, seed=None, options=None):
        _, info = super().reset(seed=seed)
        return self.parts(), info

    def step(self, action):
        return self.parts(), *super().step(action)[1:]

    def parts(self):
        return {"image": np.zeros([3, 3, 1], np.uint8), "state": np.array([0.0, 2.5], np.float32)}


def test_of_an_observation_of_several_parts_the_one_outside_is_named():
    words = r"Of the part 'state' the space is Box\(-1\.0, 1\.0, \(2,\), float32\); the newest observation has float32 \(2,\)"
    with pytest.raises(ValueError, match=words):
        check_environment(GymEnvironment(Parts))


def test_an_observation_of_sound_parts_that_is_no_dict_is_told_as_what_it_is():
    """Its parts are in their spaces, and none of them could be named."""
    kind = type(
        "Frozen", (Parts,), {"parts": lambda self: types.MappingProxyType({**Parts().parts(), "state": np.zeros(2, "f")})}
    )
    with pytest.raises((ValueError, TypeError), match=r"Dict|dict|mapping"):
        check_environment(GymEnvironment(kind))
