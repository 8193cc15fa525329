"""Further parts of a state, such as the mask of its actions, in every memory: for the state and for the bootstrap state."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from replay_testing import COMPILATIONS, World, arrays, check_batch, seed

from polyrl.replay import PrioritizedReplay, UniformReplay

ACTIONS = 30  # More than the bits that one float32 can hold.


class MaskedWorld(World):
    """Each state has a different mask and goal; those of a terminal state are zeros.

    Args:
        frames: None, or how many frames a state stacks; then a frame is (environment, time, episode, step).
    """

    def __init__(self, *arguments, frames: int | None = None):
        super().__init__(*arguments)
        self.frames = frames

    def parts(self, env: int, time: int, step: int) -> dict[str, np.ndarray]:
        random = np.random.default_rng([env, time, step])
        return {"action_mask": random.random(ACTIONS) < 0.5, "goal": random.normal(size=2).astype(np.float32)}

    def specs(self):
        parts = {key: tf.TensorSpec(value.shape, value.dtype) for key, value in self.parts(0, 0, 0).items()}
        return {**super().specs(), **parts, **{f"next_{key}": spec for key, spec in parts.items()}}

    def state(self, env, time, episode, step):
        if self.frames is None:
            return super().state(env, time, episode, step)
        steps = [max(step - back, 0) for back in range(self.frames - 1, -1, -1)]
        return np.stack([np.array([env, time - step + s, episode, s], np.float32) for s in steps], axis=-1)

    def _step(self, env):
        step, time = self._at[env][1], len(self.histories[env])
        row = super()._step(env)
        next_parts = self.parts(env, time + 1, step + 1)
        if row["done"]:
            next_parts = {key: np.zeros_like(value) for key, value in next_parts.items()}
        return {**row, **self.parts(env, time, step), **{f"next_{key}": value for key, value in next_parts.items()}}


WINDOWS = [(4, 3), (1, None), (4, None), (1, 3)]
"""Steps and frames."""


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    ("n", "frames", "memory_class", "how"),
    [
        *((*window, UniformReplay, how) for how in ("eager", "function") for window in WINDOWS),
        *((*window, PrioritizedReplay, "function") for window in WINDOWS),
        (*WINDOWS[0], UniformReplay, "xla"),
        *(pytest.param(*window, UniformReplay, "xla", marks=pytest.mark.slow) for window in WINDOWS[1:]),
    ],
)
def test_masks_belong_to_the_state_and_to_the_bootstrap_state(memory_class, how, n, frames):
    """In an n-step window the latter is the state after the last step that counts."""
    world = MaskedWorld(n, 2, 0.15, frames=frames)
    memory = memory_class(60, 24, n_step=n, frame_stack=frames)
    memory.build(world.specs(), world.num_envs)
    add, sample = COMPILATIONS[how](memory.add), COMPILATIONS[how](memory.sample)
    lengths = set()
    for time in range(90):
        add(world.step())
        if time < 4 or time % 5:
            continue
        batch = arrays(sample(seed(time)))
        newest = batch["state"] if frames is None else batch["state"][..., -1]
        places = [(int(state[0]), int(state[1])) for state in newest]
        check_batch(world, batch, n, places)
        for row, (env, at) in enumerate(places):
            window = world.naive_window(env, at, n)
            lengths.add(len(window))
            for key in ("action_mask", "goal"):
                np.testing.assert_array_equal(batch[key][row], window[0][key])
                np.testing.assert_array_equal(batch[f"next_{key}"][row], window[-1][f"next_{key}"])
    assert lengths == set(range(1, n + 1))
