"""Rewards, ends, infos, and the forms of what `step` and `reset` return: taken as they are, or refused by name."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from borders_testing import ANYTHING, NUMBERS, arrays, attempt, drive, quick, slow
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import strategies as st

from polyrl.envs import EnvDriver, open_env

STATE = np.ones(2, np.float32)
GIVEN = {"reward": 1.0, "terminated": False, "truncated": False, "info": {}}
FITTING = (STATE, *GIVEN.values())
PLACES = list(GIVEN)


class Answers(gymnasium.Env):
    """Gives at its second step, or at its reset, what it is told to."""

    observation_space, action_space = Box(0, 9, [2], np.float32), Discrete(2)

    def __init__(self, first: Any = (STATE, {}), second: Any = FITTING):
        self._first, self._second = first, second

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._first

    def step(self, action):
        self._t += 1
        return self._second if self._t == 2 else (STATE, *GIVEN.values())


def second_step(env: gymnasium.Env, of_callers: bool) -> Any:
    """The transition, in polyrl's own vector environment or in the caller's."""
    vector = SyncVectorEnv([lambda: env], autoreset_mode=AutoresetMode.SAME_STEP) if of_callers else env
    with open_env(vector) as opened:
        driver = EnvDriver(opened)
        driver.reset([0])
        driver.step(np.zeros(1, np.int32))
        return driver.step(np.zeros(1, np.int32))[0]


def one_number(value: Any) -> float | None:
    """The reward that a value is, as float32; None if it is none."""
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    if isinstance(value, (str, bytes, complex, np.complexfloating)) or type(value).__name__ == "Decimal":
        return None
    if not isinstance(value, (bool, int, float, np.number, np.bool_)) and type(value).__name__ != "Fraction":
        return None
    if isinstance(value, np.timedelta64):
        return None
    try:
        with np.errstate(over="ignore"):
            number = float(np.float32(float(value)))
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def one_flag(value: Any) -> bool | None:
    """True or False, also as NumPy's, or as 0 and 1."""
    try:
        array = np.asarray(value)
    except Exception:
        return None
    if array.shape != () or array.dtype.kind not in "biu" or array.item() not in (0, 1):
        return None
    return bool(array)


def a_value_is_taken_or_refused(case: Any) -> None:
    place, value, of_callers = case
    given = {**GIVEN, place: value}
    env = Answers(second=(STATE, *given.values()))
    of_callers = of_callers and place != "info"  # gymnasium puts those together itself.
    taken, found = attempt(lambda: second_step(env, of_callers), "nvironment")
    meant = {"reward": one_number, "info": lambda x: True if isinstance(x, dict) else None}.get(place, one_flag)(value)
    assert taken == (meant is not None), f"{found}"
    if taken:
        reward = meant if place == "reward" else 1.0
        done = place == "terminated" and meant
        truncated = place == "truncated" and meant
        assert (found.reward.tolist(), found.done.tolist(), found.truncated.tolist()) == ([reward], [done], [truncated])
        assert (found.reward.dtype, found.done.dtype, found.truncated.dtype) == (np.float32,) * 3
        np.testing.assert_array_equal(found.next_state, [STATE])


def a_form_is_taken_or_refused(case: Any) -> None:
    result, at_reset, of_callers = case
    env = Answers(first=result) if at_reset else Answers(second=result)
    taken, found = attempt(lambda: second_step(env, of_callers), "nvironment")
    fits = type(result) is tuple and len(result) == (2 if at_reset else 5) and isinstance(result[-1], dict)
    assert not taken or fits, f"{found}"
    if fits and not at_reset:
        assert taken == (one_number(result[1]) is not None and None not in (one_flag(result[2]), one_flag(result[3])))


NAMES = st.sampled_from(["episode", "_episode", "final_obs", "_final_obs", "final_info", "TimeLimit.truncated", "x", "_x", ""])
INFOS = st.one_of(ANYTHING, st.dictionaries(st.one_of(NAMES, st.integers(0, 1)), ANYTHING, max_size=4))
VALUES = st.sampled_from(PLACES).flatmap(
    lambda place: st.tuples(
        st.just(place), INFOS if place == "info" else st.one_of(NUMBERS, arrays(st.just(())), ANYTHING), st.booleans()
    )
)
TUPLES = st.lists(st.one_of(st.sampled_from([STATE, 1.0, True, {}, None]), ANYTHING), max_size=6).map(tuple)
WHOLE = st.tuples(st.just(STATE), NUMBERS, NUMBERS, NUMBERS, st.just({}))
FORMS = st.tuples(st.one_of(ANYTHING, TUPLES, WHOLE, WHOLE.map(list), st.just((STATE, None))), st.booleans(), st.booleans())
PROPERTIES = {
    "values": (a_value_is_taken_or_refused, VALUES),
    "forms": (a_form_is_taken_or_refused, FORMS),
}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", PROPERTIES)
def test_a_step_is_taken_as_it_is_or_refused(name):
    quick(*PROPERTIES[name], examples=200)


@slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_a_step_is_taken_as_it_is_or_refused_for_long(name):
    drive(*PROPERTIES[name], seconds=30)
