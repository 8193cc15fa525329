"""`FrameStack`: the newest frames of each environment as the channels of one image."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from polyrl.validation import check_int


class FrameStack(VectorWrapper):
    """Observations `[N, ...]` become `[N, ..., size]` of the same dtype: the last `size` of the episode, the newest one last.

    The first observation of an episode is repeated `size` times. `info["final_obs"]` holds stacked final observations. The
    arrays given out are not written to again; the newest is read by the next step, so that a caller must not write to it.

    Args:
        env: frames without a channel axis, as `[84, 84]`; resets in the same step.
        size: how many frames.

    Raises:
        TypeError: if the observations are no Box.
        ValueError: if the environment resets in another way.
    """

    def __init__(self, env: VectorEnv, size: int = 4):
        super().__init__(env)
        self._size = check_int("size", size, minimum=1)
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise ValueError(f"FrameStack needs an environment with AutoresetMode.SAME_STEP; given: {env.metadata}.")
        space = env.single_observation_space
        if not isinstance(space, Box):
            raise TypeError(f"FrameStack stacks arrays; the observation space is {space}.")
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
        # With the channels last, all of them move down by one if the whole memory does, and that is a plain copy: a tenth of
        # the time of copying channel by channel. What slips from one pixel into the next is in the channel written below.
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
