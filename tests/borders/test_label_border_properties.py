"""Features and labels given to a model: taken with the meaning that they have, or refused by key."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest
from borders_testing import ANYTHING, DTYPES, arrays, attempt, drive, quick, slow
from hypothesis import strategies as st

from polyrl.models import DQNModel, NAFModel, Scope
from polyrl.networks import mlp

ROWS, STATES, ACTIONS = 3, 4, 2
KEYS = [
    "state",
    "action",
    "reward",
    "done",
    "next_state",
    "discount",
    "weights",
    "truncated",
    "expert",
    "index",
    "action_mask",
]


@functools.cache
def model(kind: str, mode: str) -> Any:
    """One model for all examples: what it is called with changes, its networks do not."""
    with Scope().active():
        if kind == "naf":
            return NAFModel(mode, mlp([4]), STATES, ACTIONS, summaries=[])
        return DQNModel(mode, mlp([4]), STATES, ACTIONS, summaries=[])


def batch(kind: str, masked: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    action = np.zeros([ROWS, ACTIONS], np.float32) if kind == "naf" else np.zeros(ROWS, np.int32)
    zeros, state = np.zeros(ROWS, np.float32), np.ones([ROWS, STATES], np.float32)
    mask = {"action_mask": np.ones([ROWS, ACTIONS], np.int32)} if masked else {}
    next_mask = {f"next_{key}": value for key, value in mask.items()}
    return {"state": state, **mask}, {"action": action, "reward": zeros, "done": zeros, "next_state": state, **next_mask}


def plain(value: Any) -> np.ndarray | None:
    """Numbers or bools as an array; None for all else."""
    try:
        array = np.array(value)
    except Exception:
        return None
    return array if array.dtype.kind in "biuf" else None


def means(kind: str, key: str, array: np.ndarray) -> bool:
    """Whether an array has a meaning under this key, by the documentation of `BaseQModel`."""
    if key in ("state", "next_state"):
        return array.shape == (ROWS, STATES)
    if key in ("action_mask", "next_action_mask"):
        integers = array.shape == (ROWS, ACTIONS) and array.dtype.kind in "biu"
        return integers and bool(array.astype(bool).any(axis=1).all())
    if key == "action" and kind == "naf":
        return array.shape == (ROWS, ACTIONS) and bool((np.abs(array.astype(np.float64)) <= 1.0).all())
    if array.shape != (ROWS,):
        return False
    if key in ("action", "index"):
        return array.dtype.kind in "iu" and bool(((array >= 0) & (array < (ACTIONS if key == "action" else math.inf))).all())
    if key in ("done", "truncated", "expert"):
        return bool(((array == 0) | (array == 1)).all())
    if key == "discount":
        return bool(((array >= 0) & (array <= 1)).all())
    with np.errstate(over="ignore"):
        finite = bool(np.isfinite(array.astype(np.float32)).all())
    return finite and (key != "weights" or bool((array >= 0).all()))


def a_value_is_taken_or_refused(case: Any) -> None:
    kind, mode, key, value = case
    features, labels = batch(kind, "mask" in key)
    (features if key in ("state", "action_mask") else labels)[key] = value
    if kind == "naf" and "mask" in key:
        return
    names = [f"['{key}']", f"'{key}'", "features", "labels"]
    if key in ("state", "next_state"):
        names.append("q: expected numbers")  # Of the largest states that float32 has the network makes NaN.
    taken, found = attempt(lambda: model(kind, mode)(features, labels), *names)
    array = plain(value)
    if array is not None and array.dtype == np.float64 and ((array != 0) & (np.abs(array) < 1e-44)).any():
        return  # TensorFlow takes them for zeros if they are numbers of Python's; either is right.
    if array is None or not means(kind, key, array):
        assert not taken, f"{key}={value!r} was taken"
    elif array.dtype.kind == "f" and array.dtype != np.float16 and key not in ("state", "next_state"):
        assert taken, f"{found}"
    if taken and key not in ("state", "next_state", "action", "reward", "index"):
        assert np.isfinite(found.loss.numpy())


def a_key_is_known_or_refused(case: Any) -> None:
    mode, key, value = case
    features, labels = batch("dqn", False)
    known = key in [*KEYS, "next_action_mask"]
    taken, _ = attempt(lambda: model("dqn", mode)(features, {**labels, key: value}), repr(key), "labels")
    assert not taken or (known and key != "state")


def whatever_is_no_batch_is_refused(case: Any) -> None:
    mode, as_labels, value = case
    features, labels = batch("dqn", False)
    given = (features, value) if as_labels else (value, labels)
    taken, _ = attempt(lambda: model("dqn", mode)(*given), "labels", "features")
    array = None if isinstance(value, dict) else plain(value)
    assert not taken or (as_labels and value is None) or (array is not None and array.shape == (ROWS, STATES))


def valued(key: str) -> st.SearchStrategy:
    shape = {"state": (ROWS, STATES), "next_state": (ROWS, STATES)}.get(key, (ROWS, ACTIONS) if "mask" in key else (ROWS,))
    exact = [arrays(st.just(shape), DTYPES), arrays(st.just((ROWS, ACTIONS)), DTYPES)]
    return st.one_of(*exact, arrays(st.just(shape)), ANYTHING)


ONE = st.sampled_from([*KEYS, "next_action_mask"])
KIND, MODE = st.sampled_from(["dqn", "naf"]), st.sampled_from(["train", "eval"])
VALUES = ONE.flatmap(lambda key: st.tuples(KIND, MODE, st.just(key), valued(key)))
NAMES = st.tuples(MODE, st.one_of(st.text(max_size=5), ONE, st.sampled_from(["next_", "advantage", 3, None])), ANYTHING)
WHOLE = st.tuples(MODE, st.booleans(), st.one_of(ANYTHING, st.dictionaries(ONE, ANYTHING, max_size=3)))
PROPERTIES = {
    "values": (a_value_is_taken_or_refused, VALUES),
    "keys": (a_key_is_known_or_refused, NAMES),
    "batches": (whatever_is_no_batch_is_refused, WHOLE),
}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", PROPERTIES)
def test_features_and_labels_have_a_meaning_or_are_refused(name):
    quick(*PROPERTIES[name], examples=150)


@slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_features_and_labels_have_a_meaning_or_are_refused_for_long(name):
    drive(*PROPERTIES[name], seconds=30 if name == "values" else 15)
