"""`Replay.newest`, against the list of all steps: what the hooks that look at rewards see, with each memory."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from frame_testing import FrameWorld, specs_of
from replay_testing import World

from polyrl.replay import (
    PrioritizedReplay,
    PrioritizedSequenceReplay,
    RolloutMemory,
    SequenceReplay,
    UniformReplay,
)

ENVS = 4
MEMORIES = {
    "uniform": lambda: UniformReplay(size=40, batch_size=4),
    "uniform-3": lambda: UniformReplay(size=40, batch_size=4, n_step=3),
    "prioritized": lambda: PrioritizedReplay(size=40, batch_size=4),
    "prioritized-3": lambda: PrioritizedReplay(size=40, batch_size=4, n_step=3),
    "sequences": lambda: SequenceReplay(size=40, batch_size=6, sequence_length=3),
    "sequences-2": lambda: SequenceReplay(size=40, batch_size=6, sequence_length=3, n_step=2),
    "prioritized sequences": lambda: PrioritizedSequenceReplay(size=40, batch_size=6, sequence_length=3),
    "rollouts": lambda: RolloutMemory(size=40, batch_size=20),
}


def tails(world: World, count: int) -> dict[str, np.ndarray]:
    """The newest `count` steps of each environment, `[count, N]`."""
    return {
        name: np.array([[row[name] for row in history[len(history) - count :]] for history in world.histories]).T
        for name in ("reward", "done", "truncated")
    }


@pytest.mark.default_cases(28)
@pytest.mark.parametrize("kind", MEMORIES)
@pytest.mark.parametrize(("taken", "asked", "given"), [(1, 5, 1), (7, 5, 5), (7, 100, 7), (33, 6, 6), (33, 100, 10)])
def test_it_is_the_end_of_the_list(kind, taken, asked, given):
    world, memory = World(0, ENVS), MEMORIES[kind]()
    memory.build(world.specs(), ENVS)
    for _ in range(taken):
        memory.add(world.step())
    found = [column.numpy() for column in memory.newest(asked)]
    expected = tails(world, given)
    np.testing.assert_array_equal(found[0], expected["reward"])
    np.testing.assert_array_equal(found[1], expected["done"])
    np.testing.assert_array_equal(found[2], expected["truncated"])


@pytest.mark.parametrize("kind", ["uniform-3", "sequences", "prioritized sequences", "rollouts"])
def test_episodes_that_were_left_are_truncated(kind):
    world, memory = World(1, ENVS, end=0.0), MEMORIES[kind]()
    memory.build(world.specs(), ENVS)
    for _ in range(3):
        memory.add(world.step())
    world.start_episodes()
    memory.start_episodes()
    memory.add(world.step())
    np.testing.assert_array_equal(memory.newest(4)[2].numpy(), [[0.0] * ENVS, [0.0] * ENVS, [1.0] * ENVS, [0.0] * ENVS])


@pytest.mark.parametrize("kind", [UniformReplay, PrioritizedReplay])
@pytest.mark.parametrize("taken", [1, 7, 33])
def test_of_stacks_there_is_a_row_without_a_reward_at_the_end_of_an_episode(kind, taken):
    world, memory = FrameWorld(2, ENVS, stack=3), kind(size=60, batch_size=4, frame_stack=3)
    memory.build(specs_of(tf.TensorSpec([2, 3, 3], tf.uint8)), ENVS)
    for _ in range(taken):
        memory.add(world.step())
    reward, done, truncated = (column.numpy() for column in memory.newest(100))
    for env, history in enumerate(world.histories):
        is_step = reward[:, env] != 0.0
        steps = history[len(history) - is_step.sum() :]
        # As many rows as the environment with the fewest has; an episode of one step has two.
        assert is_step.sum() >= min(taken, 14) // 2
        assert reward[is_step, env].tolist() == [row["reward"] for row in steps]
        assert done[is_step, env].tolist() == [row["done"] for row in steps]
        assert not done[~is_step, env].any()
        assert not truncated[~is_step, env].any()
