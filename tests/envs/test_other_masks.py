"""An environment that gives its masks as another library asks for them is told so."""

from __future__ import annotations

import logging

import gymnasium
import numpy as np
import pytest

from polyrl.envs import GymEnvironment
from polyrl.envs.checking import check_environment


class Masked(gymnasium.Wrapper):
    """One whose second action is illegal; `in_info` gives the mask as gymnasium does."""

    def __init__(self, in_info: bool):
        super().__init__(gymnasium.make("CartPole-v1"))
        self.unwrapped.action_masks = lambda: [True, False]
        self._info = {"action_mask": np.array([1, 0])} if in_info else {}

    def reset(self, *, seed=None, options=None):
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, {**info, **self._info}

    def step(self, action):
        *result, info = self.env.step(action)
        return (*result, {**info, **self._info})


@pytest.mark.parametrize("in_info", [True, False])
def test_a_method_that_nothing_calls_is_told(in_info, caplog):
    with caplog.at_level(logging.WARNING, "polyrl"):
        check_environment(GymEnvironment(lambda: Masked(in_info)))
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (0 if in_info else 1)
    assert all("has a method action_masks, which nothing here calls" in text for text in told)
