"""States given to a trained model to act on: an action for each that is one, and a clear refusal of all else."""

from __future__ import annotations

import functools
import tempfile
from typing import Any

import gymnasium
import numpy as np
import pytest
from borders_testing import ANYTHING, DTYPES, arrays, attempt, drive, quick, slow
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary
from hypothesis import strategies as st
from tiny_agents import make_agent

from polyrl.estimators import Predictor
from polyrl.models import DQNModel
from polyrl.networks import embedding_mlp, mlp

SPACES = {
    "floats": Box(-9, 9, [3], np.float32),
    "bytes": Box(0, 255, [3], np.uint8),
    "flags": Box(0, 1, [3], np.bool_),
    "start": Discrete(4, start=-2),
    "dict": Dict({"state": Box(-9, 9, [3], np.float32), "action_mask": MultiBinary(2)}),
}


class Constant(gymnasium.Env):
    """One state, episodes of two steps, and actions that begin at 5."""

    def __init__(self, space: gymnasium.Space):
        self.observation_space, self.action_space = space, Discrete(2, start=5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return state_of(self.observation_space), {}

    def step(self, action):
        self._t += 1
        return state_of(self.observation_space), 1.0, self._t == 2, False, {}


def state_of(space: gymnasium.Space) -> Any:
    if isinstance(space, Dict):
        return {key: state_of(part) for key, part in space.items()}
    return 1 if isinstance(space, Discrete) else np.ones(space.shape, space.dtype)


@functools.cache
def predictor(name: str) -> Predictor:
    """Trained once, for all examples."""
    space = SPACES[name]
    states, torso = (4, embedding_mlp(4, 2, [4])) if name == "start" else (3, mlp([4]))

    def model_fn(features, labels, mode):
        return DQNModel(mode, torso, states, 2, summaries=[])(features, labels)

    agent = make_agent(model_fn, model_dir=tempfile.mkdtemp())
    agent.train(Constant(space), first_update=4, timesteps=6)
    return agent.predictor()


def is_states(space: gymnasium.Space, value: Any) -> bool:
    """Whether something is one state, or a batch of them."""
    try:
        array = np.array(value)
    except Exception:
        return False
    shape = space.shape or ()
    if array.dtype.kind not in "biuf" or (array.shape != shape and array.shape[1:] != shape):
        return False
    if array.ndim not in (len(shape), len(shape) + 1):
        return False
    flat = [number.item() if isinstance(number, np.generic) else number for number in array.ravel()]
    if isinstance(space, Discrete):
        return all(-2 <= number < 2 and number % 1 == 0 for number in flat)
    if isinstance(space, MultiBinary):
        return all(number % 1 == 0 and -128 <= number < 256 for number in flat)
    if space.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return bool(np.isfinite(array.astype(space.dtype)).all())
    return all(0 <= number <= (1 if space.dtype == np.bool_ else 255) and number % 1 == 0 for number in flat)


def a_state_is_acted_on_or_refused(case: Any) -> None:
    name, value = case
    taken, found = attempt(lambda: predictor(name).act(value), "state")
    space = SPACES[name]
    if not isinstance(space, Dict):
        assert taken == is_states(space, value), f"{found}"
    elif not isinstance(value, dict) or value.keys() != space.spaces.keys() or not is_states(space["state"], value["state"]):
        assert not taken
    if taken:
        assert {*np.ravel(found).tolist()} <= {5, 6}


def a_checkpoint_or_a_count_is_one_or_refused(case: Any) -> None:
    """The other arguments of the public acting calls."""
    method, key, value = case
    given = {"env": Constant(SPACES["floats"]), "episodes": 1, key: value}
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value > 20:
        return  # Valid, and takes long.
    taken, _ = attempt(lambda: getattr(predictor("floats"), method)(**given), key, "env", "nvironment")
    if key == "episodes":
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64)) and value >= 1
        assert taken == (whole or (method == "predict" and value is None))


def valued(name: str) -> st.SearchStrategy:
    space = SPACES[name]
    if isinstance(space, Dict):
        keys = {"state": valued("floats"), "action_mask": arrays(st.sampled_from([(2,), (1, 2), (2, 2)]))}
        return st.one_of(st.fixed_dictionaries(keys), st.dictionaries(st.sampled_from([*keys, 1]), ANYTHING), ANYTHING)
    shape = space.shape or ()
    shapes = st.sampled_from([shape, (1, *shape), (2, *shape), (0, *shape)])
    return st.one_of(arrays(shapes, DTYPES), arrays(shapes), ANYTHING, st.integers(-4, 4))


STATES = st.sampled_from(list(SPACES)).flatmap(lambda name: st.tuples(st.just(name), valued(name)))
STATES_OF_TWO = st.sampled_from(["floats", "start"]).flatmap(lambda name: st.tuples(st.just(name), valued(name)))
COUNTS = st.tuples(
    st.sampled_from(["predict", "evaluate", "record"]),
    st.sampled_from(["episodes", "env"]),
    st.one_of(ANYTHING, st.integers(-1, 3)),
)
PROPERTIES = {
    "states": (a_state_is_acted_on_or_refused, STATES),
    "arguments": (a_checkpoint_or_a_count_is_one_or_refused, COUNTS),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_a_state_is_acted_on_or_refused(name):
    check, cases = PROPERTIES[name]
    quick(check, STATES_OF_TWO if name == "states" else cases, examples=60)


@slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_a_state_is_acted_on_or_refused_for_long(name):
    drive(*PROPERTIES[name], seconds=45 if name == "states" else 15)
