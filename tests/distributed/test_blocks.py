"""Blocks without what is in them twice: what comes back is bit for bit what an environment's driver gave."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl.distributed.blocks import expand, shrink
from polyrl.replay import UniformReplay


def steps(length: int, num_envs: int, frames: int | None, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of steps as a driver gives them, by a loop of its own: a state with another part, and episodes that end."""
    rng = np.random.default_rng(seed)

    def image() -> np.ndarray:
        return rng.integers(0, 255, [num_envs, 5, 4, 1], dtype=np.uint8)

    def other() -> np.ndarray:
        return rng.normal(size=[num_envs, 3]).astype(np.float32)

    rows = []
    state, part = np.repeat(image(), frames or 1, axis=-1), other()
    for _ in range(length):
        following = image() if frames is None else np.concatenate([state[..., 1:], image()], axis=-1)
        next_part = other()
        done = (rng.random(num_envs) < 0.3).astype(np.float32)
        truncated = (rng.random(num_envs) < 0.3).astype(np.float32) * (1.0 - done)
        action, reward = rng.integers(0, 3, num_envs, dtype=np.int32), rng.normal(size=num_envs).astype(np.float32)
        rows.append(
            {
                "state": state,
                "part": part,
                "action": action,
                "reward": reward,
                "done": done,
                "truncated": truncated,
                "next_state": following,
                "next_part": next_part,
            }
        )
        ended = done + truncated > 0.0
        state, part = following.copy(), next_part.copy()
        state[ended], part[ended] = np.repeat(image(), frames or 1, axis=-1)[ended], other()[ended]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize("frames", [None, 1, 4])
@pytest.mark.parametrize(("length", "num_envs"), [(1, 1), (1, 3), (2, 1), (30, 4)])
def test_the_columns_come_back(length: int, num_envs: int, frames: int | None) -> None:
    columns = steps(length, num_envs, frames)
    found = expand(shrink(columns, frames))
    assert found.keys() == columns.keys()
    for name, whole in columns.items():
        values = whole[..., -1:] if frames and name in ("state", "next_state") else whole
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_stacks_come_back_from_the_memory_that_is_given_their_newest_frames() -> None:
    columns = {name: values for name, values in steps(30, 3, 4).items() if "part" not in name}
    memory = UniformReplay(300, 4, frame_stack=4)
    memory.build({name: tf.TensorSpec(values.shape[2:], values.dtype) for name, values in columns.items()}, 3)
    places = []
    for first in range(0, 30, 10):
        block = {name: values[first : first + 10] for name, values in columns.items()}
        places.append(memory.add_steps({name: tf.constant(values) for name, values in expand(shrink(block, 4)).items()}))
    batch = memory.read({"index": tf.reshape(tf.concat(places, axis=0), [-1])})
    for name in ("state", "next_state", "action", "reward", "done"):
        np.testing.assert_array_equal(batch[name], columns[name].reshape(-1, *columns[name].shape[2:]), err_msg=name)


def test_discrete_states_come_back() -> None:
    done = np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]], np.float32)
    state = np.array([[0, 1], [2, 7], [3, 4]], np.int32)
    following = np.array([[2, 5], [3, 4], [9, 6]], np.int32)
    columns = {"state": state, "next_state": following, "done": done, "truncated": np.zeros_like(done)}
    found = expand(shrink(columns))
    np.testing.assert_array_equal(found["state"], state)
    np.testing.assert_array_equal(found["next_state"], following)


def test_frames_are_sent_once() -> None:
    columns = steps(50, 2, 4)
    sent = sum(values.nbytes for name, values in shrink(columns, 4).items() if "state" in name)
    assert sent < 0.25 * (columns["state"].nbytes + columns["next_state"].nbytes)


def changed(columns: dict[str, np.ndarray], **others: np.ndarray | None) -> dict[str, np.ndarray]:
    return {name: values for name, values in {**columns, **others}.items() if values is not None}


def test_columns_of_no_block_are_refused() -> None:
    small = shrink(steps(6, 2, None))
    for wrong in (
        changed(small, done=None),
        changed(small, next_state=None),
        changed(small, begun_state=small["begun_state"][:-1]),
        changed(small, reward=small["reward"][:-1]),
        changed(small, done=small["done"][0]),
        {name: values if name.startswith(("first_", "begun_")) else values[:0] for name, values in small.items()},
        changed(small, first_state=small["first_state"][..., :1, :]),
    ):
        with pytest.raises(ValueError, match="These are not the columns of a block"):
            expand(wrong)
