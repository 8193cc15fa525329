"""All in-graph environments compute the same eagerly, traced, compiled by XLA, and in a `tf.while_loop`."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
import numpy as np
import pytest
import tensorflow as tf

from polyrl.envs.compiled import CompiledEnvironment, GridWorld, check_environment, compiled_environment
from polyrl.envs.compiled.registry import ENVIRONMENTS
from polyrl.envs.compiled.vector import restarted

COUNT, STEPS, SEEDS = 5, 10, (0, 1)
VARIANTS: dict[str, dict[str, Any]] = {"DeepSea": {"mapping_seed": 1}, "GridWorld": {"slip": 0.5}}
MODES = {"traced": False, "xla": True}
# XLA fuses operations, which rounds other digits; CartPole falling and Acrobot swinging amplify them a little.
TOLERANCE = 1e-5


def environment(env_id: str) -> CompiledEnvironment:
    return compiled_environment(env_id, COUNT, **VARIANTS.get(env_id, {}))


def random_actions(env: CompiledEnvironment, seed: int) -> tf.Tensor:
    """For each step, `[T, N, ...]`."""
    rng = np.random.default_rng(seed)
    if isinstance(env.action_space, gymnasium.spaces.Discrete):
        return tf.constant(rng.integers(0, env.action_space.n, [STEPS, COUNT]), tf.int32)
    space = env.action_space
    return tf.constant(rng.uniform(space.low, space.high, [STEPS, COUNT, *space.shape]), tf.float32)


def one_step(env: CompiledEnvironment, state: Any, action: tf.Tensor, seed: tf.Tensor) -> tuple[Any, list[tf.Tensor]]:
    """A step, with a reset where an episode ends; returns the current state, and all outputs."""
    moved, reward, terminated = env.step(state, action, seed)
    current = restarted(terminated, env.reset(COUNT, seed + 1), moved)
    return current, [*tf.nest.flatten(moved), env.observe(moved), reward, terminated, env.observe(current)]


def rollout(env: CompiledEnvironment, seeds: tuple[int, ...], xla: bool | None) -> list[list[np.ndarray]]:
    """For each seed all outputs of each step, `[T, N, ...]`: eagerly (None), or by functions compiled with XLA or not."""

    def reset(seed: tf.Tensor) -> Any:
        return env.reset(COUNT, seed)

    def step(state: Any, action: tf.Tensor, seed: tf.Tensor) -> tuple[Any, list[tf.Tensor]]:
        return one_step(env, state, action, seed)

    if xla is not None:
        reset, step = (tf.function(one, jit_compile=xla, autograph=False) for one in (reset, step))
    found = []
    for seed in seeds:
        state, rows = reset(tf.constant([seed, 0])), []
        for index, action in enumerate(random_actions(env, seed)):
            state, outputs = step(state, action, tf.constant([seed, 10 * index + 1]))
            rows.append([output.numpy() for output in outputs])
        found.append([np.stack(column) for column in zip(*rows, strict=True)])
    return found


@functools.cache
def eager(env_id: str) -> list[list[np.ndarray]]:
    return rollout(environment(env_id), SEEDS, None)


def looped(env: CompiledEnvironment, seeds: tuple[int, ...], xla: bool) -> list[list[np.ndarray]]:
    """As `rollout`, all steps in one `tf.while_loop`."""

    @tf.function(jit_compile=xla, autograph=False)
    def run(actions: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
        state = env.reset(COUNT, tf.stack([seed, 0]))
        examples = one_step(env, state, actions[0], tf.stack([seed, 1]))[1]

        def body(index: tf.Tensor, state: Any, logs: list[tf.Tensor]) -> tuple[tf.Tensor, Any, list[tf.Tensor]]:
            state, outputs = one_step(env, state, actions[index], tf.stack([seed, 10 * index + 1]))
            place = tf.reshape(index, [1, 1])
            logs = [tf.tensor_scatter_nd_update(log, place, one[tf.newaxis]) for log, one in zip(logs, outputs, strict=True)]
            return index + 1, state, logs

        logs = [tf.zeros([STEPS, *one.shape], one.dtype) for one in examples]
        return tf.while_loop(lambda index, *_: index < STEPS, body, [tf.constant(0), state, logs])[2]

    return [[log.numpy() for log in run(random_actions(env, seed), tf.constant(seed))] for seed in seeds]


def check_same(actual: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == other.dtype
        if one.dtype == np.float32:
            np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)
        else:
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_compiled_steps_are_the_eager_ones(env_id, mode):
    for actual, expected in zip(rollout(environment(env_id), SEEDS, MODES[mode]), eager(env_id), strict=True):
        check_same(actual, expected)
        # They are not the same because nothing happens.
        assert any(np.ptp(column.astype(np.float32), axis=0).any() for column in expected)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_a_loop_gives_the_same(env_id, mode):
    for actual, expected in zip(looped(environment(env_id), SEEDS, MODES[mode]), eager(env_id), strict=True):
        check_same(actual, expected)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_first_states_are_the_same_with_xla(env_id):
    """Of many, so that the random numbers fill more than a few rows of the generator."""
    env = environment(env_id)
    reset = tf.function(lambda seed: env.reset(999, seed), jit_compile=True, autograph=False)
    for seed in ([0, 0], [2**31 - 1, 5]):
        actual, expected = reset(tf.constant(seed)), env.reset(999, tf.constant(seed))
        check_same([column.numpy() for column in actual], [column.numpy() for column in expected])


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_seeds_may_be_of_64_bits(env_id):
    """Those of the training loop are."""
    env = environment(env_id)
    state = env.reset(COUNT, tf.constant([2**40, 3], tf.int64))
    env.step(state, random_actions(env, 0)[0], tf.constant([2**40, 3], tf.int64))


RANDOM = [env_id for env_id in ENVIRONMENTS if env_id not in ("DeepSea", "GridWorld", "DiscountingChain")]


@pytest.mark.parametrize("env_id", RANDOM)
def test_another_seed_gives_other_episodes(env_id):
    env = environment(env_id)
    first, again, other = (env.reset(100, tf.constant([seed, 0])) for seed in (0, 0, 1))
    check_same([column.numpy() for column in first], [column.numpy() for column in again])
    assert any(np.any(a.numpy() != b.numpy()) for a, b in zip(first, other, strict=True))


def test_another_seed_gives_other_slips():
    env = GridWorld(grid=("...", ".S.", "..G"), slip=0.5)
    state, action = env.reset(100, tf.constant([0, 0])), tf.zeros([100], tf.int32)
    cells = [env.step(state, action, tf.constant([0, count])).state.cell.numpy() for count in (0, 0, 1)]
    np.testing.assert_array_equal(cells[0], cells[1])
    assert np.any(cells[0] != cells[2])


@pytest.mark.default_cases(6)
@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_shapes_and_dtypes_are_as_promised(env_id):
    for count in (1, 7):
        check_environment(environment(env_id), count)


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_observations_lie_in_their_space(env_id):
    env = environment(env_id)
    for row in np.concatenate([columns[-1] for columns in eager(env_id)]).reshape([-1, *env.observation_space.shape]):
        assert env.observation_space.contains(row)
