"""`SameStepVectorEnv`: pools of environments with same-step autoreset."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_envs import ScheduleEnv, expected_steps

from polyrl.envs import EnvDriver
from polyrl.envs.same_step import SameStepVectorEnv, Stepped

SCHEDULES = [
    {"lengths": (2, 9), "ends": ("terminated",)},
    {"lengths": (5, 1), "ends": ("truncated", "both")},
    {"lengths": (3, 3, 7), "ends": ("truncated", "terminated")},
]
LIMIT = 4


class SchedulePool:
    """`ScheduleEnv`s without autoreset, with one array for all observations; counts its resets."""

    def __init__(self):
        self.envs = [ScheduleEnv(number, **schedule) for number, schedule in enumerate(SCHEDULES)]
        self.num_envs = len(self.envs)
        self.observation_space, self.action_space = self.envs[0].observation_space, self.envs[0].action_space
        self.buffer = np.zeros([self.num_envs, 4], np.float32)
        self.seeds, self.closings = [], 0

    def reset(self, seeds):
        self.seeds.append(list(seeds))
        return self.reset_some(np.arange(self.num_envs))

    def reset_some(self, envs):
        rows = np.array([self.envs[index].reset()[0] for index in envs])
        return rows, {"lives": np.full(len(envs), 3)}

    def step(self, actions):
        rows = [env.step(action) for env, action in zip(self.envs, actions, strict=True)]
        self.buffer[:] = [row[0] for row in rows]
        reward, terminated, truncated = (np.array([row[k] for row in rows]) for k in (1, 2, 3))
        return Stepped(self.buffer, reward, terminated, truncated, {"lives": np.arange(self.num_envs)})

    def close(self):
        self.closings += 1


def limited(lengths, ends):
    """The same schedule under the limit."""
    return {
        "lengths": [min(length, LIMIT) for length in lengths],
        "ends": [
            end if length < LIMIT else {"terminated": "both"}.get(end, end) if length == LIMIT else "truncated"
            for length, end in ((length, ends[k % len(ends)]) for k, length in enumerate(lengths))
        ],
    }


def test_a_pool_gives_the_transitions_of_its_environments_up_to_the_limit():
    driver = EnvDriver(SameStepVectorEnv(SchedulePool(), LIMIT))
    actions = np.random.default_rng(0).integers(0, ScheduleEnv.NUM_ACTIONS, [30, 3])
    driver.reset([0, 1, 2])
    given = [driver.step(row) for row in actions]
    # Both repeat with their own periods; their common multiple has one of each per episode.
    for number, schedule in enumerate(SCHEDULES):
        count = np.lcm(len(schedule["lengths"]), len(schedule["ends"]))
        lengths = [schedule["lengths"][k % len(schedule["lengths"])] for k in range(count)]
        ends = [schedule["ends"][k % len(schedule["ends"])] for k in range(count)]
        steps = expected_steps(iter(actions[:, number].tolist()), number, **limited(lengths, ends))
        length = 0
        for transitions, episodes in given:
            step = next(steps)
            length += 1
            assert tuple(transitions.state[number]) == step.state
            assert tuple(transitions.next_state[number]) == step.next_state
            assert transitions.done[number] == step.terminated
            ended = [episode for episode in episodes if episode.env == number]
            assert bool(ended) == (step.terminated or step.truncated)
            if ended:
                assert ended[0].length == length
                assert ended[0].truncated == (not step.terminated)
                length = 0


def test_infos_after_an_episodes_end_are_those_of_the_next_episode():
    env = SameStepVectorEnv(SchedulePool(), LIMIT)
    env.reset(seed=0)
    env.step(np.zeros(3, np.int64))
    info = env.step(np.zeros(3, np.int64))[-1]
    np.testing.assert_array_equal(info["lives"], [3, 1, 2])
    np.testing.assert_array_equal(info["_final_obs"], [True, False, False])


def test_seeds_are_one_for_each_environment():
    pool = SchedulePool()
    env = SameStepVectorEnv(pool, LIMIT)
    env.reset(seed=5)
    env.reset(seed=[7, 8, 9])
    env.reset()  # Continues the random streams.
    assert pool.seeds == [[5, 6, 7], [7, 8, 9]]
    with pytest.raises(ValueError, match="one seed for each of the 3"):
        env.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="options"):
        env.reset(options={"reset_mask": [True, False, False]})


def test_a_pool_is_closed_with_its_vector():
    pool = SchedulePool()
    SameStepVectorEnv(pool, LIMIT).close()
    assert pool.closings == 1
