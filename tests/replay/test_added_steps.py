"""Many steps at once are the same memory as these steps one by one: every variable, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from polyrl.replay import PrioritizedReplay, PrioritizedSequenceReplay, Replay, SequenceReplay, UniformReplay

ENVS, FRAMES = 3, 2
KINDS: dict[str, Any] = {
    "uniform": lambda size: UniformReplay(size, 4),
    "n_step": lambda size: UniformReplay(size, 4, n_step=3),
    "prioritized": lambda size: PrioritizedReplay(size, 4, n_step=2),
    "frames": lambda size: UniformReplay(size, 4, frame_stack=FRAMES),
    "windows_of_frames": lambda size: UniformReplay(size, 4, n_step=2, frame_stack=FRAMES),
    "prioritized_frames": lambda size: PrioritizedReplay(size, 4, frame_stack=FRAMES),
    "sequences": lambda size: SequenceReplay(size, 4, sequence_length=2),
    "prioritized_sequences": lambda size: PrioritizedSequenceReplay(size, 4, sequence_length=2),
}


def steps(count: int, frames: bool, rng: np.random.Generator) -> dict[str, np.ndarray]:
    shape = [count, ENVS]
    stacks = [*shape, 2, 2, FRAMES] if frames else [*shape, 2]
    done = (rng.random(shape) < 0.2).astype(np.float32)
    return {
        "state": rng.integers(0, 9, stacks).astype(np.float32),
        "action": rng.integers(0, 3, shape).astype(np.int32),
        "reward": rng.normal(size=shape).astype(np.float32),
        "done": done,
        "truncated": (rng.random(shape) < 0.2).astype(np.float32) * (1.0 - done),
        "next_state": rng.integers(0, 9, stacks).astype(np.float32),
    }


def built(kind: str, size: int, columns: dict[str, np.ndarray]) -> Replay:
    memory: Replay = KINDS[kind](size)
    memory.build({name: tf.TensorSpec(values.shape[2:], values.dtype) for name, values in columns.items()}, ENVS)
    return memory


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("size", [12, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_at_once_are_steps_one_by_one(kind: str, size: int, count: int, traced: bool) -> None:
    """Also more than the memory holds, and a second time where it goes on."""
    rng = np.random.default_rng(1)
    blocks = [steps(count, "frames" in kind, rng) for _ in range(4)]
    at_once, one_by_one = (built(kind, size, blocks[0]) for _ in range(2))
    add_steps = tf.function(at_once.add_steps) if traced else at_once.add_steps
    for block in blocks:
        columns = {name: tf.constant(values) for name, values in block.items()}
        positions = add_steps(columns)
        wanted = [one_by_one.add({name: values[step] for name, values in columns.items()}) for step in range(count)]
        if count * ENVS <= size:
            np.testing.assert_array_equal(positions, tf.stack(wanted))
        assert len(at_once.variables) == len(one_by_one.variables)
        for found, other in zip(at_once.variables, one_by_one.variables, strict=True):
            np.testing.assert_array_equal(found, other, err_msg=found.name)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "frames" in kind])
def test_the_newest_frames_of_stacks_are_enough(kind: str) -> None:
    rng = np.random.default_rng(2)
    blocks = [steps(7, True, rng) for _ in range(4)]
    whole, newest = (built(kind, 60, blocks[0]) for _ in range(2))
    for block in blocks:
        whole.add_steps({name: tf.constant(values) for name, values in block.items()})
        newest.add_steps(
            {name: tf.constant(values[..., -1:] if "state" in name else values) for name, values in block.items()}
        )
    for found, other in zip(newest.variables, whole.variables, strict=True):
        np.testing.assert_array_equal(found, other, err_msg=found.name)
    wrong = {name: tf.constant(values[..., :0] if "state" in name else values) for name, values in blocks[0].items()}
    with pytest.raises(ValueError, match="state"):
        newest.add_steps(wrong)
