"""`RolloutMemory`: each environment once in each epoch, whole sequences, in the order of time."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl.replay import RolloutMemory, SequenceReplay

SPECS = {
    "state": tf.TensorSpec([2], tf.float32),
    "action": tf.TensorSpec([], tf.int32),
    "reward": tf.TensorSpec([], tf.float32),
    "done": tf.TensorSpec([], tf.float32),
    "truncated": tf.TensorSpec([], tf.float32),
    "next_state": tf.TensorSpec([2], tf.float32),
}
NUM_ENVS, STEPS = 4, 3


def step(t, ends=()):
    """Of environment `n` at time `t`: its reward is `10 t + n`."""
    n = np.arange(NUM_ENVS)
    return {
        "state": np.stack([np.full(NUM_ENVS, t), n], axis=1).astype(np.float32),
        "action": n.astype(np.int32),
        "reward": (10 * t + n).astype(np.float32),
        "done": np.zeros(NUM_ENVS, np.float32),
        "truncated": np.isin(n, ends).astype(np.float32),
        "next_state": np.stack([np.full(NUM_ENVS, t + 1), n], axis=1).astype(np.float32),
    }


def filled(times, batch_size=6, size=NUM_ENVS * STEPS, ends=()):
    """`ends` are the environments whose episode was truncated at the step before the newest."""
    memory = RolloutMemory(size, batch_size)
    memory.build(SPECS, NUM_ENVS)
    for t in range(times):
        memory.add(step(t, ends if t == times - 2 else ()))
    return memory


def batches(memory, steps, seed=(5, 0)):
    return [{k: v.numpy() for k, v in memory.sample(tf.constant(seed, tf.int64), s).items()} for s in steps]


@pytest.mark.parametrize("times", [3, 4, 7])
@pytest.mark.parametrize("batch_size", [3, 6, 12])
def test_an_epoch_has_each_step_of_each_environment_once(times, batch_size):
    memory = filled(times, batch_size)
    number = 12 // batch_size
    for epoch in (0, 1, 5):
        found = batches(memory, range(epoch * number, (epoch + 1) * number))
        rewards = np.concatenate([batch["reward"] for batch in found])
        assert rewards.shape == (NUM_ENVS, STEPS)
        assert sorted(rewards.ravel()) == sorted(10 * t + n for t in range(times - 3, times) for n in range(NUM_ENVS))
        for batch in found:
            assert (np.diff(batch["reward"], axis=1) == 10).all()
            np.testing.assert_array_equal(batch["state"][:, :, 0] * 10 + batch["state"][:, :, 1], batch["reward"])
            np.testing.assert_array_equal(batch["next_state"][:, :, 0], batch["state"][:, :, 0] + 1)
            assert batch["valid"].all()


@pytest.mark.slow
def test_the_order_is_another_in_each_epoch_and_the_same_for_the_same_one():
    memory = filled(3, 3)

    def order(epoch, seed=(5, 0)):
        return tuple(int(batch["action"][0, 0]) for batch in batches(memory, range(4 * epoch, 4 * epoch + 4), seed))

    orders = [order(epoch) for epoch in range(12)]
    assert len(set(orders)) > 5
    assert orders == [order(epoch) for epoch in range(12)]
    assert orders != [order(epoch, (6, 0)) for epoch in range(12)]


def test_the_newest_step_is_truncated_and_so_is_one_that_was():
    batch = batches(filled(3, 12, ends=(1,)), [0])[0]
    for row, n in enumerate(batch["action"][:, 0]):
        np.testing.assert_array_equal(batch["truncated"][row], [0.0, float(n == 1), 1.0])


def test_steps_that_are_not_stored_yet_are_not_valid():
    batch = batches(filled(2, 12), [0])[0]
    np.testing.assert_array_equal(batch["valid"], np.tile([1.0, 1.0, 0.0], [NUM_ENVS, 1]))
    np.testing.assert_array_equal(batch["truncated"], np.tile([0.0, 1.0, 1.0], [NUM_ENVS, 1]))


def test_new_episodes_that_were_not_seen_to_end_are_truncations():
    memory = filled(2, 12)
    memory.start_episodes()
    memory.add(step(2))
    batch = batches(memory, [0])[0]
    np.testing.assert_array_equal(batch["truncated"], np.tile([0.0, 1.0, 1.0], [NUM_ENVS, 1]))


def test_in_a_compiled_call_it_is_the_same():
    memory = filled(5, 6)
    seed = tf.constant([5, 0], tf.int64)
    for jit in (False, True):
        found = tf.function(lambda: memory.sample(seed, 3), autograph=False, jit_compile=jit)()
        for name, values in memory.sample(seed, 3).items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize(("size", "batch_size", "num_envs"), [(12, 3, 2), (12, 4, 5), (16, 2, 4)])
def test_a_rollout_that_cannot_be_divided_is_refused(size, batch_size, num_envs):
    with pytest.raises(ValueError, match="num_envs"):
        RolloutMemory(size, batch_size).build(SPECS, num_envs)


def test_a_batch_size_that_does_not_divide_it_is_refused():
    with pytest.raises(ValueError, match="batch_size=5 must divide size=12"):
        RolloutMemory(12, 5)


# `SequenceReplay`. ------------------------------------------------------------------------------------------------------


def kept(times, size=24, batch_size=8, length=4, ends=()):
    memory = SequenceReplay(size, batch_size, sequence_length=length)
    memory.build(SPECS, NUM_ENVS)
    for t in range(times):
        memory.add(step(t, ends if t == times - 2 else ()))
    return memory


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("times", [4, 5, 6, 9, 13])
@pytest.mark.parametrize("size", [24, 26])
def test_each_whole_sequence_that_is_kept_is_drawn_equally_often(times, size):
    """Also where the capacity is not a multiple of the environments."""
    memory, number = kept(times, size), 3_000
    draw = tf.function(lambda count: memory.sample(tf.stack([tf.constant(3, tf.int64), count]))["reward"], autograph=False)
    first = np.concatenate([draw(tf.constant(count, tf.int64)).numpy() for count in range(number // 2)])
    assert (np.diff(first, axis=1) == 10).all()
    oldest = max(times * NUM_ENVS - size, 0)
    expected = {10 * (n // NUM_ENVS) + n % NUM_ENVS for n in range(oldest, (times - 3) * NUM_ENVS)}
    values, counts = np.unique(first[:, 0], return_counts=True)
    assert set(values) == expected
    assert (abs(counts / number - 1 / len(expected)) < 5 * np.sqrt(1 / len(expected) / number)).all()


@pytest.mark.parametrize("times", [1, 2, 3])
def test_as_long_as_none_is_whole_the_rest_is_not_valid(times):
    batch = {k: v.numpy() for k, v in kept(times).sample(tf.constant([1, 2], tf.int64)).items()}
    valid = np.arange(4) < times
    np.testing.assert_array_equal(batch["valid"], np.tile(valid.astype(np.float32), [2, 1]))
    assert (batch["truncated"][:, times - 1] == 1.0).all()
    np.testing.assert_array_equal(batch["reward"][:, :times] // 10, np.tile(np.arange(times), [2, 1]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 24, "batch_size": 8, "sequence_length": 4, "n_step": 5}, "n_step=5 must not exceed sequence_length=4"),
        ({"size": 24, "batch_size": 10, "sequence_length": 4}, "batch_size=10 must be a multiple of sequence_length=4"),
        ({"size": 24, "batch_size": 8, "sequence_length": 0}, "sequence_length=0"),
        ({"size": 12, "batch_size": 8, "sequence_length": 4}, "at least 16 is needed"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        SequenceReplay(**arguments).build(SPECS, NUM_ENVS)
