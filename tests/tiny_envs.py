"""Environments so small that every result can be computed in advance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit


class Step(NamedTuple):
    """One step of a `ScheduleEnv`, without any vector environment around it."""

    state: tuple[int, ...]
    reward: float
    terminated: bool
    truncated: bool
    next_state: tuple[int, ...]


class Bad(NamedTuple):
    """A value to put into `where` ('observation' or 'reward') at step `t` of an episode; t=0 is its reset."""

    where: str
    episode: int
    t: int
    value: float = float("nan")


class ScheduleEnv(gymnasium.Env):
    """Observations identify themselves: `(number, episode, t, last action + 1)`; the last entry is 0 after a reset.

    Args:
        number: identifies the environment.
        lengths: the k-th episode has `lengths[k % len(lengths)]` steps.
        ends: how the episodes end, in the same order: 'terminated', 'truncated', 'both'.
        start: the first action of the action space.
        dtype: of the observations.
        reuse_buffer: returns the same array for each observation.
        bad: which value is broken, if any.
        first: number of the first episode.
    """

    NUM_ACTIONS = 3

    def __init__(
        self,
        number: int = 0,
        lengths: Sequence[int] = (3,),
        ends: Sequence[str] = ("terminated",),
        start: int = 0,
        dtype: Any = np.float32,
        reuse_buffer: bool = False,
        bad: Bad | None = None,
        first: int = 0,
    ):
        self.observation_space = Box(0, 200, (4,), dtype)
        self.action_space = Discrete(self.NUM_ACTIONS, start=start)
        self._number, self._lengths, self._ends = number, lengths, ends
        self._buffer = np.zeros(4, dtype) if reuse_buffer else None
        self._bad = bad
        self._episode = first - 1
        self.steps = self.closings = 0
        self.seeds: list[int | None] = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self._episode += 1
        self._t = 0
        return self._observation(0), {}

    def step(self, action):
        if not self.action_space.contains(action):
            raise ValueError(f"{action!r} is not a valid action.")
        self._t += 1
        self.steps += 1
        ended = self._t == self._lengths[self._episode % len(self._lengths)]
        end = self._ends[self._episode % len(self._ends)]
        reward = self._bad.value if self._is_bad("reward") else self.reward(self._number, self._t)
        observation = self._observation(int(action) - int(self.action_space.start) + 1)
        return observation, reward, ended and end != "truncated", ended and end != "terminated", {}

    def close(self):
        self.closings += 1

    @staticmethod
    def reward(number: int, t: int) -> float:
        return 10.0 * number + t

    def _observation(self, action: int) -> np.ndarray:
        values = np.array([self._number, self._episode, self._t, action], self.observation_space.dtype)
        if self._is_bad("observation"):
            values[2] = self._bad.value
        if self._buffer is None:
            return values
        self._buffer[:] = values
        return self._buffer

    def _is_bad(self, where: str) -> bool:
        return self._bad is not None and self._bad[:3] == (where, self._episode, self._t)


def expected_steps(
    actions: Iterator[int], number: int = 0, lengths: Sequence[int] = (3,), ends: Sequence[str] = ("terminated",)
) -> Iterator[Step]:
    """The steps of a `ScheduleEnv` with these actions, as a plain loop."""
    episode = 0
    while True:
        state = (number, episode, 0, 0)
        for t in range(1, lengths[episode % len(lengths)] + 1):
            next_state = (number, episode, t, next(actions) + 1)
            ended, end = t == lengths[episode % len(lengths)], ends[episode % len(ends)]
            yield Step(state, 10.0 * number + t, ended and end != "truncated", ended and end != "terminated", next_state)
            state = next_state
        episode += 1


def make_schedule_env(**arguments: Any) -> ScheduleEnv:
    """A function that makes one, to be named."""
    return ScheduleEnv(**arguments)


class BanditEnv(gymnasium.Env):
    """Shows one of `arms` as a one-hot vector; reward 1 for that action, else 0; every episode has one step."""

    def __init__(self, arms: int = 3):
        self.observation_space = Box(0, 1, (arms,), np.float32)
        self.action_space = Discrete(arms)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._arm = int(self.np_random.integers(self.action_space.n))
        return self._observation(), {}

    def step(self, action):
        return self._observation(), float(action == self._arm), True, False, {}

    def _observation(self) -> np.ndarray:
        return np.eye(self.action_space.n, dtype=np.float32)[self._arm]


class ChainEnv(gymnasium.Env):
    """Three links: action 1 moves on, with a reward of 1 at the end of the chain; action 0 ends the episode with 0.2."""

    LENGTH = 3
    OPTIMUM = 1.0

    def __init__(self):
        self.observation_space = Box(0, 1, (self.LENGTH + 1,), np.float32)
        self.action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._link = 0
        return self._observation(), {}

    def step(self, action):
        if action == 0:
            return self._observation(), 0.2, True, False, {}
        self._link += 1
        ended = self._link == self.LENGTH
        return self._observation(), float(ended), ended, False, {}

    def _observation(self) -> np.ndarray:
        return np.eye(self.LENGTH + 1, dtype=np.float32)[self._link]


class ConstantEnv(gymnasium.Env):
    """The same observation and reward 1 at each step, without end or until step `length` terminates the episode."""

    def __init__(self, length: int | None = None):
        self.observation_space = Box(0, 1, (1,), np.float32)
        self.action_space = Discrete(2)
        self._length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return np.ones(1, np.float32), {}

    def step(self, action):
        self._t += 1
        return np.ones(1, np.float32), 1.0, self._t == self._length, False, {}


class TargetEnv(gymnasium.Env):
    """Shows one of three points as a one-hot vector; each has a different best action, with reward 0.

    Other actions cost the squared distance, in units of half the range of each of the two dimensions. With `length` above 1
    the points follow one another, and step `length` terminates the episode or, with `limit`, truncates it.
    """

    LOW, HIGH = (-2.0, 0.0), (2.0, 10.0)
    TARGETS = ((-1.0, 2.0), (0.5, 7.5), (1.2, 5.0))

    def __init__(self, length: int = 1, limit: bool = False):
        self.observation_space = Box(0, 1, (3,), np.float32)
        self.action_space = Box(np.array(self.LOW, np.float32), np.array(self.HIGH, np.float32))
        self._length, self._limit = length, limit
        self.actions: list[np.ndarray] = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._point, self._t = int(self.np_random.integers(3)), 0
        return self._observation(), {}

    def step(self, action):
        if not self.action_space.contains(action):
            raise ValueError(f"{action!r} is not a valid action.")
        self.actions.append(action.copy())
        half = (np.array(self.HIGH) - self.LOW) / 2
        reward = -float(np.sum(((action - self.TARGETS[self._point]) / half) ** 2))
        self._t += 1
        self._point = (self._point + 1) % 3
        ended = self._t == self._length
        return self._observation(), reward, ended and not self._limit, ended and self._limit, {}

    def _observation(self) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[self._point]


class ScriptedEnv(gymnasium.Env):
    """One-step episodes with one reward for each rollout; a reset with a seed starts the next rollout.

    So the results of evaluations can be prescribed: `ScriptedEnv([5.0, 3.0])` gives 5 in the first, and 3 in all later ones.
    """

    def __init__(self, rewards: Sequence[float]):
        self.observation_space = Box(0, 200, (4,), np.float32)
        self.action_space = Discrete(ScheduleEnv.NUM_ACTIONS)
        self._rewards = list(rewards)
        self.rollouts = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.rollouts += seed is not None
        return np.zeros(4, np.float32), {}

    def step(self, action):
        return np.zeros(4, np.float32), self._rewards[min(self.rollouts, len(self._rewards)) - 1], True, False, {}


def vector(*envs: gymnasium.Env) -> SyncVectorEnv:
    """A vector environment of these, with autoreset in the same step."""
    return SyncVectorEnv([lambda env=env: env for env in envs], autoreset_mode=AutoresetMode.SAME_STEP)


for _name, _env in {
    "Schedule": ScheduleEnv,
    "Bandit": BanditEnv,
    "Chain": ChainEnv,
    "Constant": ConstantEnv,
    "Target": TargetEnv,
}.items():
    gymnasium.register(f"polyrl/Tiny{_name}-v0", _env, order_enforce=False, disable_env_checker=True, nondeterministic=True)
gymnasium.register(
    "polyrl/TinyLimited-v0",
    ConstantEnv,
    max_episode_steps=5,
    order_enforce=False,
    disable_env_checker=True,
    nondeterministic=True,
)


class SavedCartPole(CartPoleEnv):
    """An environment that can be saved in mid-episode."""

    checkpoint_state_is_whole = True

    def get_checkpoint_state(self):
        return {"state": self.state}

    def set_checkpoint_state(self, state):
        self.state = state["state"]


def saved_cart_pole() -> gymnasium.Env:
    """A new one, whose episodes have at most 30 steps."""
    return TimeLimit(SavedCartPole(), 30)
