"""Memories with demonstrations: which rows are sampled, how often, and that nothing overwrites them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from replay_testing import COMPILATIONS, World, arrays, seed

from polyrl.demos import DemoEpisode, Demonstrations
from polyrl.replay import PrioritizedReplay, UniformReplay

LENGTHS = (3, 1, 5)
ENDS = ((True, False), (False, True), (False, False))
DEMO = 100.0
"""Demonstrated states identify themselves: (100 + episode, step, 0, 0)."""


def demonstrations(lengths=LENGTHS) -> Demonstrations:
    episodes = []
    for number, (length, ends) in enumerate(zip(lengths, ENDS, strict=True)):
        states = np.array([[DEMO + number, step, 0, 0] for step in range(length + 1)], np.float32)
        episodes.append(DemoEpisode(states, np.arange(length), np.arange(length) + 0.5, *ends))
    return Demonstrations(episodes)


def naive_window(number: int, step: int, n: int) -> tuple[list[float], bool, int]:
    """Rewards of the window, whether it terminates, and the step of its bootstrap state."""
    last = min(step + n, LENGTHS[number])
    return [t + 0.5 for t in range(step, last)], ENDS[number][0] and last == LENGTHS[number], last


def check_demo_row(batch: dict[str, np.ndarray], row: int, n: int) -> None:
    """The row is, bit for bit, a window of a single demonstrated episode."""
    number, step = int(batch["state"][row, 0] - DEMO), int(batch["state"][row, 1])
    rewards, done, last = naive_window(number, step, n)
    np.testing.assert_array_equal(batch["next_state"][row], [DEMO + number, last, 0, 0])
    assert batch["action"][row] == step
    if n == 1:
        assert (batch["reward"][row], batch["done"][row]) == (rewards[0], float(done))
        return
    assert batch["reward"][row][: len(rewards)].tolist() == rewards
    ended = (batch["done"][row] + batch["truncated"][row]) > 0
    assert not ended[: len(rewards) - 1].any()
    if last == LENGTHS[number]:
        assert ended[len(rewards) - 1]
        assert batch["done"][row][len(rewards) - 1] == done
    assert batch["done"][row][: len(rewards) - 1].sum() == 0


def sampler(memory, compilation: str = "function"):
    return COMPILATIONS[compilation](lambda s: memory.sample(s, 0))


KINDS = {"uniform": UniformReplay, "prioritized": PrioritizedReplay}


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("compilation", COMPILATIONS)
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_sampled_demonstrations_equal_the_recorded_ones(kind, n, compilation):
    """Before the agent stores anything, all rows are demonstrations; windows end with their episodes."""
    world = World(0, 2)
    memory = KINDS[kind](10, 9, n_step=n, demonstrations=demonstrations())
    memory.build(world.specs(), 2)
    assert int(memory.stored()) == sum(LENGTHS)
    sample, seen = sampler(memory, compilation), set()
    for number in range(12):
        batch = arrays(sample(seed(number)))
        np.testing.assert_array_equal(batch["expert"], np.ones(9, np.float32))
        for row in range(9):
            check_demo_row(batch, row, n)
            seen.add(tuple(batch["state"][row, :2]))
    assert seen == {(DEMO + number, step) for number, length in enumerate(LENGTHS) for step in range(length)}


@pytest.mark.slow
@pytest.mark.parametrize("compilation", ["function", "xla"])
@pytest.mark.parametrize(("share", "rows"), [(0.25, 2), (0.5, 4), (0.0, 0), (1.0, 8)])
def test_a_uniform_sample_holds_the_given_share_of_demonstrations(share, rows, compilation):
    world = World(1, 2)
    memory = UniformReplay(10, 8, demonstrations=demonstrations(), demo_share=share)
    memory.build(world.specs(), 2)
    store, sample = COMPILATIONS[compilation](memory.add), sampler(memory, compilation)
    for _ in range(30):  # The ring buffer wraps six times.
        store(world.step())
    for number in range(5):
        batch = arrays(sample(seed(number)))
        np.testing.assert_array_equal(batch["expert"], np.arange(8) < rows)
        for row in range(8):
            if batch["expert"][row]:
                check_demo_row(batch, row, 1)
            else:
                env, time = int(batch["state"][row, 0]), int(batch["state"][row, 1])
                assert time >= 25  # The newest ten.
                np.testing.assert_array_equal(batch["state"][row], world.histories[env][time]["state"])
                assert batch["reward"][row] == world.histories[env][time]["reward"]


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_demonstrations_are_never_overwritten(kind, n):
    world = World(2, 2)
    memory = KINDS[kind](12, 8, n_step=n, demonstrations=demonstrations())
    memory.build(world.specs(), 2)
    capacity = 12
    before = {name: column.numpy()[capacity:] for name, column in memory.columns.items()}
    store = tf.function(memory.add, autograph=False)
    for _ in range(40):
        store(world.step())
    memory.start_episodes()
    for name, column in memory.columns.items():
        np.testing.assert_array_equal(column.numpy()[capacity:], before[name], err_msg=name)
    assert int(memory.stored()) == capacity + sum(LENGTHS)
    assert int(memory.inserted) == 80


def test_demonstrations_do_not_change_which_other_rows_are_drawn():
    """The random numbers of the two storages are independent."""
    batches = []
    for given in ({}, {"demonstrations": demonstrations(), "demo_share": 0.25}):
        world = World(3, 2)
        memory = UniformReplay(10, 8, **given)
        memory.build(world.specs(), 2)
        for _ in range(5):
            memory.add(world.step())
        batches.append(arrays(memory.sample(seed(1))))
    for name in batches[0]:
        np.testing.assert_array_equal(batches[0][name][2:], batches[1][name][2:])


@pytest.mark.slow
@pytest.mark.parametrize("compilation", COMPILATIONS)
def test_only_the_priorities_of_demonstrations_have_the_bonus(compilation):
    """Sampled in proportion to `(|td| + epsilon)^alpha`, with the demonstrations' own epsilon; the weights correct for it."""
    world = World(4, 1)
    alpha, beta, own_epsilon, bonus = 0.5, 0.7, 0.01, 2.0
    options = {"alpha": alpha, "beta": beta, "epsilon": own_epsilon, "demo_epsilon": bonus, "beta_steps": 10**9}
    memory = PrioritizedReplay(400, 400, demonstrations=demonstrations(), **options)
    memory.build(world.specs(), 1)
    for _ in range(4):
        memory.add(world.step())
    td = np.array([0.5, 1.0, 2.0, 0.0, *np.linspace(0.0, 3.0, sum(LENGTHS))], np.float32)
    places = np.array([0, 1, 2, 3, *(400 + np.arange(sum(LENGTHS)))], np.int32)
    COMPILATIONS[compilation](memory.update_priorities)(tf.constant(places), tf.constant(-td))
    expected = (td + np.where(places < 400, own_epsilon, bonus)) ** alpha
    expected /= expected.sum()
    counts, batch = np.zeros(len(places)), {}
    for number in range(5):
        batch = arrays(sampler(memory, compilation)(seed(number)))
        for index in batch["index"]:
            counts[np.flatnonzero(places == index)[0]] += 1
        np.testing.assert_array_equal(batch["expert"], batch["index"] >= 400)
    # One draw from each of 400 equal strata: each count differs from its expectation by less than one row.
    assert np.abs(counts / 5 - 400 * expected).max() < 1.01
    chances = expected[[np.flatnonzero(places == index)[0] for index in batch["index"]]]
    np.testing.assert_allclose(batch["weights"], (chances.min() / chances) ** beta, rtol=1e-4)


def test_demonstrations_start_with_the_priority_of_new_rows():
    memory = PrioritizedReplay(10, 4, demonstrations=demonstrations())
    memory.build(World(0, 1).specs(), 1)
    values = memory._tree.get(tf.range(10 + sum(LENGTHS))).numpy()
    np.testing.assert_array_equal(values, [0.0] * 10 + [1.0] * sum(LENGTHS))


# Frames. ----------------------------------------------------------------------------------------------------------------

STACK = 3


def stacked(length: int, number: int) -> np.ndarray:
    """Observations `[length + 1, 2, 2, 3]` that stack frames which say where they come from, the first one repeated."""
    frames = [np.full([2, 2], 10 * number + step, np.uint8) for step in range(length + 1)]
    return np.stack([np.stack([frames[max(t - k, 0)] for k in (2, 1, 0)], axis=-1) for t in range(length + 1)])


def frame_specs() -> dict[str, tf.TensorSpec]:
    image, scalar = tf.TensorSpec([2, 2, STACK], tf.uint8), tf.TensorSpec([])
    columns = {"reward": scalar, "done": scalar, "truncated": scalar}
    return {"state": image, "action": tf.TensorSpec([], tf.int32), **columns, "next_state": image}


def frame_demos(change: int = 0) -> Demonstrations:
    episodes = []
    for number, (length, ends) in enumerate(zip(LENGTHS, ENDS, strict=True)):
        observations = stacked(length, number + 1)
        observations[-1, 0, 0, 0] += change
        episodes.append(DemoEpisode(observations, np.arange(length), np.arange(length) + 0.5, *ends))
    return Demonstrations(episodes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n"),
    [
        ("uniform", 1),
        ("prioritized", 2),
        pytest.param("uniform", 2, marks=pytest.mark.slow),
        pytest.param("prioritized", 1, marks=pytest.mark.slow),
    ],
)
def test_stacks_of_frames_are_rebuilt_bit_for_bit(kind, n):
    memory = KINDS[kind](40, 9, n_step=n, frame_stack=STACK, demonstrations=frame_demos())
    memory.build(frame_specs(), 1)
    assert int(memory.stored()) == sum(LENGTHS)
    seen, sample = set(), sampler(memory)
    for number in range(12):
        batch = arrays(sample(seed(number)))
        for row in range(9):
            newest = int(batch["state"][row, 0, 0, -1])
            episode, step = newest // 10 - 1, newest % 10
            observations = stacked(LENGTHS[episode], episode + 1)
            np.testing.assert_array_equal(batch["state"][row], observations[step])
            np.testing.assert_array_equal(batch["next_state"][row], observations[min(step + n, LENGTHS[episode])])
            assert batch["expert"][row] == 1.0
            seen.add((episode, step))
    assert len(seen) == sum(LENGTHS)


def test_observations_that_are_not_stacks_are_refused():
    memory = UniformReplay(40, 4, frame_stack=STACK, demonstrations=frame_demos(change=1))
    with pytest.raises(ValueError, match="not stacks of the newest frames"):
        memory.build(frame_specs(), 1)


# What is refused. -------------------------------------------------------------------------------------------------------


def test_observations_that_do_not_match_the_specs_are_refused():
    memory = UniformReplay(10, 4, demonstrations=frame_demos())
    with pytest.raises(ValueError, match=r"observations are uint8 \(2, 2, 3\), those of the environment are float32 \(4,\)"):
        memory.build(World(0, 1).specs(), 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: UniformReplay(10, 4, demonstrations=[1]), "must be Demonstrations"),
        (lambda d: UniformReplay(10, 4, demo_share=0.5), r"demo_share=0\.5 has no effect without demonstrations"),
        (lambda d: UniformReplay(10, 4, demonstrations=d, demo_share=0.1), r"demo_share=0\.1 of batch_size=4 is less than"),
        (lambda d: UniformReplay(10, 4, demonstrations=d, demo_share=1.5), r"demo_share=1\.5 must lie in"),
        (lambda d: PrioritizedReplay(10, 4, demo_epsilon=0.5), r"demo_epsilon=0\.5 has no effect without demonstrations"),
        (lambda d: PrioritizedReplay(10, 4, demonstrations=d, demo_epsilon=0.0), r"demo_epsilon=0\.0 must lie in"),
    ],
)
def test_invalid_arguments_are_refused(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make(demonstrations())
