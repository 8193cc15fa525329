"""`FrameStack`: the last frames of each environment as the channels of one image."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from polyrl.validation import check_int


class FrameStack(VectorWrapper):
    """Observations `[N, ...]` become `[N, ..., size]` of the same dtype: the last `size` of the episode, the newest one last.

    The first observation of an episode is repeated `size` times. `info["final_obs"]` holds stacked final observations. The
    returned arrays are not written to again. The next step reads the last one, so a caller must not write to it either.

    Args:
        env: its observations are frames without a channel axis, as `[84, 84]`; it has `AutoresetMode.SAME_STEP`.
        size: how many frames.

    Raises:
        TypeError: if the observation space is not a Box.
        ValueError: if the environment has another autoreset mode.
    """

    def __init__(self, env: VectorEnv, size: int = 4):
        super().__init__(env)
        self._size = check_int("size", size, minimum=1)
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise ValueError(f"FrameStack expected an environment with AutoresetMode.SAME_STEP, got metadata={env.metadata}.")
        space = env.single_observation_space
        if not isinstance(space, Box):
            raise TypeError(f"FrameStack expected a Box as observation space, got {space}.")
        self.single_observation_space = _stacked(space, self._size)
        self.observation_space = _stacked(env.observation_space, self._size)
        self._stacks = np.zeros(self.observation_space.shape, self.observation_space.dtype)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        frames, info = self.env.reset(seed=seed, options=options)
        self._stacks = np.repeat(np.asarray(frames)[..., np.newaxis], self._size, axis=-1)
        return self._stacks, info

    def step(self, actions: Any) -> tuple[np.ndarray, Any, Any, Any, dict[str, Any]]:
        frames, reward, terminated, truncated, info = self.env.step(actions)
        before, stacks = self._stacks, np.empty_like(self._stacks)
        # With the channels last, shifting the whole buffer by one element shifts the channels of every pixel by one. This one
        # copy takes a tenth of the time of a copy per channel. The element that crosses from one pixel to the next lands in
        # the channel that is overwritten below.
        stacks.reshape(-1)[:-1] = before.reshape(-1)[1:]
        stacks[..., -1] = frames
        ended = np.flatnonzero(terminated | truncated)
        if ended.size:
            finals = np.full(len(stacks), None, dtype=object)
            for index in ended:
                final = stacks[index].copy()
                final[..., -1] = info["final_obs"][index]
                finals[index] = final
                stacks[index] = frames[index][..., np.newaxis]
            info = {**info, "final_obs": finals, "_final_obs": terminated | truncated}
        self._stacks = stacks
        return stacks, reward, terminated, truncated, info


def _stacked(space: Any, size: int) -> Box:
    low, high = (np.repeat(bound[..., np.newaxis], size, axis=-1) for bound in (space.low, space.high))
    return Box(low, high, dtype=space.dtype)
