"""n-step windows against a naive loop over the history: episode ends, several environments, wrapped ring buffers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from replay_testing import COMPILATIONS, World, arrays, check_batch, seed

from polyrl.ops import n_step_return
from polyrl.replay import UniformReplay

GAMMA = 0.9


def built(world: World, size: int, n: int, batch_size: int = 24) -> UniformReplay:
    memory = UniformReplay(size, batch_size, n_step=n)
    memory.build(world.specs(), world.num_envs)
    return memory


RINGS = [(3, 48, 2), (1, 37, 3), (3, 50, 5), (4, 64, 4), (2, 33, 1), (5, 32, 6)]


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    ("num_envs", "size", "n", "how"),
    [
        *((*ring, how) for how in ("eager", "function") for ring in RINGS),
        (*RINGS[0], "xla"),
        *(pytest.param(*ring, "xla", marks=pytest.mark.slow) for ring in RINGS[1:]),
    ],
)
def test_windows_equal_those_of_a_naive_loop(how, num_envs, size, n):
    """The ring buffer wraps several times; its size is a multiple of the number of environments, or not."""
    world, seen = World(seed=n, num_envs=num_envs), set()
    memory = built(world, size, n)
    add, sample = COMPILATIONS[how](memory.add), COMPILATIONS[how](memory.sample)
    for time in range(4 * size // num_envs):
        add(world.step())
        if time % 7 and time > 3:
            continue
        batch = arrays(sample(seed(time)))
        places = [(int(state[0]), int(state[1])) for state in batch["state"]]
        check_batch(world, batch, n, places)
        numbers = {at * num_envs + env for env, at in places}
        assert max(0, (time + 1) * num_envs - size) <= min(numbers)
        assert max(numbers) < (time + 1) * num_envs
        seen |= {len(world.naive_window(env, at, n)) for env, at in places}
    assert seen == set(range(1, n + 1))


def test_reduced_windows_are_discounted_sums():
    """Reduced by `ops.n_step_return`, as in the models."""
    world = World(seed=0, num_envs=3)
    memory = built(world, 60, 4, batch_size=60)
    for _ in range(50):
        memory.add(world.step())
    batch = memory.sample(seed(0))
    result = n_step_return(batch["reward"], batch["done"], batch["truncated"], GAMMA)
    for row, state in enumerate(batch["state"].numpy()):
        window = world.naive_window(int(state[0]), int(state[1]), 4)
        total = sum(GAMMA**k * float(step["reward"]) for k, step in enumerate(window))
        assert result.reward[row].numpy() == pytest.approx(total, abs=1e-5)
        bootstrap = 0.0 if window[-1]["done"] else GAMMA ** len(window)
        assert result.discount[row].numpy() == pytest.approx(bootstrap, abs=1e-6)


def test_no_window_crosses_an_unseen_episode_start():
    """As after a resume: the environments start new episodes, although the last ones never ended."""
    world = World(seed=1, num_envs=2, end=0.0)
    memory = built(world, 24, 3)
    memory.start_episodes()  # In an empty memory as well.
    for time in range(40):
        memory.add(world.step())
        if time % 5 == 2:
            memory.start_episodes()
            world.start_episodes()
        batch = arrays(memory.sample(seed(time)))
        check_batch(world, batch, 3, [(int(state[0]), int(state[1])) for state in batch["state"]])


def test_without_the_column_truncated_nothing_is_truncated():
    world = World(seed=2, num_envs=2, end=0.0)
    memory = UniformReplay(20, 20, n_step=3)
    memory.build({name: spec for name, spec in world.specs().items() if name != "truncated"}, 2)
    for _ in range(10):
        rows = world.step()
        memory.add({name: value for name, value in rows.items() if name != "truncated"})
    batch = arrays(memory.sample(seed(0)))
    check_batch(world, batch, 3, [(int(state[0]), int(state[1])) for state in batch["state"]])


def test_windows_of_large_columns_and_other_dtypes():
    class Images(World):
        def state(self, *at):
            return np.full([30, 40], np.array(at) @ [1, 3, 50, 7] % 251, np.uint8)

    world = Images(seed=3, num_envs=2)
    memory = built(world, 30, 3)
    for _ in range(40):
        memory.add(world.step())
    batch = arrays(memory.sample(seed(1)))
    assert batch["state"].dtype == np.uint8
    # The action, a random integer, identifies the row.
    found = {int(row["action"]): (env, time) for env in range(2) for time, row in enumerate(world.histories[env])}
    check_batch(world, batch, 3, [found[int(action)] for action in batch["action"]])


# Refusals and checkpoints. ----------------------------------------------------------------------------------------------


def test_another_number_of_environments_is_refused():
    world = World(seed=0, num_envs=3)
    memory = built(world, 30, 2)
    with pytest.raises(ValueError, match="num_envs is now 2, was 3"):
        memory.build(world.specs(), 2)
    with pytest.raises(ValueError, match="2 rows; the memory was built for num_envs=3"):
        memory.add(World(seed=0, num_envs=2).step())


def test_a_checkpoint_of_another_number_of_environments_is_refused(tmp_path):
    memories = [built(World(seed=0, num_envs=count), 30, 2) for count in (2, 3)]
    path = tf.train.Checkpoint(memory=memories[0]).write(str(tmp_path / "memory"))
    with pytest.raises(ValueError, match="environments"):
        tf.train.Checkpoint(memory=memories[1]).read(path)


def test_a_memory_too_small_for_a_window_is_refused():
    with pytest.raises(ValueError, match=r"size=11 .* n_step=3 .* num_envs=4 .* at least 12"):
        built(World(seed=0, num_envs=4), 11, 3, batch_size=4)


@pytest.mark.parametrize("missing", ["reward", "done", "next_state"])
def test_a_missing_column_is_refused(missing):
    specs = {name: spec for name, spec in World(seed=0, num_envs=1).specs().items() if name != missing}
    with pytest.raises(ValueError, match=f"n_step=2 needs .*{missing}"):
        UniformReplay(8, 4, n_step=2).build(specs)


def test_rows_with_other_columns_are_refused():
    world = World(seed=0, num_envs=1)
    memory = built(world, 8, 1, batch_size=4)
    rows = world.step()
    with pytest.raises(ValueError, match="rows have the columns"):
        memory.add({**rows, "more": rows["reward"]})
    with pytest.raises(ValueError, match="rows have the columns"):
        memory.add({"state": rows["state"]})


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError), ("2", TypeError)])
def test_an_invalid_n_step_is_refused(n, error):
    with pytest.raises(error, match=r"n_step="):
        UniformReplay(8, 4, n_step=n)
