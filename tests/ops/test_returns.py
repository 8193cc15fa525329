"""n-step returns against a loop over the steps of the window."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_testing import MODES, SEEDS, assert_same_as_eager

from polyrl import ops

PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)


def walk(reward, terminated, truncated, gamma) -> tuple[list[float], list[float], list[int]]:
    """Reward, discount and steps of each row, by walking until the episode or the window ends."""
    returns, discounts, steps = [], [], []
    for row in range(len(reward)):
        total, factor, count = 0.0, 1.0, 0
        for step in range(len(reward[row])):
            total += factor * float(reward[row][step])
            factor *= gamma
            count += 1
            if terminated[row][step]:
                factor = 0.0
                break
            if truncated[row][step]:
                break
        returns.append(total)
        discounts.append(factor)
        steps.append(count)
    return returns, discounts, steps


def assert_equals_the_walk(reward, terminated, truncated, gamma) -> None:
    output = ops.n_step_return(tf.constant(reward), tf.constant(terminated), tf.constant(truncated), gamma)
    expected = walk(reward, terminated, truncated, gamma)
    for name, actual, wanted in zip(output._fields, output, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4, err_msg=name)


def random_window(seed: int, rows: int = 16, length: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reward = rng.normal(size=(rows, length)).astype(np.float32)
    return reward, rng.random((rows, length)) < 0.2, rng.random((rows, length)) < 0.2


@st.composite
def windows(draw):
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 6)))
    flags = st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    rewards = st.lists(st.floats(-10, 10, width=32), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    return (
        np.array(draw(rewards), np.float32).reshape(shape),
        np.array(draw(flags)).reshape(shape),
        np.array(draw(flags)).reshape(shape),
    )


@PROPERTY
@given(windows(), st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_any_window_equals_a_walk_through_it(window, gamma) -> None:
    assert_equals_the_walk(*window, gamma)


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_batch_of_windows_equals_a_walk_through_each(seed, gamma) -> None:
    assert_equals_the_walk(*random_window(seed), gamma)


def test_by_hand() -> None:
    # gamma = 1/2, rewards 1, 2, 4 in every row, so r_0 + r_1 / 2 + r_2 / 4 = 1 + 1 + 1.
    reward = tf.constant([[1.0, 2.0, 4.0]] * 5)
    terminated = tf.constant([[0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]) > 0
    truncated = tf.constant([[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]]) > 0
    output = ops.n_step_return(reward, terminated, truncated, 0.5)
    # No end: all three, bootstrap times 1/8. Terminated at step 1: two of them, no bootstrap. Truncated at step 1:
    # two of them, bootstrap times 1/4. Terminated at the last: all three, no bootstrap. Both at step 0: terminated wins.
    np.testing.assert_allclose(output.reward, [3.0, 2.0, 2.0, 3.0, 1.0])
    np.testing.assert_allclose(output.discount, [0.125, 0.0, 0.25, 0.0, 0.0])
    np.testing.assert_array_equal(output.steps, [3, 2, 2, 3, 1])
    assert output.steps.dtype == tf.int32


@pytest.mark.parametrize("seed", SEEDS)
def test_one_step_is_the_plain_one_step_transition(seed) -> None:
    gamma = 0.9
    reward, terminated, truncated = random_window(seed, length=1)
    output = ops.n_step_return(tf.constant(reward), tf.constant(terminated), tf.constant(truncated), gamma)
    np.testing.assert_allclose(output.reward, reward[:, 0])
    np.testing.assert_allclose(output.discount, gamma * (1.0 - terminated[:, 0]), rtol=1e-6)
    np.testing.assert_array_equal(output.steps, np.ones(len(reward)))


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_steps_after_the_end_of_the_episode_have_no_effect(ending) -> None:
    rng = np.random.default_rng(0)
    window = {"reward": rng.normal(size=(4, 6)), "terminated": np.zeros((4, 6)), "truncated": np.zeros((4, 6))}
    window[ending][:, 2] = 1.0
    before = ops.n_step_return(gamma=0.9, **{name: tf.constant(value) for name, value in window.items()})
    window["reward"][:, 3:] = 1e6
    window["terminated"][:, 3:] = 1.0
    window["truncated"][:, 4:] = 1.0
    after = ops.n_step_return(gamma=0.9, **{name: tf.constant(value) for name, value in window.items()})
    for expected, actual in zip(before, after, strict=True):
        np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(after.steps, [3, 3, 3, 3])


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_flags_may_be_numbers(dtype) -> None:
    reward, terminated, truncated = random_window(seed=3)
    expected = ops.n_step_return(tf.constant(reward), tf.constant(terminated), tf.constant(truncated), 0.9)
    actual = ops.n_step_return(
        tf.constant(reward), tf.constant(terminated.astype(dtype)), tf.constant(truncated.astype(dtype)), 0.9
    )
    for one, other in zip(expected, actual, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("position", [0, 1, 2], ids=["reward", "terminated", "truncated"])
def test_an_argument_of_another_rank_is_named(position) -> None:
    arguments = list(map(tf.constant, random_window(seed=0)))
    arguments[position] = arguments[position][:, 0]
    with pytest.raises(ValueError, match=rf"^{['reward', 'terminated', 'truncated'][position]} has shape"):
        ops.n_step_return(*arguments, 0.9)


@pytest.mark.parametrize("name", ["terminated", "truncated"])
@pytest.mark.parametrize("kept", [(slice(1), slice(None)), (slice(None), slice(1))], ids=["rows", "steps"])
def test_flags_of_another_size_are_named(name, kept) -> None:
    arguments = dict(zip(["reward", "terminated", "truncated"], map(tf.constant, random_window(seed=0)), strict=True))
    arguments[name] = arguments[name][kept]  # of size 1, which would broadcast
    with pytest.raises(ValueError, match=rf"^{name} has shape .* but reward"):
        ops.n_step_return(**arguments, gamma=0.9)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("gamma", [0.0, 0.9])
def test_the_same_eagerly_traced_and_compiled(gamma, mode) -> None:
    assert_same_as_eager(mode, lambda *window: ops.n_step_return(*window, gamma), *random_window(seed=1))
