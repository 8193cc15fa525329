"""Every op takes NumPy arrays, lists and numbers, and gives what it gives for tensors."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tensorflow as tf

from polyrl import ops

B, A, N, K = 3, 2, 4, 2
RNG = np.random.default_rng(0)
Q, NEXT, ROW = RNG.normal(size=[B, A]), RNG.normal(size=[B, A]), RNG.normal(size=B)
ACTION, SEED, MASK = np.array([0, 1, 1]), np.array([1, 2]), np.array([[1, 0], [1, 1], [0, 1]])
LOGITS, ATOMS = RNG.normal(size=[B, A, N]), np.linspace(-1.0, 1.0, N)
P = np.full([B, N], 1.0 / N)
DISCOUNT = np.array([0.9, 0.0, 1.0])


def square(target, prediction):
    return tf.square(target - prediction)


CALLS = {
    "expected_value": (P, ATOMS),
    "conditional_value_at_risk": (P, ATOMS, 0.5),
    "project_distribution": (P, P, ATOMS),
    "categorical_q_learning": (ATOMS, LOGITS, ACTION, ROW, DISCOUNT, LOGITS),
    "clipped_mass": (ATOMS, ROW, DISCOUNT, LOGITS, Q),
    "epsilon_greedy": (Q, 0.5, SEED, MASK),
    "boltzmann": (Q, 0.5, SEED, MASK),
    "ornstein_uhlenbeck": (ROW, ROW, 0.1, 0.0, 0.2, 1.0),
    "normal": ([2, 3], SEED),
    "uniform": ([2, 3], SEED),
    "sample_categorical": (Q, SEED),
    "mask_values": (Q, MASK),
    "scale_tril": (RNG.normal(size=[B, 3]),),
    "normalized_advantage": (Q, NEXT, RNG.normal(size=[B, K, K])),
    "sample_normalized": (Q, np.eye(K)[np.newaxis].repeat(B, 0), 0.5, SEED),
    "normalized_q_learning": (ROW, ROW, ROW, DISCOUNT, ROW, square),
    "n_step_return": (Q, MASK == 0, MASK * 0, 0.9),
    "polyak_average": ([Q, ROW], [NEXT, ROW], 0.5),
    "quantile_huber_loss": (P, P, P),
    "quantile_td_loss": (LOGITS, P, ACTION, ROW, DISCOUNT, P),
    "quantile_q_learning": (LOGITS, P, ACTION, ROW, DISCOUNT, LOGITS, Q),
    "quantile_value_at_risk": (LOGITS, 0.5),
    "epsilon_greedy_value": (Q, 0.5, MASK),
    "soft_policy": (Q, 0.5),
    "munchausen_reward": (Q, ACTION),
    "soft_bootstrap": (Q, 0.5, LOGITS),
    "lambda_return": (Q, np.full([B, A], 0.9), MASK * 0, NEXT, 0.5),
    "signed_hyperbolic": (Q, 0.01),
    "signed_parabolic": (Q, 0.01),
    "select_values": (Q, ACTION),
    "td_loss": (Q, ACTION, ROW, DISCOUNT, ROW, square),
    "q_learning": (Q, ACTION, ROW, DISCOUNT, NEXT, square),
    "double_q_learning": (Q, ACTION, ROW, DISCOUNT, NEXT, Q, square),
    "large_margin_loss": (Q, ACTION),
    "dueling": (Q, Q[:, :1], "mean"),
}


def as_tensors(name: str) -> list:
    """As a program that computes in float32 gives them."""
    parameters = inspect.signature(getattr(ops, name)).parameters.values()
    given = []
    for parameter, value in zip(parameters, CALLS[name], strict=False):
        if isinstance(value, np.ndarray):
            dtype = tf.bool if parameter.name == "mask" else tf.float32 if value.dtype.kind == "f" else None
            value = tf.cast(value, dtype) if dtype is not None else tf.constant(value)
        given.append([tf.cast(v, tf.float32) for v in value] if parameter.name in ("source", "target") else value)
    return given


def test_every_op_that_takes_tensors_is_here():
    assert {name for name in ops.__all__ if callable(getattr(ops, name))} - {*CALLS} == {
        "support",
        "quantile_midpoints",
        "NStepReturn",
        "LossOutput",
        "SoftPolicy",
    }


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", ["arrays", "lists"])
def test_arrays_and_lists_are_tensors(name, kind):
    given = [x.tolist() if kind == "lists" and isinstance(x, np.ndarray) else x for x in CALLS[name]]
    found, wanted = getattr(ops, name)(*given), getattr(ops, name)(*as_tensors(name))
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-7)


def test_whole_numbers_are_numbers():
    loss = ops.td_loss([[1, 2], [3, 4]], [0, 1], [1, 0], np.array([1, 0]), reward_free := np.zeros(2), square)
    np.testing.assert_array_equal(loss.target, [1.0, 0.0])
    assert reward_free.dtype == np.float64


@pytest.mark.parametrize("value", [None, "text", ["a"], [[1.0], [1.0, 2.0]], [1j], len])
def test_what_is_not_an_array_of_numbers_is_named(value):
    with pytest.raises((TypeError, ValueError), match="reward"):
        ops.td_loss(Q, ACTION, value, DISCOUNT, ROW, square)


def test_an_array_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"reward has shape \(2,\)"):
        ops.td_loss(Q, ACTION, np.zeros(2), DISCOUNT, ROW, square)


def test_other_precisions_stay():
    q = tf.constant(Q, tf.float64)
    assert ops.td_loss(q, ACTION, ROW, DISCOUNT, ROW, square).loss.dtype == tf.float64


OUTSIDE = [
    ("epsilon_greedy", "epsilon", 2.0),
    ("epsilon_greedy", "epsilon", -0.1),
    ("epsilon_greedy", "epsilon", np.float64("nan")),
    ("boltzmann", "temperature", -1),
    ("sample_normalized", "temperature", -0.5),
    ("large_margin_loss", "margin", -0.8),
    ("ornstein_uhlenbeck", "sigma", np.float32(-0.2)),
    ("n_step_return", "gamma", 1.5),
]


@pytest.mark.parametrize("kind", [lambda x: x, tf.constant], ids=["number", "tensor"])
@pytest.mark.parametrize(("name", "argument", "value"), OUTSIDE)
def test_a_number_outside_of_its_range_is_named(name, argument, value, kind):
    op = getattr(ops, name)
    given = inspect.signature(op).bind(*CALLS[name]).arguments | {argument: kind(value)}
    with pytest.raises(ValueError, match=f"{argument}={value}".replace("+", r"\+")):
        op(**given)


def test_a_number_at_the_end_of_its_range_is_taken():
    assert ops.epsilon_greedy(Q, 0, SEED).numpy().tolist() == np.argmax(Q, axis=1).tolist()
    ops.epsilon_greedy(Q, 1.0, SEED)
    ops.large_margin_loss(Q, ACTION, 0.0)


# Numbers that no op can mean. -------------------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")
NO_ROW = np.array([[1, 0], [0, 0], [0, 1]])
UNEVEN = [
    [0.0, 1.0, 2.0, 5.0],
    [1e6, 1e6 + 0.2, 1e6 + 0.4, 1e6 + 0.6],
    [3.0, 2.0, 1.0, 0.0],
    [1.0, 1.0, 1.0, 1.0],
    [0.0, 1.0, 2.0, NAN],
]
UNMEANT = [
    ("epsilon_greedy", "mask", NO_ROW, "mask: expected at least one legal action.*row 1"),
    ("boltzmann", "mask", NO_ROW, "mask: expected at least one legal action.*row 1"),
    *((op, "q", [[1.0, 2.0], [NAN, 0.0], [0.0, 1.0]], "q: expected numbers.*row 1") for op in ("epsilon_greedy", "td_loss")),
    *((op, "q", [[1.0, 2.0], [0.0, INF], [0.0, INF]], "q: expected numbers.*row 1") for op in ("boltzmann", "q_learning")),
    ("boltzmann", "q", [[1.0, 2.0], [-INF, -INF], [0.0, 1.0]], "q: expected a number above minus infinity.*row 1"),
    ("sample_categorical", "logits", [[1.0, 2.0], [NAN, 0.0], [0.0, 1.0]], "logits: expected numbers.*row 1"),
    ("sample_categorical", "logits", [[1.0, 2.0], [-INF, -INF], [0.0, 1.0]], "logits: expected a number.*row 1"),
    ("q_learning", "next_q", [[1.0, 2.0], [NAN, 0.0], [0.0, 1.0]], "next_q: expected numbers.*row 1"),
    ("double_q_learning", "next_q_selector", [[1.0, 2.0], [NAN, 0.0], [0.0, 1.0]], "next_q_selector: expected numbers.*row 1"),
    ("categorical_q_learning", "next_logits", np.full([B, A, N], NAN), "next_logits: expected numbers"),
    *((op, "discount", [0.5, 2.0, 1.0], "discount: expected.*2.0 in row 1") for op in ("td_loss", "normalized_q_learning")),
    ("categorical_q_learning", "discount", [0.5, -0.1, NAN], "discount: expected numbers in .0, 1.; got .* in row 2"),
    *(
        (op, "atoms", atoms, "atoms=.* must be increasing and evenly spaced")
        for op in ("project_distribution", "categorical_q_learning", "clipped_mass")
        for atoms in (
            [0.0, 1.0, 2.0, 5.0],
            [1e6, 1e6 + 0.2, 1e6 + 0.4, 1e6 + 0.6],
            [3.0, 2.0, 1.0, 0.0],
            [1.0, 1.0, 1.0, 1.0],
            [0.0, 1.0, 2.0, NAN],
        )
    ),
    ("ornstein_uhlenbeck", "dt", -1.0, "dt=-1.0 must be at least 0"),
    ("td_loss", "loss_fn", "huber", "loss_fn='huber' must be a function loss_fn"),
]


@pytest.mark.parametrize(("name", "argument", "value", "message"), UNMEANT)
def test_numbers_that_an_op_cannot_mean_are_named(name, argument, value, message):
    op = getattr(ops, name)
    given = inspect.signature(op).bind(*CALLS[name]).arguments | {argument: value}
    with pytest.raises((TypeError, ValueError), match=message):
        op(**given)


@pytest.mark.parametrize("name", ["epsilon_greedy", "boltzmann"])
def test_a_legal_action_of_minus_infinity_is_refused_and_in_a_graph_never_gives_way_to_an_illegal_one(name):
    q, mask = np.array([[1.0, 2.0], [-INF, 1.0]], np.float32), np.array([[True, True], [True, False]])
    op = getattr(ops, name)
    with pytest.raises(ValueError, match=r"q: expected a number above minus infinity.*row 1"):
        op(q, 0.0, SEED, mask)
    assert tf.function(lambda q: op(q, 0.0, SEED, mask))(tf.constant(q)).numpy().tolist() == [1, 0]


@pytest.mark.parametrize(("op", "key"), [("td_loss", "reward"), ("epsilon_greedy", "q")])
def test_bools_and_floats_in_one_list_are_numbers(op, key):
    function = getattr(ops, op)
    given = inspect.signature(function).bind(*CALLS[op]).arguments
    mixed, plain = ([True, 0.5, False], [1.0, 0.5, 0.0]) if key == "reward" else ([[True, 0.5]] * 3, [[1.0, 0.5]] * 3)
    found, wanted = (tf.nest.flatten(function(**{**given, key: value})) for value in (mixed, plain))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_value_of_an_illegal_action_may_be_anything():
    assert ops.epsilon_greedy([[1.0, NAN], [INF, 0.0]], 0.0, SEED, [[1, 0], [0, 1]]).numpy().tolist() == [0, 1]
    assert ops.q_learning(Q[:1], [0], [1.0], [0.5], [[2.0, -INF]], square).target.numpy().tolist() == [2.0]
    assert ops.boltzmann([[1.0, -INF], [-INF, 0.0]], 1.0, SEED).numpy().tolist() == [0, 1]


@pytest.mark.parametrize(("low", "high", "atoms"), [(-10, 10, 51), (1e4, 1e4 + 50, 11), (-1e-30, 1e-30, 3), (0, 1e30, 51)])
def test_every_support_that_is_made_here_is_even_enough(low, high, atoms):
    support = ops.support(low, high, atoms)
    p = np.full([1, atoms], 1 / atoms, np.float32)
    np.testing.assert_allclose(tf.reduce_sum(ops.project_distribution(support[tf.newaxis], p, support)), 1.0, rtol=1e-3)
