"""What the tests of the ops share: the ways to run one, gradients, and random transitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

SEEDS = [0, 1, 2, 3]


def traced(function: Callable) -> Callable:
    return tf.function(function)


def compiled(function: Callable) -> Callable:
    return tf.function(function, jit_compile=True)


def traced_without_sizes(function: Callable) -> Callable:
    """Traces with all sizes unknown, as for a smaller last batch: only ranks can be checked."""

    def run(*arguments: tf.Tensor) -> Any:
        signature = [tf.TensorSpec([None] * argument.shape.rank, argument.dtype) for argument in arguments]
        return tf.function(function, input_signature=signature)(*arguments)

    return run


MODES = {"function": traced, "xla": compiled, "unknown_sizes": traced_without_sizes}


def assert_same_as_eager(mode: str, function: Callable, *arguments: Any) -> None:
    """`function` returns the same in `mode`, a key of `MODES`, as eagerly."""
    arguments = [tf.convert_to_tensor(argument) for argument in arguments]
    eager, other = tf.nest.flatten(function(*arguments)), tf.nest.flatten(MODES[mode](function)(*arguments))
    assert len(eager) == len(other) > 0
    for expected, actual in zip(eager, other, strict=True):
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def gradients(function: Callable, *arguments: Any) -> list[tf.Tensor | None]:
    """The gradient of `sum(function(*arguments))` for each argument; None where there is no gradient."""
    arguments = [tf.convert_to_tensor(argument) for argument in arguments]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        total = tf.reduce_sum(function(*arguments))
    return tape.gradient(total, arguments)


def finite_difference(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of a scalar function in float64, entry by entry."""
    assert at.dtype == np.float64
    result = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[index] += step
        down[index] -= step
        result[index] = (function(up) - function(down)) / (2 * step)
    return result


class Transitions(NamedTuple):
    """Random transitions: online, target and selector values are three independent draws."""

    q: tf.Tensor  # [B, A] or, with atoms, [B, A, N]
    action: tf.Tensor  # [B]
    reward: tf.Tensor  # [B]
    discount: tf.Tensor  # [B], zero in some rows, but not in all
    next_q: tf.Tensor  # as q
    selector: tf.Tensor  # [B, A]

    def numpy(self) -> Transitions:
        """The same in numpy, for the loops the ops are compared with."""
        return Transitions(*(field.numpy() for field in self))


def transitions(
    seed: int, rows: int = 7, num_actions: int = 4, num_atoms: int | None = None, dtype: tf.DType = tf.float32
) -> Transitions:
    rng = np.random.default_rng(seed)
    shape = (rows, num_actions) if num_atoms is None else (rows, num_actions, num_atoms)
    terminated = rng.random(rows) < 0.3
    terminated[:2] = [True, False]  # at least one of each
    return Transitions(
        q=tf.constant(rng.normal(size=shape), dtype),
        action=tf.constant(rng.integers(0, num_actions, rows), tf.int32),
        reward=tf.constant(rng.normal(size=rows), dtype),
        discount=tf.constant(rng.uniform(0.5, 0.99, rows) * ~terminated, dtype),
        next_q=tf.constant(rng.normal(size=shape), dtype),
        selector=tf.constant(rng.normal(size=(rows, num_actions)), dtype),
    )
