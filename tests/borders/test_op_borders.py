"""The ops, given arrays, lists, and what is neither: as for tensors, or refused by the argument's name."""

from __future__ import annotations

import inspect
import numbers
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from borders_testing import ANYTHING, DTYPES, NUMBERS, arrays, attempt, drive, quick, slow
from hypothesis import strategies as st

from polyrl import ops

B, A, N, K = 3, 2, 4, 2
RNG = np.random.default_rng(0)
Q, ROW, LOGITS = (RNG.normal(size=shape).astype(np.float32) for shape in ([B, A], [B], [B, A, N]))
DISCOUNT = np.array([0.9, 0.0, 1.0], np.float32)
ACTION, SEED, MASK = np.array([0, 1, 1]), np.array([1, 2]), np.array([[True, False], [True, True], [False, True]])
ATOMS, P = np.linspace(-1, 1, N).astype(np.float32), np.full([B, N], 1 / N, np.float32)
SCALE = np.eye(K, dtype=np.float32)[np.newaxis].repeat(B, 0)


def square(target, prediction):
    return tf.square(target - prediction)


CALLS: dict[str, dict[str, Any]] = {
    "support": {"min_value": -1.0, "max_value": 1.0, "num_atoms": 4},
    "expected_value": {"probabilities": P, "atoms": ATOMS},
    "conditional_value_at_risk": {"probabilities": P, "atoms": ATOMS, "level": 0.5},
    "project_distribution": {"positions": P, "probabilities": P, "atoms": ATOMS},
    "clipped_mass": {"atoms": ATOMS, "reward": ROW, "discount": DISCOUNT, "next_logits": LOGITS, "next_q_selector": Q},
    "categorical_q_learning": {
        "atoms": ATOMS,
        "logits": LOGITS,
        "action": ACTION,
        "reward": ROW,
        "discount": DISCOUNT,
        "next_logits": LOGITS,
        "next_q_selector": Q,
    },
    "epsilon_greedy": {"q": Q, "epsilon": 0.5, "seed": SEED, "mask": MASK},
    "boltzmann": {"q": Q, "temperature": 0.5, "seed": SEED, "mask": MASK},
    "ornstein_uhlenbeck": {"noise": ROW, "normal": ROW, "theta": 0.1, "mu": 0.0, "sigma": 0.2, "dt": 1.0},
    "normal": {"shape": [2, 3], "seed": SEED},
    "uniform": {"shape": [2, 3], "seed": SEED},
    "sample_categorical": {"logits": Q, "seed": SEED},
    "mask_values": {"values": Q, "mask": MASK},
    "scale_tril": {"entries": RNG.normal(size=[B, 3]).astype(np.float32)},
    "normalized_advantage": {"action": Q, "mean": Q, "scale": SCALE},
    "sample_normalized": {"mean": Q, "scale": SCALE, "temperature": 0.5, "seed": SEED},
    "normalized_q_learning": {"advantage": ROW, "value": ROW, "reward": ROW, "discount": DISCOUNT, "next_value": ROW},
    "n_step_return": {"reward": Q, "terminated": ~MASK, "truncated": MASK & False, "gamma": 0.9},
    "polyak_average": {"source": [Q, ROW], "target": [Q, ROW], "tau": 0.5},
    "quantile_midpoints": {"num_quantiles": 4},
    "quantile_huber_loss": {"target": P, "quantiles": P, "fractions": P, "kappa": 1.0},
    "quantile_td_loss": {
        "quantiles": LOGITS,
        "fractions": P,
        "action": ACTION,
        "reward": ROW,
        "discount": DISCOUNT,
        "bootstrap": P,
        "kappa": 1.0,
    },
    "quantile_q_learning": {
        "quantiles": LOGITS,
        "fractions": P,
        "action": ACTION,
        "reward": ROW,
        "discount": DISCOUNT,
        "next_quantiles": LOGITS,
        "next_q_selector": Q,
        "kappa": 1.0,
    },
    "quantile_value_at_risk": {"quantiles": LOGITS, "level": 0.5},
    "epsilon_greedy_value": {"q": Q, "epsilon": 0.5, "mask": MASK},
    "soft_policy": {"q": Q, "temperature": 0.5},
    "munchausen_reward": {"target_q": Q, "action": ACTION, "temperature": 0.5, "scale": 0.9, "lowest": -1.0},
    "soft_bootstrap": {"next_q": Q, "temperature": 0.5, "next_quantiles": LOGITS},
    "lambda_return": {
        "reward": Q,
        "discount": np.full([B, A], 0.9, np.float32),
        "truncated": MASK & False,
        "next_value": Q,
        "trace_decay": 0.5,
    },
    "signed_hyperbolic": {"x": Q, "slope": 0.01},
    "signed_parabolic": {"x": Q, "slope": 0.01},
    "select_values": {"values": Q, "action": ACTION},
    "td_loss": {"q": Q, "action": ACTION, "reward": ROW, "discount": DISCOUNT, "bootstrap": ROW},
    "q_learning": {"q": Q, "action": ACTION, "reward": ROW, "discount": DISCOUNT, "next_q": Q},
    "double_q_learning": {"q": Q, "action": ACTION, "reward": ROW, "discount": DISCOUNT, "next_q": Q, "next_q_selector": Q},
    "large_margin_loss": {"q": Q, "action": ACTION, "margin": 0.8},
    "dueling": {"advantage": Q, "value": Q[:, :1], "how": "mean"},
}
FREE = [
    ("project_distribution", "atoms"),
    ("dueling", "advantage"),
    ("select_values", "values"),
    ("td_loss", "q"),
    ("quantile_value_at_risk", "quantiles"),
    ("epsilon_greedy_value", "q"),
    ("soft_policy", "q"),
    ("quantile_huber_loss", "target"),
    ("quantile_td_loss", "bootstrap"),
    ("quantile_q_learning", "next_quantiles"),
    ("soft_bootstrap", "next_quantiles"),
    ("munchausen_reward", "target_q"),
    ("large_margin_loss", "q"),
    ("signed_hyperbolic", "x"),
    ("signed_parabolic", "x"),
]
"""Arguments whose number of columns nothing else decides."""

RANGED = ("discount", "atoms", "fractions")
"""Arguments of which not all numbers are taken."""

INTEGERS, MASKS = ("action", "seed", "shape", "num_atoms", "num_quantiles"), ("mask", "terminated", "truncated")


def called(name: str, given: dict[str, Any]) -> Any:
    function = getattr(ops, name)
    return function(**given, **({"loss_fn": square} if "loss_fn" in inspect.signature(function).parameters else {}))


def as_numbers(value: Any) -> np.ndarray | None:
    try:
        array = np.array(value)
    except Exception:
        return None
    return array if array.dtype.kind in "biuf" else None


def an_argument_is_taken_or_refused(case: Any) -> None:
    """What is no array of numbers, and a shape that the others do not have, is refused; all else is as for tensors."""
    name, key, value = case
    sizes = (
        np.ravel(as_numbers(value)) if key in ("shape", "num_atoms", "num_quantiles") and as_numbers(value) is not None else []
    )
    if any(1_000 < size < 2**31 for size in sizes):
        return  # Valid, and more than the memory of this computer.
    taken, found = attempt(lambda: called(name, {**CALLS[name], key: value}), *CALLS[name])
    array, usual = as_numbers(value), CALLS[name][key]
    optional = value is None and key in ("mask", "next_q_selector", "next_quantiles")
    if isinstance(usual, np.ndarray) and key != "seed":
        if array is None:
            assert not taken or optional, f"{key}={value!r} was taken"
        elif array.shape != usual.shape and np.size(usual) > 1 and key in sized(name):
            assert not taken, f"{key}, of shape {array.shape}, was taken"
        elif (
            key == "action"
            and usual.dtype.kind == "i"
            and (array.dtype.kind not in "iu" or ((array < 0) | (array >= A)).any())
        ):
            assert not taken, f"the actions {array!r} were taken"
        elif is_float32(value, usual.shape) and np.isfinite(array).all() and key not in (*INTEGERS, *MASKS, *RANGED):
            assert taken, f"{found}"
            same(found, called(name, {**CALLS[name], key: tf.constant(array)}))
    elif not isinstance(usual, (np.ndarray, list, str)) and key not in INTEGERS:
        one = isinstance(value, numbers.Real) or (array is not None and array.shape == ())
        assert not taken or one, f"{key}={value!r} was taken"


def is_float32(value: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(value, np.ndarray) and value.shape == shape and value.dtype == np.float32


def sized(name: str) -> tuple[str, ...]:
    """Arguments whose shape another one decides."""
    free = ("expected_value", "conditional_value_at_risk", "scale_tril", "sample_categorical", "ornstein_uhlenbeck")
    return () if name in free else tuple(key for key in CALLS[name] if (name, key) not in FREE)


def same(found: Any, wanted: Any) -> None:
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def valued(name: str, key: str) -> st.SearchStrategy:
    usual = CALLS[name][key]
    if not isinstance(usual, np.ndarray):
        return st.one_of(NUMBERS, ANYTHING, st.lists(arrays(), max_size=2))
    near = st.sampled_from([usual.shape, usual.shape[1:], (*usual.shape, 1), (B, A), (B,), (1, A), (B, A, N)])
    return st.one_of(arrays(near, DTYPES), arrays(st.just(usual.shape), [np.float32]), ANYTHING)


PLACES = st.sampled_from([(name, key) for name, given in CALLS.items() for key in given])
CASES = PLACES.flatmap(lambda place: st.tuples(st.just(place[0]), st.just(place[1]), valued(*place)))


def test_every_op_is_here():
    assert {name for name in ops.__all__ if callable(getattr(ops, name))} - {*CALLS} == {
        "NStepReturn",
        "LossOutput",
        "SoftPolicy",
    }


@pytest.mark.slow
def test_an_argument_of_an_op_is_taken_or_refused():
    quick(an_argument_is_taken_or_refused, CASES, examples=200)


@slow
def test_an_argument_of_an_op_is_taken_or_refused_for_long():
    drive(an_argument_is_taken_or_refused, CASES)


@pytest.mark.parametrize("value", [np.zeros([B, 1], np.float32), np.zeros(B, np.float32)])
def test_the_property_tells_shapes_apart(value):
    with pytest.raises(ValueError, match="shape"):
        called("td_loss", {**CALLS["td_loss"], "q": value[:1]})
