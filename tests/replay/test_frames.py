"""`frame_stack`: each frame is stored once, and stacks are rebuilt bit for bit from frames that are still stored."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from frame_testing import MEMORIES, FrameWorld, built, check, specs_of
from replay_testing import COMPILATIONS, arrays, seed

from polyrl.engine import functional
from polyrl.engine.functional import Functional
from polyrl.replay import PrioritizedReplay, Replay, UniformReplay


@pytest.mark.slow
@pytest.mark.parametrize("kind", MEMORIES)
@pytest.mark.parametrize(
    ("num_envs", "size", "stack", "n", "end"),
    [(1, 21, 4, 1, 0.1), (2, 60, 4, 1, 0.02), (3, 50, 4, 3, 0.1), (2, 24, 2, 5, 0.3), (2, 20, 1, 2, 0.1), (3, 17, 3, 1, 0.6)],
)
def test_batches_hold_only_transitions_whose_frames_are_all_stored(kind, num_envs, size, stack, n, end):
    """The ring buffers wrap several times; episodes are longer and shorter than buffers and stacks."""
    world, memory = built(kind, size, num_envs, stack, seed=n, end=end, n_step=n)
    add, sample = (tf.function(f, autograph=False) for f in (memory.add, memory.sample))
    rng = np.random.default_rng(0)
    for time in range(4 * size // num_envs):
        add(world.step())
        batch = check(world, memory, time, n, sample)
        if kind == "prioritized":
            memory.update_priorities(tf.constant(batch["index"]), tf.constant(rng.random(12), tf.float32))


@pytest.mark.slow
@pytest.mark.parametrize("kind", MEMORIES)
@pytest.mark.parametrize("n", [1, 3])
def test_neither_stacks_nor_windows_cross_an_unseen_episode_start(kind, n):
    """As after a resume."""
    world, memory = built(kind, n_step=n, end=0.1)
    memory.start_episodes()  # In an empty memory as well.
    add, sample = (tf.function(f, autograph=False) for f in (memory.add, memory.sample))
    for time in range(80):
        add(world.step())
        check(world, memory, time, n, sample)
        if time % 6 == 2:
            for _ in range(1 + time % 2):  # A second call changes nothing.
                memory.start_episodes()
            world.start_episodes()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("steps", [3, 15, 70])
def test_samples_are_uniform_over_the_valid_rows(number, steps):
    """A two-sided chi-square test; the environments have different numbers of rows."""
    world, memory = built(size=90, num_envs=3, batch_size=40, seed=number, end=0.4)
    for _ in range(steps):
        memory.add(world.step())
    sample = tf.function(lambda s: memory._storage.draw(s, 40), autograph=False)
    draws = np.concatenate([sample(tf.constant([number, step])).numpy() for step in range(250)])
    positions = sorted(world.positions(30))
    counts = np.bincount(draws, minlength=90)[positions]
    assert counts.sum() == len(draws)
    free, expected = len(positions) - 1, len(draws) / len(positions)
    assert abs(np.sum((counts - expected) ** 2 / expected) - free) < 6 * np.sqrt(2 * free)


@pytest.mark.slow
def test_rows_are_drawn_independently():
    """The two rows of a sample are equal as often as by chance."""
    world, memory = built(num_envs=1, size=10, batch_size=2, end=0.5, seed=3)
    for _ in range(30):
        memory.add(world.step())
    sample = tf.function(lambda s: memory._storage.draw(s, 2), autograph=False)
    pairs = np.array([sample(tf.constant([number, 5])).numpy() for number in range(600)])
    chance = 1 / len(world.positions(10))
    assert abs(np.mean(pairs[:, 0] == pairs[:, 1]) - chance) < 5 * np.sqrt(chance * (1 - chance) / len(pairs))


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int32])
def test_frames_keep_their_dtype(dtype):
    world, memory = built(dtype=dtype)
    for _ in range(40):
        memory.add(world.step())
    batch = check(world, memory, 0)
    assert batch["state"].dtype == batch["next_state"].dtype == dtype


@pytest.mark.slow
def test_frames_may_be_scalars():
    memory = UniformReplay(20, 8, frame_stack=3)
    memory.build(specs_of(tf.TensorSpec([3], tf.float32)))
    for time in range(50):
        at = [float(max(time + back, 0)) for back in range(-2, 2)]
        row = {"state": at[:3], "reward": 0.0, "done": 0.0, "next_state": at[1:]}
        memory.add({"action": tf.constant([time]), **{name: tf.constant([value]) for name, value in row.items()}})
        batch = arrays(memory.sample(seed(time)))
        expected = np.maximum(batch["action"][:, np.newaxis] + [[-2, -1, 0]], 0)
        np.testing.assert_array_equal(batch["state"], expected)
        np.testing.assert_array_equal(batch["next_state"], np.maximum(batch["action"][:, np.newaxis] + [[-1, 0, 1]], 0))


@pytest.mark.slow
def test_sampling_an_empty_memory_gives_zeros_in_a_graph_and_terminates():
    _, memory = built()
    assert int(memory.stored().numpy()) == 0
    assert not tf.function(memory.sample)(seed(0))["state"].numpy().any()


def test_an_overwritten_row_is_never_sampled_again():
    """Its priority is zero, and a later update does not raise it."""
    world, memory = built("prioritized", size=16, num_envs=1, end=0.0)
    for _ in range(8):
        memory.add(world.step())
    for _ in range(14):
        memory.add(world.step())
    memory.update_priorities(tf.range(16), tf.fill([16], 7.0))
    check(world, memory, 0)


def iteration(memory: Replay, row: dict[str, tf.Tensor], number: tf.Tensor) -> dict[str, tf.Tensor]:
    memory.add(row)
    batch = memory.sample(tf.stack([number, 1]), number)
    if "index" in batch:
        memory.update_priorities(batch["index"], tf.ones_like(batch["weights"]) * tf.cast(1 + batch["index"] % 4, tf.float32))
    return {name: batch[name] for name in ("state", "action", "next_state")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param("uniform", marks=pytest.mark.slow), "prioritized"])
def test_eager_traced_compiled_and_carried_loops_give_the_same(kind):
    def memory_of(world: FrameWorld) -> Replay:
        options = {"alpha": 1.0, "epsilon": 2.0**-10} if kind == "prioritized" else {}
        memory = MEMORIES[kind](60, 12, frame_stack=4, n_step=2, **options)
        memory.build(world.specs(), 2)
        return memory

    world = FrameWorld(0, 2, 4)
    rows = [world.step() for _ in range(40)]
    results = {}
    for how, wrap in COMPILATIONS.items():
        memory = memory_of(world)
        call = wrap(lambda row, number, memory=memory: iteration(memory, row, number))
        batches = [arrays(call(row, tf.constant(number))) for number, row in enumerate(rows)]
        results[how] = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}

    memory = memory_of(world)
    carried = Functional([memory])
    stacked = {name: tf.stack([row[name] for row in rows]) for name in rows[0]}

    @tf.function(jit_compile=True, autograph=False)
    def loop(*values):
        def body(number, found):
            row = {name: column[number] for name, column in stacked.items()}
            batch = iteration(memory, row, number)
            return number + 1, {
                name: tf.tensor_scatter_nd_update(found[name], [[number]], batch[name][tf.newaxis]) for name in found
            }

        with carried.given(values):
            found = {name: tf.zeros(array.shape, array.dtype) for name, array in results["eager"].items()}
            return functional.while_loop(lambda number, _: number < len(rows), body, [tf.constant(0), found])[1]

    results["carried"] = arrays(loop(*[variable.read_value() for variable in carried.variables]))
    for how in ("function", "xla", "carried"):
        for name, expected in results["eager"].items():
            np.testing.assert_array_equal(results[how][name], expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MEMORIES)
def test_a_checkpoint_restores_everything(kind, tmp_path):
    (world, memory), (_, other) = built(kind, n_step=2), built(kind, n_step=2)
    add = tf.function(memory.add, autograph=False)
    for _ in range(45):
        add(world.step())
    path = tf.train.Checkpoint(memory=memory).write(str(tmp_path / "memory"))
    tf.train.Checkpoint(memory=other).read(path).assert_consumed()
    for time in range(4):
        rows = world.step()
        for one in (memory, other):
            one.add(rows)
        check(world, other, time, 2)
        for name, values in arrays(memory.sample(seed(time))).items():
            np.testing.assert_array_equal(other.sample(seed(time))[name], values)


def test_a_frame_needs_little_more_memory_than_itself():
    """At most 5% more, including priorities."""
    memory = PrioritizedReplay(2_000, 32, frame_stack=4)
    memory.build(specs_of(tf.TensorSpec([84, 84, 4], tf.uint8)))
    room = sum(int(np.prod(variable.shape)) * variable.dtype.size for variable in memory.variables)
    assert room <= 1.05 * 2_000 * 84 * 84


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"state": tf.TensorSpec([2, 3, 5], tf.uint8), "next_state": tf.TensorSpec([2, 3, 5], tf.uint8)},
            "frame_stack=4 needs",
        ),
        ({"state": tf.TensorSpec([], tf.uint8), "next_state": tf.TensorSpec([], tf.uint8)}, "frame_stack=4 needs"),
        ({"next_state": tf.TensorSpec([2, 3, 4], tf.float32)}, "must have the same shape and dtype"),
        ({"reward": None}, r"needs the columns \['reward'\]"),
        ({"more": tf.TensorSpec([2_000], tf.float32)}, r"only state and next_state may be large; \['more'\]"),
    ],
)
def test_columns_that_cannot_be_stored_as_frames_are_refused(changed, words):
    specs = {**FrameWorld(0, 1, 4).specs(), **changed}
    with pytest.raises(ValueError, match=words):
        UniformReplay(60, 4, frame_stack=4).build({name: spec for name, spec in specs.items() if spec is not None})


def test_a_memory_too_small_for_its_stacks_is_refused():
    with pytest.raises(ValueError, match=r"size=13 .* frame_stack=4 and n_step=3 in num_envs=2 .* at least 14"):
        built(size=13, n_step=3)


@pytest.mark.parametrize(("stack", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_an_invalid_frame_stack_is_refused(stack, error):
    with pytest.raises(error, match="frame_stack="):
        UniformReplay(8, 4, frame_stack=stack)


def test_another_number_of_environments_is_refused(tmp_path):
    (world, memory), (_, other) = built(num_envs=2), built(num_envs=3)
    with pytest.raises(ValueError, match="num_envs is now 3, was 2"):
        memory.build(world.specs(), 3)
    with pytest.raises(ValueError, match="3 rows; the memory was built for num_envs=2"):
        memory.add(FrameWorld(0, 3, 4).step())
    path = tf.train.Checkpoint(memory=memory).write(str(tmp_path / "memory"))
    with pytest.raises(ValueError, match="shape"):
        tf.train.Checkpoint(memory=other).read(path)
