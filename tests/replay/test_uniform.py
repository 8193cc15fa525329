"""`UniformReplay`: which rows it keeps and samples, and that a checkpoint restores it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrl.replay import UniformReplay

SPECS = {"state": tf.TensorSpec([2], tf.float32), "action": tf.TensorSpec([], tf.int32)}
SEEDS = [0, 1, 2]


def built(size: int = 8, batch_size: int = 4) -> UniformReplay:
    memory = UniformReplay(size, batch_size)
    memory.build(SPECS)
    return memory


def rows(numbers) -> dict[str, tf.Tensor]:
    """Rows that hold their number in every column."""
    numbers = np.asarray(list(numbers))
    state = np.stack([numbers, -numbers], axis=1).astype(np.float32)
    return {"state": tf.constant(state), "action": tf.constant(numbers, tf.int32)}


def stored(memory: UniformReplay) -> list[int]:
    """The numbers of the rows in the memory, sorted, after checking that the columns agree."""
    count = int(memory.stored().numpy())
    numbers = memory.columns["action"].numpy()[:count]
    np.testing.assert_array_equal(memory.columns["state"].numpy()[:count], np.stack([numbers, -numbers], axis=1))
    return sorted(numbers.tolist())


def seed(number: int) -> tf.Tensor:
    return tf.constant([number, 7], tf.int32)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 9), groups=st.lists(st.integers(1, 12), max_size=12))
def test_the_newest_rows_are_kept_for_any_number_of_rows_per_call(size, groups):
    """Compared with a list of the last `size` entries; one call may add more rows than the memory holds."""
    memory, naive, number = built(size, batch_size=1), [], 0
    for count in groups:
        new = range(number, number := number + count)
        memory.add(rows(new))
        naive = [*naive, *new][-size:]
        assert stored(memory) == naive
    assert int(memory.inserted.numpy()) == number


@pytest.mark.parametrize("jit", [False, True])
def test_rows_wrap_around_the_end_of_the_ring_buffer(jit):
    memory = built(size=5)
    add = tf.function(memory.add, jit_compile=jit, autograph=False)
    for first in (0, 3, 6):
        add(rows(range(first, first + 3)))
    assert stored(memory) == [4, 5, 6, 7, 8]


def test_columns_have_the_dtypes_and_shapes_of_their_specs():
    memory = UniformReplay(6, 2)
    memory.build({"state": tf.TensorSpec([3, 2], tf.uint8), "reward": tf.TensorSpec([], tf.float32)})
    kinds = {name: (column.dtype, tuple(column.shape)) for name, column in memory.columns.items()}
    assert kinds == {"state": (tf.uint8, (6, 3, 2)), "reward": (tf.float32, (6,))}


# Sampling. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 8, 20])
def test_exactly_the_stored_rows_are_sampled(count):
    memory = built()
    memory.add(rows(range(100, 100 + count)))
    seen = set()
    for number in range(40):
        sample = {name: value.numpy() for name, value in memory.sample(seed(number)).items()}
        np.testing.assert_array_equal(sample["state"], np.stack([sample["action"], -sample["action"]], axis=1))
        assert sample["action"].shape == (4,)
        seen |= set(sample["action"].tolist())
    assert seen == set(range(100 + max(0, count - 8), 100 + count))


@pytest.mark.default_cases(5)
@pytest.mark.parametrize("number", SEEDS)
@pytest.mark.parametrize("filled", [10, 16, 37])
def test_samples_are_uniform(number, filled):
    """Chi-square: with `k` rows the statistic has mean `k - 1` and variance `2 (k - 1)`; 6 standard deviations either way."""
    memory = built(size=16, batch_size=16)
    for first in range(filled):
        memory.add(rows([first]))
    kept = min(filled, 16)
    sample = tf.function(memory.sample)
    draws = np.concatenate([sample(tf.constant([number, step]))["action"].numpy() for step in range(300)])
    counts = np.bincount(draws - (filled - kept), minlength=kept)
    assert len(counts) == kept
    expected = len(draws) / kept
    statistic = float(np.sum((counts - expected) ** 2 / expected))
    assert abs(statistic - (kept - 1)) < 6 * np.sqrt(2 * (kept - 1))


def test_rows_are_drawn_with_replacement_and_independently():
    """The two rows of a sample are equal as often as by chance: with 8 rows, 1/8."""
    memory = built(size=8, batch_size=2)
    memory.add(rows(range(8)))
    sample = tf.function(memory.sample)
    pairs = np.array([sample(seed(number))["action"].numpy() for number in range(600)])
    equal = float(np.mean(pairs[:, 0] == pairs[:, 1]))
    assert abs(equal - 1 / 8) < 5 * np.sqrt(1 / 8 * 7 / 8 / len(pairs))


def test_the_same_seed_gives_the_same_rows_and_another_one_others():
    memory = built(size=64, batch_size=32)
    memory.add(rows(range(64)))
    first, again, other = (memory.sample(seed(number))["action"].numpy() for number in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_compiled_and_eager_calls_store_and_sample_the_same():
    results = {}
    for jit in (None, False, True):
        memory = built(size=8)
        wrap = (lambda f: f) if jit is None else (lambda f, jit=jit: tf.function(f, jit_compile=jit, autograph=False))
        add, sample = wrap(memory.add), wrap(memory.sample)
        for first in range(0, 15, 3):
            add(rows(range(first, first + 3)))
        results[jit] = [memory.columns["action"].numpy()] + [sample(seed(number))["action"].numpy() for number in range(10)]
    for jit in (False, True):
        np.testing.assert_array_equal(np.concatenate(results[jit]), np.concatenate(results[None]))


# Building, refusing, saving. --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(4, 5), (0, 1), (4, 0), (-1, 1)])
def test_invalid_sizes_are_refused(arguments):
    with pytest.raises(ValueError, match="size"):
        UniformReplay(*arguments)


@pytest.mark.parametrize("arguments", [(4.0, 2), (True, 1), (4, "2")])
def test_sizes_that_are_not_integers_are_refused(arguments):
    with pytest.raises(TypeError, match="must be an integer"):
        UniformReplay(*arguments)


def test_a_batch_may_be_as_large_as_the_memory():
    assert UniformReplay(4, 4).batch_size == 4


def test_building_again_with_the_same_specs_keeps_what_is_stored():
    memory = built()
    memory.add(rows(range(3)))
    memory.build(dict(SPECS))
    assert stored(memory) == [0, 1, 2]


@pytest.mark.parametrize(
    "changed",
    [
        {**SPECS, "state": tf.TensorSpec([3], tf.float32)},
        {**SPECS, "state": tf.TensorSpec([2], tf.uint8)},
        {**SPECS, "reward": tf.TensorSpec([], tf.float32)},
        {"state": SPECS["state"]},
    ],
    ids=["shape", "dtype", "one_more", "one_less"],
)
def test_building_again_with_other_specs_is_refused(changed):
    memory = built()
    with pytest.raises(ValueError, match="built for other transitions"):
        memory.build(changed)


def test_a_checkpoint_restores_rows_count_and_samples(tmp_path):
    memory, other = built(size=8), built(size=8)
    memory.add(rows(range(5)))
    memory.add(rows(range(5, 11)))
    path = tf.train.Checkpoint(memory=memory).write(str(tmp_path / "memory"))
    tf.train.Checkpoint(memory=other).read(path).assert_consumed()
    assert stored(other) == list(range(3, 11))
    for number in SEEDS:
        np.testing.assert_array_equal(memory.sample(seed(number))["state"], other.sample(seed(number))["state"])
    for one in (memory, other):
        one.add(rows([11]))
    np.testing.assert_array_equal(memory.columns["action"], other.columns["action"])


@pytest.mark.parametrize(("stack", "gigabytes"), [(None, "320000000.0"), (4, "40000000.0")])
def test_a_memory_that_does_not_fit_is_refused_with_what_it_needs(stack, gigabytes):
    image, number = tf.TensorSpec([10**6, 10**6, 4], tf.float32), tf.TensorSpec([], tf.float32)
    columns = dict.fromkeys(("reward", "done", "truncated"), number) | {"action": tf.TensorSpec([], tf.int32)}
    memory = UniformReplay(10_000, 4, frame_stack=stack)
    with pytest.raises(ValueError, match=f"size=10000 transitions take {gigabytes} GB, more main memory than there is"):
        memory.build({**columns, "state": image, "next_state": image})


def test_rows_are_counted_by_int32():
    with pytest.raises(ValueError, match=r"size=2147483648 must be below 2\*\*31"):
        UniformReplay(2**31)
