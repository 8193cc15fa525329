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

    def __init__(self, in_info: bool, has_method: bool = True, more: dict | None = None):
        super().__init__(gymnasium.make("CartPole-v1"))
        if has_method:
            self.unwrapped.action_masks = lambda: [True, False]
        self._info = {**({"action_mask": np.array([1, 0])} if in_info else {}), **(more or {})}

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


@pytest.mark.parametrize(
    ("more", "in_info", "told"),
    [
        ({"mask": np.array([1, 0])}, False, "info['mask']"),
        ({"legal_actions": [True, False]}, False, "info['legal_actions']"),
        ({"valid_action_mask": np.array([True, False])}, False, "info['valid_action_mask']"),
        ({"mask": np.array([1, 0])}, True, None),  # The one that is read is there.
        (
            {"mask": np.array([1, 0, 1]), "legal": np.eye(2), "available": 2, "valid": np.array(2), "state": [1, 0]},
            False,
            None,
        ),
    ],
)
def test_a_mask_by_another_name_is_told(more, in_info, told, caplog):
    with caplog.at_level(logging.WARNING, "polyrl"):
        check_environment(GymEnvironment(lambda: Masked(in_info, has_method=False, more=more)))
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == (0 if told is None else 1)
    assert all(f"has {told} with a value for each action" in text and "the key is 'action_mask'" in text for text in texts)


class InDict(Masked):
    """A Dict observation with a mask by another name."""

    def __init__(self, name):
        super().__init__(False, has_method=False)
        self._name = name
        parts = {"state": self.env.observation_space, name: gymnasium.spaces.MultiBinary(2)}
        self.observation_space = gymnasium.spaces.Dict(parts)

    def _with_mask(self, state):
        return {"state": state, self._name: np.array([1, 0], np.int8)}

    def reset(self, *, seed=None, options=None):
        state, info = super().reset(seed=seed, options=options)
        return self._with_mask(state), info

    def step(self, action):
        state, *rest = super().step(action)
        return self._with_mask(state), *rest


@pytest.mark.parametrize(("name", "is_told"), [("mask", True), ("legal_actions", True), ("flags", False)])
def test_a_key_of_the_observation_that_may_be_a_mask_is_told(name, is_told, caplog):
    with caplog.at_level(logging.WARNING, "polyrl"):
        check_environment(GymEnvironment(lambda: InDict(name)))
    assert [f"the observation's [{name!r}]" in text for text in caplog.messages] == [True] * is_told
