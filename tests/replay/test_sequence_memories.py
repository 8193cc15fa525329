"""Sequences with windows, with what a recurrent network remembers, and by priority; against the list of all steps."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl.replay import PrioritizedSequenceReplay, SequenceReplay

ENVS, LENGTH = 3, 4
SPECS = {
    "state": tf.TensorSpec([2], tf.float32),
    "action": tf.TensorSpec([], tf.int32),
    "reward": tf.TensorSpec([], tf.float32),
    "done": tf.TensorSpec([], tf.float32),
    "truncated": tf.TensorSpec([], tf.float32),
    "next_state": tf.TensorSpec([2], tf.float32),
    "network_state": tf.TensorSpec([3], tf.float32),
}


def steps(count, seed=0):
    """All steps, `[count, ENVS, ...]`: the state is time and environment, what is remembered the negative time."""
    rng = np.random.default_rng(seed)
    time, env = np.meshgrid(np.arange(count), np.arange(ENVS), indexing="ij")
    done = rng.random([count, ENVS]) < 0.15
    return {
        "state": np.stack([time, env], axis=-1).astype(np.float32),
        "action": env.astype(np.int32),
        "reward": rng.normal(size=[count, ENVS]).astype(np.float32),
        "done": done.astype(np.float32),
        "truncated": ((rng.random([count, ENVS]) < 0.15) & ~done).astype(np.float32),
        "next_state": np.stack([time + 1, env], axis=-1).astype(np.float32),
        "network_state": np.repeat(-time[..., np.newaxis], 3, axis=-1).astype(np.float32),
    }


def filled(memory, count, seed=0):
    memory.build(SPECS, ENVS)
    every = steps(count, seed)
    for t in range(count):
        memory.add({name: values[t] for name, values in every.items()})
    return every


def sampled(memory, number, step=0):
    batch = memory.sample(tf.constant([7, number], tf.int64), step)
    return {name: values.numpy() for name, values in batch.items()}


@pytest.mark.parametrize("count", [2, 4, 9, 31])
@pytest.mark.parametrize("n_step", [1, 3])
def test_a_sequence_is_what_happened(count, n_step):
    memory = SequenceReplay(30, 5 * LENGTH, sequence_length=LENGTH, n_step=n_step)
    every = filled(memory, count)
    for number in range(5):
        batch = sampled(memory, number)
        for s in range(5):
            first, env = (int(x) for x in batch["state"][s, 0])
            assert first >= max(0, count - 10)  # Of 30 transitions.
            np.testing.assert_array_equal(batch["network_state"][s], every["network_state"][first, env])
            for t in range(LENGTH):
                assert batch["valid"][s, t] == (first + t < count)
                if first + t >= count:  # Beyond the newest step it is repeated.
                    for name in ("state", "action", "next_state"):
                        np.testing.assert_array_equal(batch[name][s, t], batch[name][s, count - 1 - first])
                    continue
                np.testing.assert_array_equal(batch["state"][s, t], [first + t, env])
                check_window(batch, every, s, t, first, env, n_step, count)


def check_window(batch, every, s, t, first, env, n_step, count):
    """The rewards up to the end of the episode, of the window, of the sequence or of what is stored; then the next state."""
    last = t
    for k in range(n_step):
        last = t + k
        at = first + last
        rewards = batch["reward"][s, t] if n_step == 1 else batch["reward"][s, t, k]
        assert rewards == every["reward"][at, env]
        done = batch["done"][s, t] if n_step == 1 else batch["done"][s, t, k]
        truncated = batch["truncated"][s, t] if n_step == 1 else batch["truncated"][s, t, k]
        assert done == every["done"][at, env]
        ends_here = at == count - 1 or (n_step > 1 and last == LENGTH - 1)
        assert truncated == max(every["truncated"][at, env], float(ends_here))
        if done or truncated:
            break
    np.testing.assert_array_equal(batch["next_state"][s, t], [first + last + 1, env])


def test_what_is_remembered_need_not_be_stored():
    memory = SequenceReplay(30, LENGTH, sequence_length=LENGTH, stored_state=False)
    filled(memory, 9)
    assert "network_state" not in sampled(memory, 0)
    assert "network_state" not in memory.columns


def prioritized(**arguments):
    given = {"sequence_length": LENGTH, "alpha": 1.0, "beta": 1.0, "epsilon": 1e-6, **arguments}
    return PrioritizedSequenceReplay(30, 4 * LENGTH, **given)


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "count"), [(None, 9), (1, 9), (3, 23), (2, 40)])
def test_the_sequences_that_can_be_sampled_are_the_whole_ones_at_each_stride(stride, count):
    memory = prioritized(stride=stride)
    filled(memory, count)
    every = LENGTH // 2 if stride is None else stride
    kept = range(max(0, count - 10), count - LENGTH + 1)
    expected = {(first, env) for first in kept if first % every == 0 for env in range(ENVS)}
    found = set()
    for number in range(60):
        batch = sampled(memory, number)
        assert (batch["valid"] == 1).all()
        found |= {(int(time), int(env)) for time, env in batch["state"][:, 0]}
    assert found == expected


def test_a_priority_is_a_mixture_of_the_largest_and_the_mean_of_its_steps():
    memory = prioritized(max_share=0.75)
    filled(memory, 9)
    drawn = memory.draw(tf.constant([1, 1], tf.int64))
    index = tf.reshape(drawn["index"], [4, LENGTH]).numpy()
    errors = np.array([[0.0, 0.0, -4.0, 2.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.5, 0.0, 0.0], [8.0, 0.0, 0.0, 0.0]], np.float32)
    memory.update_priorities(drawn["index"], errors.ravel())
    for first in set(index[:, 0]):  # One that was drawn twice has the larger one.
        rows = np.abs(errors[index[:, 0] == first])
        expected = (0.75 * rows.max(axis=1) + 0.25 * rows.mean(axis=1)).max() + 1e-6
        np.testing.assert_allclose(memory._tree.get(tf.constant([first])), [expected], rtol=1e-5)


@pytest.mark.slow
def test_sequences_are_sampled_by_their_priorities_and_weighted_against_it():
    memory = prioritized(stride=2, beta=1.0)
    filled(memory, 6)  # Sequences begin at the steps 0 and 2.
    firsts = tf.constant([env + ENVS * time for time in (0, 2) for env in range(ENVS)])
    wanted = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    for first, priority in zip(firsts.numpy(), wanted, strict=True):
        index = (first + ENVS * np.arange(LENGTH)) % 30
        memory.update_priorities(tf.constant(index, tf.int32), np.full(LENGTH, priority, np.float32))
    counts = np.zeros(6)
    for number in range(500):
        batch = sampled(memory, number)
        place = (batch["state"][:, 0, 0] / 2 * ENVS + batch["state"][:, 0, 1]).astype(int)
        np.add.at(counts, place, 1)
        weights = wanted[place].min() / wanted[place]
        np.testing.assert_allclose(batch["weights"], np.repeat(weights[:, np.newaxis], LENGTH, 1), rtol=1e-4)
        assert batch["index"].shape == (4, LENGTH)
    np.testing.assert_allclose(counts / counts.sum(), wanted / wanted.sum(), atol=0.03)


def test_before_any_sequence_is_whole_the_steps_there_are_can_be_drawn():
    memory = prioritized()
    filled(memory, 2)
    batch = sampled(memory, 0)
    np.testing.assert_array_equal(batch["valid"], [[1, 1, 0, 0]] * 4)
    assert np.isfinite(batch["weights"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sequence_length": 1}, "sequence_length=1"),
        ({"sequence_length": 3}, "batch_size=16 must be a multiple of sequence_length=3"),
        ({"n_step": LENGTH + 1}, f"n_step={LENGTH + 1} must not exceed sequence_length={LENGTH}"),
        ({"stride": 0}, "stride=0"),
        ({"max_share": 1.5}, "max_share=1.5"),
        ({"n_step": 0}, "n_step=0"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        prioritized(**arguments)


def test_a_stride_that_leaves_nothing_to_sample_is_refused():
    memory = prioritized(stride=8)
    with pytest.raises(ValueError, match="stride=8 must be at most 7"):
        memory.build(SPECS, ENVS)
    prioritized(stride=7).build(SPECS, ENVS)


def test_a_memory_too_small_for_a_sequence_of_each_environment_is_refused():
    memory = PrioritizedSequenceReplay(8, 8, sequence_length=LENGTH)
    with pytest.raises(ValueError, match="size=8 is too small for sequences"):
        memory.build(SPECS, ENVS)
