"""Whatever an environment returns as an observation is stored as it is, or refused by name with nothing stored."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from borders_testing import ANYTHING, DTYPES, arrays, attempt, drive, quick, slow
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from hypothesis import strategies as st

from polyrl.envs import EnvDriver, open_env

SPACES = {
    "float32": Box(-9, 9, [3], np.float32),
    "float64": Box(-np.inf, np.inf, [2, 2], np.float64),
    "float16": Box(-9, 9, [3], np.float16),
    "number": Box(0, 1, [], np.float32),
    "image": Box(0, 255, [2, 3, 1], np.uint8),
    "flags": Box(0, 1, [4], np.bool_),
    "int8": Box(-9, 9, [3], np.int8),
    "int64": Box(-9, 9, [3], np.int64),
    "uint64": Box(0, 9, [2], np.uint64),
    "discrete": Discrete(4),
    "start": Discrete(4, start=-2),
    "far": Discrete(3, start=2**40),
}
PARTS = Dict(
    {"state": SPACES["float32"], "goal": MultiDiscrete([3, 3]), "bits": MultiBinary(2), "action_mask": MultiBinary(2)}
)
OF_PARTS = {key: PARTS[key] for key in ("goal", "bits")}


class Told(gymnasium.Env):
    """Returns one value, at its reset or at one step, and else what fits; the third step ends an episode."""

    def __init__(self, space: gymnasium.Space, value: Any, at: int):
        self.observation_space, self.action_space = space, Discrete(2)
        self._value, self._at = value, at
        self.space = space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._observation(), {}

    def step(self, action):
        self._t += 1
        return self._observation(), 1.0, self._t == 3, False, {}

    def _observation(self):
        return self._value if self._t == self._at else fitting(self.space)


def fitting(space: gymnasium.Space) -> Any:
    if isinstance(space, Dict):
        return {key: np.ones(2, np.int8) if key == "action_mask" else fitting(part) for key, part in space.items()}
    return space.start if isinstance(space, Discrete) else np.ones(space.shape, space.dtype)


def wanted(space: gymnasium.Space, value: Any) -> np.ndarray | None:
    """What is stored of a value of a space, by another way than polyrl's; None if it has no meaning there."""
    try:
        array = np.array(value)
    except Exception:
        return None
    if array.dtype.kind not in "biuf" or array.shape != (space.shape or ()):
        return None
    flat = [number.item() if isinstance(number, np.generic) else number for number in array.ravel()]
    if isinstance(space, Discrete):
        return np.array(flat[0] - space.start) if space.start <= flat[0] < space.start + space.n and flat[0] % 1 == 0 else None
    if isinstance(space, MultiDiscrete) and not all(0 <= number < 3 and number % 1 == 0 for number in flat):
        return None
    if isinstance(space, MultiBinary) and not all(number in (0, 1) for number in flat):
        return None
    kind = space.dtype.kind
    if kind in "iub":
        low, high = (0, 1) if kind == "b" else (np.iinfo(space.dtype).min, np.iinfo(space.dtype).max)
        if not all(low <= number <= high and number % 1 == 0 for number in flat):
            return None
        return np.array([int(number) for number in flat], space.dtype).reshape(array.shape)
    with np.errstate(over="ignore"):
        stored = array.astype(space.dtype).astype(np.float32 if space.dtype == np.float64 else space.dtype)
    return stored if np.isfinite(stored).all() else None


def stored(space: gymnasium.Space, value: Any, at: int) -> Any:
    """The state of that moment: of the reset, of a step, or the last of an episode."""
    with open_env(Told(space, value, at)) as vector:
        driver = EnvDriver(vector)
        state = driver.reset([0])
        for _ in range(at):
            state = driver.step(np.zeros(1, np.int32))[0].next_state
    return state


def holds(space: gymnasium.Space, value: Any, at: int) -> None:
    expected = wanted(space, value)
    taken, found = attempt(lambda: stored(space, value, at), "nvironment")
    assert taken == (expected is not None), f"{found}"
    if taken:
        assert found.dtype == (np.int32 if isinstance(space, Discrete) else expected.dtype)
        np.testing.assert_array_equal(found[0], expected)


def likely(space: gymnasium.Space) -> st.SearchStrategy:
    """Values that often fit the space, and others."""
    shape = space.shape or ()
    return st.one_of(arrays(st.just(shape), DTYPES), arrays(st.just(shape)), ANYTHING, st.integers(-4, 6), st.floats(-1, 5))


def cases(spaces: list[gymnasium.Space]) -> st.SearchStrategy:
    return st.sampled_from(spaces).flatmap(lambda s: st.tuples(st.just(s), likely(s), st.sampled_from([0, 1, 2, 3])))


def a_space_holds(case: Any) -> None:
    holds(*case)


def a_part_holds(case: Any) -> None:
    """A part of a dict, by the key of its space."""
    part, value, at = case
    key = next(key for key in OF_PARTS if OF_PARTS[key] is part)
    expected = wanted(part, value)
    taken, found = attempt(lambda: stored(PARTS, {**fitting(PARTS), key: value}, at), f"observation {key!r}")
    assert taken == (expected is not None), f"{found}"
    if taken:
        np.testing.assert_array_equal(found[key][0], expected)


def a_mask_is_bools(case: Any) -> None:
    value, at = case
    taken, found = attempt(lambda: stored(PARTS, {**fitting(PARTS), "action_mask": value}, at), "action_mask")
    expected = wanted(PARTS["action_mask"], value)
    legal = (expected is not None and bool(expected.any())) or (at == 3 and expected is not None)
    assert taken == legal, f"{found}"
    if taken and at < 3:
        np.testing.assert_array_equal(found["action_mask"][0], expected != 0)


def a_dict_has_its_keys(value: Any) -> None:
    taken, _ = attempt(lambda: stored(PARTS, value, 1), "nvironment")
    assert not taken


ONE, SOME = cases(list(SPACES.values())), cases(list(OF_PARTS.values()))
MASKS = st.tuples(likely(PARTS["action_mask"]), st.sampled_from([0, 1, 2, 3]))
KEYS = st.one_of(
    ANYTHING,
    st.dictionaries(st.sampled_from(["state", "goal", "State", 1, None, "action"]), ANYTHING, max_size=4),
    st.sampled_from(["goal", "extra", 3]).map(lambda key: {**fitting(PARTS), key: None}),
)
PROPERTIES = {"spaces": (a_space_holds, ONE), "parts": (a_part_holds, SOME), "masks": (a_mask_is_bools, MASKS)}
PROPERTIES["keys"] = (a_dict_has_its_keys, KEYS)


@pytest.mark.parametrize("name", PROPERTIES)
def test_an_observation_is_stored_as_it_is_or_refused(name):
    quick(*PROPERTIES[name], examples=150)


@slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_an_observation_is_stored_as_it_is_or_refused_for_long(name):
    drive(*PROPERTIES[name], seconds=40 if name == "spaces" else 10)
