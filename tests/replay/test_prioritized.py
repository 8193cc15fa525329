"""`PrioritizedReplay`: priorities of new, updated and overwritten rows; importance weights; beta."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from replay_testing import COMPILATIONS, World, arrays, check_batch, seed

from polyrl.engine import functional
from polyrl.engine.functional import Functional
from polyrl.replay import PrioritizedReplay

SEEDS = [0, 1, 2]


def built(size: int = 40, batch_size: int = 16, num_envs: int = 2, **arguments) -> tuple[World, PrioritizedReplay]:
    world = World(seed=0, num_envs=num_envs)
    memory = PrioritizedReplay(size, batch_size, **arguments)
    memory.build(world.specs(), num_envs)
    return world, memory


def values(memory: PrioritizedReplay) -> np.ndarray:
    """The values in proportion to which rows are sampled, by position."""
    return memory._tree.get(tf.range(memory.size)).numpy()


def places(batch: dict[str, np.ndarray]) -> list[tuple[int, int]]:
    return [(int(state[0]), int(state[1])) for state in batch["state"]]


def test_new_rows_get_the_largest_priority_so_far():
    world, memory = built(alpha=0.5, epsilon=0.25)
    memory.add(world.step())
    np.testing.assert_allclose(values(memory)[:3], [1.0, 1.0, 0.0])
    memory.update_priorities(tf.constant([0, 1]), tf.constant([0.0, -8.75]))
    np.testing.assert_allclose(values(memory)[:3], [0.5, 3.0, 0.0])
    memory.add(world.step())
    np.testing.assert_allclose(values(memory)[:5], [0.5, 3.0, 3.0, 3.0, 0.0])
    # The largest so far, not the largest at present.
    memory.update_priorities(tf.constant([1, 2, 3]), tf.constant([0.0, 0.0, 0.0]))
    memory.add(world.step())
    np.testing.assert_allclose(values(memory)[:7], [0.5, 0.5, 0.5, 0.5, 3.0, 3.0, 0.0])


def test_priorities_below_one_leave_new_rows_at_one():
    world, memory = built()
    memory.add(world.step())
    memory.update_priorities(tf.constant([0, 1]), tf.constant([0.1, 0.2]))
    memory.add(world.step())
    np.testing.assert_allclose(values(memory)[2:4], 1.0)


def test_an_overwriting_row_gets_the_priority_of_a_new_row():
    world, memory = built(size=6, batch_size=4)
    for _ in range(3):
        memory.add(world.step())
    memory.update_priorities(tf.range(6), tf.fill([6], 1e-3))
    memory.add(world.step())
    np.testing.assert_allclose(values(memory), [1.0, 1.0, *[(1e-3 + 1e-6) ** 0.6] * 4], rtol=1e-5)


def test_a_repeated_row_gets_the_largest_of_its_priorities():
    world, memory = built(alpha=1.0)
    memory.add(world.step())
    memory.update_priorities(tf.constant([1, 0, 1, 1]), tf.constant([3.0, 1.0, 5.0, 4.0]))
    np.testing.assert_allclose(values(memory)[:2], [1.0, 5.0], rtol=1e-5)


def test_empty_rows_and_priorities_that_are_not_finite_are_ignored():
    world, memory = built(alpha=1.0)
    memory.add(world.step())
    memory.update_priorities(tf.constant([0, 1, 7]), tf.constant([np.nan, np.inf, 100.0]))
    np.testing.assert_allclose(values(memory)[:8], [1.0, 1.0] + [0.0] * 6)
    assert float(memory.max_priority.numpy()) == 1.0


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("number", SEEDS)
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_rows_are_sampled_in_proportion_to_their_priorities(number, alpha):
    """P(i) = p_i^alpha / sum p^alpha (eq. 1). A one-sided chi-square test, because strata make the counts more even."""
    world, memory = built(alpha=alpha, epsilon=1e-6)
    for _ in range(20):
        memory.add(world.step())
    priorities = np.random.default_rng(number).uniform(0.1, 10.0, 40)
    memory.update_priorities(tf.range(40), tf.constant(priorities, tf.float32))
    sample = tf.function(memory.sample)
    batches = [arrays(sample(tf.constant([number, step]))) for step in range(500)]
    counts = np.bincount(np.concatenate([batch["index"] for batch in batches]), minlength=40)
    expected = counts.sum() * priorities**alpha / (priorities**alpha).sum()
    assert np.sum((counts - expected) ** 2 / expected) < 39 + 6 * np.sqrt(2 * 39)
    check_batch(world, batches[0], 1, places(batches[0]))


@pytest.mark.parametrize(("step", "beta"), [(0, 0.4), (250, 0.55), (1_000, 1.0), (5_000, 1.0)])
@pytest.mark.parametrize("dtype", [int, tf.int64])
def test_importance_weights_are_those_of_the_paper(step, beta, dtype):
    """(1 / N 1 / P(i))^beta divided by the largest in the batch (section 3.4); beta depends on the number of updates."""
    world, memory = built(alpha=0.7, beta=0.4, beta_steps=1_000, epsilon=0.5)
    for _ in range(20):
        memory.add(world.step())
    priorities = np.linspace(0.0, 4.0, 40) ** 2
    memory.update_priorities(tf.range(40), tf.constant(priorities, tf.float32))
    batch = memory.sample(seed(3), step if dtype is int else tf.constant(step, dtype))
    probabilities = (priorities + 0.5) ** 0.7 / ((priorities + 0.5) ** 0.7).sum()
    weights = (40 * probabilities[batch["index"].numpy()]) ** -beta
    np.testing.assert_allclose(batch["weights"], weights / weights.max(), rtol=1e-5)
    assert batch["weights"].dtype == tf.float32
    assert float(tf.reduce_max(batch["weights"])) == 1.0


def test_index_holds_the_positions_of_the_sampled_rows():
    world, memory = built(num_envs=3, size=41)
    for _ in range(30):
        memory.add(world.step())
    batch = arrays(memory.sample(seed(0)))
    assert [(time * 3 + env) % 41 for env, time in places(batch)] == batch["index"].tolist()


def test_n_step_windows_are_prioritized_as_well():
    world, memory = built(num_envs=3, size=41, n_step=3)
    add, sample = (tf.function(f, autograph=False) for f in (memory.add, memory.sample))
    for time in range(60):
        add(world.step())
        batch = sample(seed(time))
        memory.update_priorities(batch["index"], tf.abs(batch["reward"][:, 0]))
        check_batch(world, arrays(batch), 3, places(arrays(batch)))


def surprise(batch: dict[str, tf.Tensor]) -> tf.Tensor:
    """Priorities of either sign, such that their sums are exact in any order."""
    return tf.round(4.0 * tf.reduce_sum(tf.reshape(batch["reward"], [16, -1]), axis=1)) + 0.5


def run(memory: PrioritizedReplay, rows: list[dict[str, tf.Tensor]], wrap) -> list[np.ndarray]:
    def iteration(row, number):
        memory.add(row)
        batch = memory.sample(tf.stack([number, 1]), number)
        memory.update_priorities(batch["index"], surprise(batch))
        return batch["index"], batch["weights"], batch["state"]

    iteration = wrap(iteration)
    results = [[x.numpy() for x in iteration(row, tf.constant(number))] for number, row in enumerate(rows)]
    return [np.concatenate(column) for column in zip(*results, strict=True)]


@pytest.mark.slow
def test_compiled_and_eager_loops_sample_the_same():
    results = {}
    for how, wrap in COMPILATIONS.items():
        world, memory = built(alpha=1.0, epsilon=0.5)
        results[how] = run(memory, [world.step() for _ in range(50)], wrap)
    for how in ("function", "xla"):
        np.testing.assert_array_equal(results[how][0], results["eager"][0])
        np.testing.assert_allclose(results[how][1], results["eager"][1], rtol=1e-5)
        np.testing.assert_array_equal(results[how][2], results["eager"][2])


@pytest.mark.slow
def test_a_loop_that_carries_the_memory_as_tensors_samples_the_same():
    """As in the training loop, see `polyrl.engine.functional`."""
    (world, memory), (_, other) = built(alpha=1.0, epsilon=0.5, n_step=2), built(alpha=1.0, epsilon=0.5, n_step=2)
    rows = [world.step() for _ in range(50)]
    index, _, _ = run(memory, rows, lambda f: f)
    stacked = {name: tf.stack([row[name] for row in rows]) for name in rows[0]}
    carried = Functional([other])

    @tf.function(jit_compile=True, autograph=False)
    def loop(*state):
        def body(number, indices):
            other.add({name: values[number] for name, values in stacked.items()})
            batch = other.sample(tf.stack([number, 1]), number)
            other.update_priorities(batch["index"], surprise(batch))
            return number + 1, tf.tensor_scatter_nd_update(indices, [[number]], batch["index"][tf.newaxis])

        with carried.given(state):
            indices = tf.zeros([len(rows), 16], tf.int32)
            return functional.while_loop(lambda number, _: number < len(rows), body, [tf.constant(0), indices])[1]

    found = loop(*[variable.read_value() for variable in carried.variables])
    np.testing.assert_array_equal(found.numpy().ravel(), index)


@pytest.mark.slow
def test_a_checkpoint_restores_the_priorities(tmp_path):
    (world, memory), (_, other) = built(), built()
    run(memory, [world.step() for _ in range(30)], tf.function)
    path = tf.train.Checkpoint(memory=memory).write(str(tmp_path / "memory"))
    tf.train.Checkpoint(memory=other).read(path).assert_consumed()
    np.testing.assert_array_equal(values(other), values(memory))
    rows = [world.step() for _ in range(5)]
    for result, expected in zip(run(other, rows, tf.function), run(memory, rows, tf.function), strict=True):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"alpha": -0.1}, ValueError),
        ({"alpha": 1.1}, ValueError),
        ({"beta": 2.0}, ValueError),
        ({"beta": "0.4"}, TypeError),
        ({"beta_steps": 0}, ValueError),
        ({"beta_steps": 1.5}, TypeError),
        ({"epsilon": 0.0}, ValueError),
        ({"epsilon": None}, TypeError),
    ],
)
def test_an_invalid_argument_is_named(arguments, error):
    with pytest.raises(error, match=f"{next(iter(arguments))}="):
        PrioritizedReplay(8, 4, **arguments)


def test_building_twice_keeps_the_priorities():
    world, memory = built()
    memory.add(world.step())
    memory.build(world.specs(), 2)
    assert values(memory)[:2].tolist() == [1.0, 1.0]
