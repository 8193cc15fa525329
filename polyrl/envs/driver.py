"""`EnvDriver`: steps a vector environment and gives complete transitions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import VectorEnv

from polyrl.envs.actions import action_spec
from polyrl.envs.observations import MASK, as_features, kept_dtype, legal_actions, next_labels
from polyrl.errors import NonFiniteError


class Transitions(NamedTuple):
    """One step of `N` environments. `done` means terminated: a truncated episode has a true `next_state` and is not done.

    States are arrays, or dicts of arrays with the key `state`, see `EnvDriver.state`.

    `state` `[N, ...]`; `action` int32 `[N]`, or float32 `[N, k]`; `reward` float32 `[N]`; `done` float32 `[N]`; `truncated`
    float32 `[N]`, 1 where the episode was ended by a limit; `next_state` `[N, ...]`.
    """

    state: Any
    action: Any
    reward: Any
    done: Any
    truncated: Any
    next_state: Any

    @property
    def ended(self) -> Any:
        """Where an episode ended, by a terminal state or by a limit, bool `[N]`: the next state to act on is a first one."""
        return self.done + self.truncated > 0.0

    def columns(self) -> dict[str, Any]:
        """All of it by name; of states that are dicts, each `key` and `next_<key>`."""
        return {**self._asdict(), **as_features(self.state), **next_labels(self.next_state)}


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

    Attributes:
        state: what to act on, from the first `reset` on: an array `[N, ...]`; or a dict of arrays with the key `state` if the
            observation space is a Dict, or if the environment gave `info["action_mask"]` at its reset. An `action_mask` is
            bool `[N, A]` with a legal action in each row; all are legal in the `next_state` of a transition that is done.
    """

    def __init__(self, env: VectorEnv):
        self.env = env
        self.num_envs: int = env.num_envs
        space = env.single_observation_space
        self._is_dict = isinstance(space, Dict)
        spaces = dict(space.spaces) if isinstance(space, Dict) else {"state": space}
        self._mask_observed = spaces.pop(MASK, None) is not None
        self._mask_in_info = False
        self._dtypes = {key: kept_dtype(part) for key, part in spaces.items()}
        # Numbers are counted from 0, as the rows of an embedding are.
        self._firsts = {key: int(part.start) for key, part in spaces.items() if isinstance(part, Discrete) and part.start}
        self.action_spec = action_spec(env.single_action_space)
        self._action_dtype = self.action_spec.dtype.as_numpy_dtype
        actions = env.single_action_space
        self._num_actions, self._first_action = int(getattr(actions, "n", 0)), int(getattr(actions, "start", 0))
        # Bounds of another precision: float32 may round them outwards.
        self._bounds = (actions.low, actions.high) if isinstance(actions, Box) and actions.dtype != np.float32 else None
        self._rewards = np.zeros(self.num_envs, np.float64)
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._no = np.zeros(self.num_envs, np.float32)
        self._steps = 0
        self.state: Any = None

    def reset(self, seeds: Sequence[int]) -> Any:
        """Starts new episodes, one seed for each environment; returns the first states `[N, ...]`."""
        # A vector environment takes one seed for each of its environments, though gymnasium's type says one.
        observation, info = self.env.reset(seed=list(seeds))  # type: ignore[arg-type]
        self._rewards[:], self._lengths[:] = 0.0, 0
        self._mask_in_info = MASK in info and not self._mask_observed
        self.state = self._observed(observation, info, None)
        return self.state

    def step(self, actions: np.ndarray) -> tuple[Transitions, list[Episode]]:
        """Takes one action in each environment; gives the transitions and the episodes that ended.

        Raises:
            NonFiniteError: for a NaN or an infinity among the observations or rewards.
            ValueError: for a mask that is missing, is none, or leaves no legal action to go on with.
        """
        chosen = actions + self._first_action if self._first_action else actions
        if self._bounds is not None:
            chosen = np.clip(actions.astype(self._bounds[0].dtype), *self._bounds)
        observation, reward, terminated, truncated, info = self.env.step(chosen)
        self._steps += 1
        reward = self._checked("reward", reward, np.float32, actions)
        following = self._observed(observation, info, actions)
        self._rewards += reward
        self._lengths += 1
        next_state, done, cut, episodes = following, self._no, self._no, list[Episode]()
        over = terminated | truncated
        if np.count_nonzero(over):  # The quickest way to ask.
            ended = np.flatnonzero(over)
            done = np.asarray(terminated, np.float32)
            cut = np.asarray(truncated & ~terminated, np.float32)
            next_state = self._final(following, ended, np.flatnonzero(cut), info, actions)
            episodes = self._finish(ended, terminated, info)
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

    def _observed(self, observation: Any, info: Mapping[str, Any], actions: np.ndarray | None) -> Any:
        """The states to go on from."""
        if not self._is_dict:
            state: Any = self._checked("observation", self._counted("state", observation), self._dtypes["state"], actions)
        else:
            state = {
                key: self._checked(f"observation {key!r}", self._counted(key, observation[key]), dtype, actions)
                for key, dtype in self._dtypes.items()
            }
        if self._mask_observed or MASK in info or self._mask_in_info:
            if not (self._mask_observed or self._mask_in_info):
                raise ValueError(
                    f"An environment gave info[{MASK!r}] at step {self._steps}, but not at its reset; asked for is both. "
                    "Nothing of this step was stored."
                )
            state = {**as_features(state), MASK: self._masks(observation, info, None, f"at step {self._steps}")}
        return state

    def _counted(self, key: str, values: Any) -> Any:
        """Observations as they are; those of a Discrete space that does not start at 0, less its start."""
        return values - self._firsts[key] if key in self._firsts else values

    def _final(self, following: Any, ended: np.ndarray, cut: np.ndarray, info: Mapping[str, Any], actions: np.ndarray) -> Any:
        """The next states, those of the episodes that `ended` being their last; `cut` are those that did not terminate."""
        finals = info["final_obs"]
        states = {key: values.copy() for key, values in as_features(following).items()}
        for key, dtype in self._dtypes.items():
            for index in ended:
                states[key][index] = self._counted(key, finals[index][key] if self._is_dict else finals[index])
            name = f"final observation {key!r}" if self._is_dict else "final observation"
            states[key] = self._checked(name, states[key], dtype, actions)
        if MASK in states:
            observed = {MASK: {index: finals[index][MASK] for index in cut}} if self._mask_observed else {}
            when = f"at step {self._steps}, the last one of a truncated episode"
            states[MASK][ended] = self._masks(observed, info.get("final_info", {}), cut, when)[ended]
        return states if isinstance(following, dict) else states["state"]

    def _masks(
        self, observation: Mapping[str, Any], info: Mapping[str, Any], envs: np.ndarray | None, when: str
    ) -> np.ndarray:
        """The legal actions of some environments (None: of all), bool `[N, A]`; all in the rows of the others."""
        if self._mask_observed:
            return legal_actions(observation[MASK], self._num_actions, self.num_envs, envs, when)
        asked = np.arange(self.num_envs) if envs is None else envs
        present = np.asarray(info.get(f"_{MASK}", np.full(self.num_envs, MASK in info)))[asked]
        if not present.all():
            raise ValueError(
                f"Environments {asked[~present].tolist()} gave no info[{MASK!r}] {when}, though there was one at reset; asked "
                "for is one for each state but a terminal one. Nothing of this step was stored."
            )
        return legal_actions(info.get(MASK), self._num_actions, self.num_envs, envs, when)

    def _checked(self, name: str, values: np.ndarray, dtype: Any, actions: np.ndarray | None) -> np.ndarray:
        """A copy in that dtype (environments reuse their buffers); refuses NaN and infinity."""
        values = np.array(values, dtype=dtype)
        # A sum is quicker, and finite if all are; it may overflow where they are.
        if values.dtype.kind == "f" and not math.isfinite(np.add.reduce(values, axis=None)) and not np.isfinite(values).all():
            index = int(np.argwhere(~np.isfinite(values))[0][0])
            last = "none, at reset" if actions is None else f"{actions[index]}"
            raise NonFiniteError(
                f"Environment {index} gave a non-finite {name} at its step {self._steps}: {values[index]}; "
                f"last action: {last}. Nothing of this step was stored."
            )
        return values
