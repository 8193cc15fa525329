"""`EnvDriver`: steps a vector environment and gives complete transitions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from polyrl.envs.actions import action_spec
from polyrl.errors import NonFiniteError

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import VectorEnv


class Transitions(NamedTuple):
    """One step of `N` environments. `done` means terminated: a truncated episode has a true `next_state` and is not done.

    `state` `[N, ...]`; `action` int32 `[N]`, or float32 `[N, k]`; `reward` float32 `[N]`; `done` float32 `[N]`; `truncated`
    float32 `[N]`, 1 where the episode was ended by a limit; `next_state` `[N, ...]`.
    """

    state: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    done: np.ndarray
    truncated: np.ndarray
    next_state: np.ndarray


@dataclasses.dataclass(frozen=True)
class Episode:
    """A finished episode: sum of its rewards, its number of steps, which environment, and how it ended."""

    reward: float
    length: int
    env: int
    truncated: bool


class EnvDriver:
    """Holds a vector environment and the state it is in.

    Args:
        env: resets in the same step (`AutoresetMode.SAME_STEP`): no transition crosses an episode's border.
    """

    def __init__(self, env: VectorEnv):
        self.env = env
        self.num_envs: int = env.num_envs
        space = env.single_observation_space
        if space.shape is None:
            raise TypeError(f"The observation space {space} has no shape.")
        self.dtype = np.dtype(np.float32) if space.dtype == np.float64 else np.dtype(space.dtype)
        self.action_spec = action_spec(env.single_action_space)
        self._action_dtype = self.action_spec.dtype.as_numpy_dtype
        # Numbers of states are counted from 0, as the rows of an embedding are.
        self._first_state = 0
        if isinstance(space, Discrete):
            self.dtype, self._first_state = np.dtype(np.int32), int(space.start)
        actions = env.single_action_space
        self._first_action = int(getattr(actions, "start", 0))
        # Bounds of another precision: float32 may round them outwards.
        self._bounds = (actions.low, actions.high) if isinstance(actions, Box) and actions.dtype != np.float32 else None
        self._rewards = np.zeros(self.num_envs, np.float64)
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._no = np.zeros(self.num_envs, np.float32)
        self._steps = 0
        self.state: np.ndarray = np.zeros((self.num_envs, *space.shape), self.dtype)

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        """Starts new episodes, one seed for each environment; returns the first states `[N, ...]`."""
        # A vector environment takes one seed for each of its environments, though gymnasium's type says one.
        observation, _ = self.env.reset(seed=list(seeds))  # type: ignore[arg-type]
        self._rewards[:], self._lengths[:] = 0.0, 0
        self.state = self._checked("observation", observation, None)
        return self.state

    def step(self, actions: np.ndarray) -> tuple[Transitions, list[Episode]]:
        """Takes one action in each environment; gives the transitions and the episodes that ended.

        Raises:
            NonFiniteError: for a NaN or an infinity among the observations or rewards.
        """
        chosen = actions + self._first_action if self._first_action else actions
        if self._bounds is not None:
            chosen = np.clip(actions.astype(self._bounds[0].dtype), *self._bounds)
        observation, reward, terminated, truncated, info = self.env.step(chosen)
        self._steps += 1
        reward = self._checked("reward", reward, actions)
        following = self._checked("observation", observation, actions)
        self._rewards += reward
        self._lengths += 1
        next_state, done, cut, episodes = following, self._no, self._no, list[Episode]()
        over = terminated | truncated
        if np.count_nonzero(over):  # The quickest way to ask.
            ended = np.flatnonzero(over)
            done = np.asarray(terminated, np.float32)
            cut = np.asarray(truncated & ~terminated, np.float32)
            next_state = following.copy()
            for index in ended:
                final = info["final_obs"][index]
                next_state[index] = final - self._first_state if self._first_state else final
            episodes = self._finish(ended, terminated, info)
            self._checked("final observation", next_state, actions)
        transitions = Transitions(self.state, np.asarray(actions, self._action_dtype), reward, done, cut, next_state)
        self.state = following
        return transitions, episodes

    def _finish(self, ended: np.ndarray, terminated: np.ndarray, info: Mapping[str, Any]) -> list[Episode]:
        """The episodes that are over, by the environment's own statistics if it gives any.

        Those are in the form of gymnasium's vector `RecordEpisodeStatistics`, and tell of the game beneath what is changed for
        the learner: the true rewards where those of the transitions are clipped, and one episode where a lost life ends one
        for the learner (`info["_episode"]` is False then).
        """
        rewards, lengths, over = self._rewards, self._lengths, np.ones(self.num_envs, np.bool_)
        statistics = info.get("episode")
        if isinstance(statistics, Mapping):
            rewards, lengths, over = statistics["r"], statistics["l"], info["_episode"]
        episodes = [
            Episode(float(rewards[index]), int(lengths[index]), int(index), not terminated[index])
            for index in ended
            if over[index]
        ]
        self._rewards[ended], self._lengths[ended] = 0.0, 0
        return episodes

    def _checked(self, name: str, values: np.ndarray, actions: np.ndarray | None) -> np.ndarray:
        """A copy in the driver's dtype (environments reuse their buffers); refuses NaN and infinity."""
        values = np.array(values, dtype=np.float32 if name == "reward" else self.dtype)
        if self._first_state and name == "observation":
            values -= self._first_state
        # A sum is quicker, and finite if all are; it may overflow where they are.
        if values.dtype.kind == "f" and not math.isfinite(np.add.reduce(values, axis=None)) and not np.isfinite(values).all():
            index = int(np.argwhere(~np.isfinite(values))[0][0])
            last = "none, at reset" if actions is None else f"{actions[index]}"
            raise NonFiniteError(
                f"Environment {index} gave a non-finite {name} at its step {self._steps}: {values[index]}; "
                f"last action: {last}. Nothing of this step was stored."
            )
        return values
