"""Seeds of `TensorVectorEnv`: which episodes are the same, and which differ."""

from __future__ import annotations

import numpy as np
import pytest
from vector_testing import drive, same

from polyrl.envs.compiled import CartPole, GridWorld, TensorVectorEnv, compiled_environment
from polyrl.envs.compiled.registry import ENVIRONMENTS

LONG = ("CartPole-v1", "MountainCar-v0", "Pendulum-v1")


@pytest.mark.slow
@pytest.mark.parametrize(
    "env_id", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in ENVIRONMENTS]
)
def test_the_same_seed_gives_the_same_episodes(env_id):
    vectors = [TensorVectorEnv(compiled_environment(env_id), 3) for _ in range(2)]
    one, other = (drive(vector, 5, 12) for vector in vectors)
    for row, expected in zip(one, other, strict=True):
        for part, like in zip(row[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(part, like)
    # And from the same instance again.
    assert same(drive(vectors[0], 5, 12), one)


@pytest.mark.slow
def test_a_step_gives_the_same_bits_each_time():
    """A plain graph of Acrobot adds three tensors in another order in one call of 50 to 200."""
    vector = TensorVectorEnv(compiled_environment("Acrobot-v1"), 256)
    actions = np.arange(256) % 3
    results = set()
    for _ in range(1_000):
        vector.reset(seed=5)
        results.add(vector.step(actions)[0].tobytes())
    assert len(results) == 1


@pytest.mark.slow
def test_other_seeds_give_other_episodes():
    runs = [drive(TensorVectorEnv(CartPole(), 3), seed, 3) for seed in (0, 1, [0, 1, 3], [0, 0, 0])]
    for index, run in enumerate(runs):
        assert not any(np.array_equal(run[0][0], other[0][0]) for other in runs[:index])


@pytest.mark.slow
def test_one_seed_stands_for_consecutive_seeds():
    assert same(drive(TensorVectorEnv(CartPole(), 3), 7, 30), drive(TensorVectorEnv(CartPole(), 3), [7, 8, 9], 30))


def test_environments_differ_even_with_one_seed_for_all():
    first, _ = TensorVectorEnv(CartPole(), 3).reset(seed=[4, 4, 4])
    assert len(np.unique(first[:, 0])) == 3


@pytest.mark.slow
def test_no_two_episodes_are_alike():
    """The random streams continue from episode to episode, from step to step, and across resets without a seed."""
    vector = TensorVectorEnv(CartPole(), 4)
    starts = [vector.reset(seed=0)[0]]
    for _ in range(5):
        starts.append(vector.reset()[0])
    for _ in range(200):
        observation, _, terminated, truncated, _ = vector.step(np.zeros(4, np.int64))
        starts.append(observation[terminated | truncated])
    rows = np.concatenate(starts)
    assert len(rows) > 60
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.slow
def test_each_step_draws_new_random_numbers():
    """In a corridor, moved by slips alone: all walkers go both ways, and no two take the same way."""
    vector = TensorVectorEnv(GridWorld(grid=("." * 41, "." * 20 + "S" + "." * 19 + "G", "." * 41), slip=1.0), 8)
    boards = [vector.reset(seed=0)[0]]
    boards += [vector.step(np.zeros(8, np.int64))[0] for _ in range(30)]
    columns = np.argmax(np.sum(boards, axis=2), axis=2)
    moves = np.diff(columns, axis=0)
    assert all({-1, 0, 1} == set(walker) for walker in moves.T)
    assert len({tuple(walker) for walker in moves.T}) == 8


def test_a_seed_restarts_the_random_streams_and_no_seed_continues_them():
    vector = TensorVectorEnv(CartPole(), 2)
    first, again = vector.reset(seed=3)[0], vector.reset()[0]
    assert np.any(first != again)
    np.testing.assert_array_equal(vector.reset(seed=3)[0], first)
    np.testing.assert_array_equal(vector.reset()[0], again)


@pytest.mark.slow
def test_without_a_seed_each_instance_has_its_own_episodes():
    assert np.any(TensorVectorEnv(CartPole(), 2).reset()[0] != TensorVectorEnv(CartPole(), 2).reset()[0])


@pytest.mark.parametrize("seed", [2**31 - 1, 2**40, 2**70])
def test_large_seeds_count_in_full(seed):
    """`Agent` passes seeds of 31 bits; gymnasium allows any size."""
    vector = TensorVectorEnv(CartPole(), 1)
    assert np.any(vector.reset(seed=[seed])[0] != vector.reset(seed=[seed - 2**20])[0])
