"""The chains, step by step against their rules; and who can solve them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl.envs.compiled import DiscountingChain, MemoryChain, UmbrellaChain, check_environment

N = 400


def seed(number):
    return tf.constant([3, number], tf.int64)


def play(env, choose, steps, rows=N):
    """Observations before each step, rewards and ends, `[T, N, ...]`, of actions `choose(observation, t)`."""
    state = env.reset(rows, seed(0))
    found = []
    for t in range(steps):
        observation = env.observe(state).numpy()
        action = np.broadcast_to(choose(observation, t), [rows]).astype(np.int32)
        state, reward, ends = env.step(state, tf.constant(action), seed(t + 1))
        found.append((observation, reward.numpy(), ends.numpy()))
    return [np.stack(part) for part in zip(*found, strict=True)]


@pytest.mark.parametrize("env", [MemoryChain(2), DiscountingChain(2), UmbrellaChain(2), UmbrellaChain(2, distractors=0)])
def test_they_are_environments(env):
    check_environment(env, 2)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_memory_pays_for_what_was_shown_and_shows_it_once(length):
    env, shown = MemoryChain(length=length), []

    def remember(observation, t):
        if t == 0:
            shown.append(observation[:, 2] > 0)
        return shown[0]

    observation, reward, ends = play(env, remember, length + 1)
    assert set(np.unique(observation[0, :, 2])) == {-1.0, 1.0}
    assert abs(observation[0, :, 2].mean()) < 5 / np.sqrt(N)
    assert not observation[1:, :, 2].any()
    np.testing.assert_array_equal(observation[:, 0, 1], [0.0] * length + [1.0])
    np.testing.assert_allclose(observation[:, 0, 0], np.arange(length + 1) / length, rtol=1e-6)
    np.testing.assert_array_equal(reward[:, 0], [0.0] * length + [1.0])
    assert (reward[-1] == 1.0).all()
    np.testing.assert_array_equal(ends[:, 0], [False] * length + [True])
    forgetful = play(env, lambda observation, t: 1, length + 1)[1]
    assert abs(forgetful[-1].mean()) < 5 / np.sqrt(N)


@pytest.mark.parametrize("chain", range(5))
def test_each_chain_pays_once_after_its_delay(chain):
    observation, reward, ends = play(DiscountingChain(best=3), lambda observation, t: chain if t == 0 else t % 5, 100, rows=2)
    paid = np.flatnonzero(reward[:, 0])
    assert paid.tolist() == [(1, 3, 10, 30, 100)[chain] - 1]
    assert reward[paid[0], 0] == pytest.approx(1.1 if chain == 3 else 1.0)
    np.testing.assert_array_equal(observation[:, 0, 0], [-1.0] + [float(chain)] * 99)
    assert ends[:, 0].tolist() == [False] * 99 + [True]


@pytest.mark.parametrize(("length", "distractors", "weight"), [(2, 0, 1), (5, 3, 1), (8, 1, 4)])
def test_an_umbrella_that_is_needed_pays_at_the_end(length, distractors, weight):
    env = UmbrellaChain(length=length, distractors=distractors, weight=weight)
    for right in (True, False):
        observation, reward, ends = play(env, lambda o, t, right=right: (o[:, 0] > 0) == right if t == 0 else t % 2, length)
        assert (reward[-1] == (weight if right else -weight)).all()
        assert set(np.unique(reward[:-1])) <= {-1.0, 1.0}
        assert abs(reward[:-1].mean()) < 5 / np.sqrt(reward[:-1].size)
        needed = observation[0, :, 0]
        np.testing.assert_array_equal(observation[:, :, 0], np.tile(needed, [length, 1]))
        assert not observation[0, :, 1].any()
        np.testing.assert_array_equal(observation[1:, :, 1], np.tile(needed if right else -needed, [length - 1, 1]))
        assert observation.shape[2] == 3 + distractors
        assert ends[:, 0].tolist() == [False] * (length - 1) + [True]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: MemoryChain(length=0), "length"),
        (lambda: DiscountingChain(best=5), "best"),
        (lambda: DiscountingChain(best=-1), "best"),
        (lambda: UmbrellaChain(length=1), "length"),
        (lambda: UmbrellaChain(distractors=-1), "distractors"),
        (lambda: UmbrellaChain(weight=0), "weight"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(make, name):
    with pytest.raises(ValueError, match=name):
        make()
