"""`FrameStack`: what a stack holds, at an episode's start, within it, and at its end."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tiny_envs import ScheduleEnv, vector

from polyrl.envs import FrameStack

SCHEDULES = [
    {"lengths": (1,), "ends": ("terminated", "truncated")},
    {"lengths": (5, 2), "ends": ("truncated", "both")},
    {"lengths": (3, 3, 7), "ends": ("truncated", "terminated")},
]


def environments(**arguments):
    return vector(*(ScheduleEnv(number, **schedule, **arguments) for number, schedule in enumerate(SCHEDULES)))


def expected(size: int, steps: int, actions: np.ndarray):
    """For each step the stacks and the stacked final observations, computed from plain lists of frames."""
    env = environments()
    frames, _ = env.reset(seed=0)
    histories = [[frame] * size for frame in frames]
    rows = [([np.stack(history, -1) for history in histories], {})]
    for row in actions[:steps]:
        frames, _, terminated, truncated, info = env.step(row)
        finals = {}
        for index in range(env.num_envs):
            if terminated[index] or truncated[index]:
                finals[index] = np.stack([*histories[index][1:], info["final_obs"][index]], -1)
                histories[index] = [frames[index]] * size
            else:
                histories[index] = [*histories[index][1:], frames[index]]
        rows.append(([np.stack(history, -1) for history in histories], finals))
    return rows


@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_a_stack_holds_the_frames_of_one_episode_the_newest_last(size):
    actions = np.random.default_rng(0).integers(0, ScheduleEnv.NUM_ACTIONS, [40, len(SCHEDULES)])
    env = FrameStack(environments(), size)
    given, info = env.reset(seed=0)
    assert "final_obs" not in info
    for t, (stacks, finals) in enumerate(expected(size, 40, actions)):
        if t:
            given, _, terminated, truncated, info = env.step(actions[t - 1])
            assert set(finals) == set(np.flatnonzero(terminated | truncated))
            for index in range(env.num_envs):
                if index in finals:
                    np.testing.assert_array_equal(info["final_obs"][index], finals[index])
            assert ("final_obs" in info) == bool(finals)
        np.testing.assert_array_equal(given, stacks)


def test_a_reset_forgets_the_frames_before_it():
    env = FrameStack(environments(), 3)
    env.reset(seed=0)
    env.step(np.zeros(3, np.int64))
    stacks, _ = env.reset(seed=0)
    assert (stacks == stacks[..., :1]).all()


@pytest.mark.parametrize("copy", [True, False])
def test_stacks_do_not_change_with_the_next_steps(copy):
    inner = environments(reuse_buffer=True)
    inner.copy = copy
    env = FrameStack(inner, 2)
    given = [env.reset(seed=0)[0], *(env.step(np.ones(3, np.int64))[0] for _ in range(6))]
    copies = [stack.copy() for stack in given]
    for _ in range(6):
        env.step(np.zeros(3, np.int64))
    np.testing.assert_array_equal(given, copies)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_the_space_is_that_of_the_frames_with_one_more_axis(dtype):
    env = FrameStack(vector(ScheduleEnv(dtype=dtype), ScheduleEnv(dtype=dtype)), 4)
    assert env.single_observation_space == Box(0, 200, (4, 4), dtype)
    assert env.observation_space.shape == (2, 4, 4)
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    observation, _ = env.reset(seed=0)
    assert (observation.dtype, observation.shape) == (dtype, (2, 4, 4))


def test_images_get_their_frames_as_channels():
    class Images(gymnasium.Env):
        observation_space, action_space = Box(0, 255, (6, 5), np.uint8), Discrete(2)

        def reset(self, *, seed=None, options=None):
            self._t = 0
            return np.full((6, 5), 7, np.uint8), {}

        def step(self, action):
            self._t += 1
            return np.arange(30, dtype=np.uint8).reshape(6, 5) + np.uint8(self._t), 0.0, False, False, {}

    env = FrameStack(vector(Images(), Images()), 4)
    env.reset(seed=0)
    for t in range(1, 6):
        stacks, *_ = env.step(np.zeros(2, np.int64))
        assert stacks.shape == (2, 6, 5, 4)
        for channel in range(4):
            shown = t - 3 + channel
            frame = np.arange(30).reshape(6, 5) + shown if shown > 0 else np.full((6, 5), 7)
            np.testing.assert_array_equal(stacks[..., channel], [frame, frame])


def test_what_cannot_be_stacked_is_refused():
    with pytest.raises(ValueError, match="SAME_STEP"):
        FrameStack(SyncVectorEnv([ScheduleEnv], autoreset_mode=AutoresetMode.NEXT_STEP))
    with pytest.raises(ValueError, match="size=0"):
        FrameStack(environments(), 0)
    discrete = ScheduleEnv()
    discrete.observation_space = Discrete(3)
    with pytest.raises(TypeError, match="Discrete"):
        FrameStack(vector(discrete))
