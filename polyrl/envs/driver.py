"""`EnvDriver`: steps a vector environment and returns complete transitions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import VectorEnv

from polyrl.envs.actions import action_spec
from polyrl.envs.contract import COUNTED, UNSTORED, array_of, fit, reports_episodes, short, unpacked
from polyrl.envs.lockstep import LockstepVectorEnv
from polyrl.envs.observations import MASK, all_finite, as_features, kept_dtype, legal_actions, next_labels
from polyrl.errors import NonFiniteError, UnknownActionError

ACTIONS_CHECKED = 100
"""Steps of a driver in which the model's actions are compared with those that exist."""


class Transitions(NamedTuple):
    """One step of `N` environments.

    `state` `[N, ...]`; `action` int32 `[N]`, or float32 `[N, k]`; `reward` float32 `[N]`; `done` float32 `[N]`, 1 where the
    episode terminated; `truncated` float32 `[N]`, 1 where a limit ended an episode that did not terminate; `next_state`
    `[N, ...]`, at the end of an episode its last state. States are arrays or dicts of arrays, see `EnvDriver.state`.
    """

    state: Any
    action: Any
    reward: Any
    done: Any
    truncated: Any
    next_state: Any

    @property
    def ended(self) -> Any:
        """Where an episode ended, terminated or truncated, bool `[N]`: the next action is the first of a new episode."""
        return self.done + self.truncated > 0.0

    def columns(self) -> dict[str, Any]:
        """All columns by name; states that are dicts give a column `<key>` and a column `next_<key>` for each key."""
        return {**self._asdict(), **as_features(self.state), **next_labels(self.next_state)}


@dataclasses.dataclass(frozen=True)
class Episode:
    """A finished episode: the sum of its rewards, its number of steps, the environment's index, and if it was truncated."""

    reward: float
    length: int
    env: int
    truncated: bool


class EnvDriver:
    """Steps a vector environment and holds its current states.

    Args:
        env: with `AutoresetMode.SAME_STEP`, so that no transition spans two episodes.

    Attributes:
        state: the current states, set by the first `reset`: an array `[N, ...]`; or a dict of arrays with the key `state` if
            the observation space is a Dict, or if `reset` returned `info["action_mask"]`. An `action_mask` is bool `[N, A]`
            with a legal action in each row; all actions are legal in the `next_state` of a transition that is done.
        action_spec: of one action.
        first_action: the environment's lowest discrete action; models count from 0.
    """

    def __init__(self, env: VectorEnv):
        self.env = env
        self.num_envs: int = env.num_envs
        space = env.single_observation_space
        self._is_dict = isinstance(space, Dict)
        spaces = dict(space.spaces) if isinstance(space, Dict) else {"state": space}
        self._mask_observed = spaces.pop(MASK, None) is not None
        self._mask_in_info = False
        self._spaces = spaces
        self._dtypes = {key: kept_dtype(part) for key, part in spaces.items()}
        # Of a step's observations: dtype, shape. No array has the dtype None: COUNTED spaces are checked each time.
        self._forms = {
            key: (None if isinstance(part, COUNTED) else part.dtype, (self.num_envs, *(part.shape or ())))
            for key, part in spaces.items()
        }
        self._reports_episodes = reports_episodes(env)
        # What it returns has been checked, is of the right shapes, and is new in each step.
        self._is_checked = type(env) is LockstepVectorEnv
        # State indices start at 0, as the rows of an embedding do.
        self._discrete = {key for key, part in spaces.items() if isinstance(part, Discrete)}
        self._starts = {key: int(part.start) for key, part in spaces.items() if isinstance(part, Discrete) and part.start}
        self.action_spec = action_spec(env.single_action_space)
        self._action_dtype = self.action_spec.dtype.as_numpy_dtype
        actions = env.single_action_space
        self._num_actions, self.first_action = int(getattr(actions, "n", 0)), int(getattr(actions, "start", 0))
        # An action in float32 may lie outside of bounds of a higher precision.
        self._bounds = (actions.low, actions.high) if isinstance(actions, Box) and actions.dtype != np.float32 else None
        # Of the running episodes: the sums of rewards, and the steps that came before. In Python: between two calls of
        # TensorFlow, NumPy's sum of two small arrays takes 3 to 11 microseconds, not one.
        self._rewards = [0.0] * self.num_envs
        self._began = [0] * self.num_envs
        self._never = np.zeros(self.num_envs, np.float32)
        self._steps = 0
        self.state: Any = None

    def reset(self, seeds: Sequence[int]) -> Any:
        """Starts new episodes with one seed for each environment; returns the first states `[N, ...]`."""
        # Vector environments take a list of seeds, though gymnasium's annotation says one.
        observation, info = unpacked(self.env.reset(seed=list(seeds)), self.env, "reset")  # type: ignore[arg-type]
        self._rewards, self._began = [0.0] * self.num_envs, [self._steps] * self.num_envs
        self._mask_in_info = MASK in info and not self._mask_observed
        self.state = self._states(observation, info, None)
        return self.state

    def step(self, actions: np.ndarray) -> tuple[Transitions, list[Episode]]:
        """Takes one action in each environment; returns the transitions and the episodes that ended.

        Raises:
            NonFiniteError: for NaN or infinity in an observation or a reward.
            ValueError: for an action that does not exist, or a mask that is missing, invalid, or without a legal action.
        """
        looked_at = self._steps < ACTIONS_CHECKED and self._num_actions
        if looked_at and not 0 <= np.min(actions) <= np.max(actions) < self._num_actions:
            self._refuse(actions)
        chosen = actions + self.first_action if self.first_action else actions
        if self._bounds is not None:
            chosen = np.clip(actions.astype(self._bounds[0].dtype), *self._bounds)
        result = self.env.step(chosen)
        observation, reward, terminated, truncated, info = result if self._is_checked else unpacked(result, self.env, "step")
        self._steps += 1
        if not self._is_checked:
            reward, terminated, truncated = (
                self._flat(name, values)
                for name, values in (("reward", reward), ("terminated", terminated), ("truncated", truncated))
            )
        reward = self._checked("reward", reward, np.float32, actions)
        state = self._states(observation, info, actions)
        self._rewards = [total + more for total, more in zip(self._rewards, reward.tolist(), strict=True)]
        next_state, done, is_truncated = state, self._never, self._never
        episodes: list[Episode] = []
        if "final_obs" in info if self._is_checked else np.count_nonzero(terminated | truncated):
            ended = np.flatnonzero(terminated | truncated)
            done = np.asarray(terminated, np.float32)
            is_truncated = np.asarray(truncated & ~terminated, np.float32)
            next_state = self._next_states(state, ended, np.flatnonzero(is_truncated), info, actions)
            episodes = self._finish(ended, terminated, info)
        transitions = Transitions(self.state, np.asarray(actions, self._action_dtype), reward, done, is_truncated, next_state)
        self.state = state
        return transitions, episodes

    def get_state(self) -> dict[str, Any]:
        """Where the running episodes are, apart from the environments' own state."""
        return {"states": self.state, "rewards": np.array(self._rewards), "lengths": self._steps - np.array(self._began)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Brings them back there, after a reset, in environments that have been brought back."""
        self.state, self._rewards = state["states"], state["rewards"].tolist()
        self._began = (self._steps - state["lengths"]).tolist()

    def _finish(self, ended: np.ndarray, terminated: np.ndarray, info: Mapping[str, Any]) -> list[Episode]:
        """The episodes that `ended`, by the statistics of a wrapper if there is one.

        That is gymnasium's vector `RecordEpisodeStatistics`, or one with an attribute `REPORTS_EPISODES`. They describe the
        unmodified game: its rewards where the learner's are clipped, and no episode where a lost life ends one for the learner
        only (`info["_episode"]` is False then).
        """
        rewards: Any = self._rewards
        lengths, reported = self._steps - np.array(self._began), np.ones(self.num_envs, np.bool_)
        if self._reports_episodes and "episode" in info:
            statistics = info["episode"]
            rewards, lengths, reported = statistics["r"], statistics["l"], info["_episode"]
        episodes = [
            Episode(float(rewards[index]), int(lengths[index]), int(index), not terminated[index])
            for index in ended
            if reported[index]
        ]
        for index in ended:
            self._rewards[index], self._began[index] = 0.0, self._steps
        return episodes

    def _refuse(self, actions: np.ndarray) -> None:
        """The model is at fault: no environment has been called."""
        raise UnknownActionError(
            f"The model gave the actions {actions.tolist()} at step {self._steps}; there are those from 0 to "
            f"{self._num_actions - 1}. {UNSTORED}"
        )

    def _states(self, observation: Any, info: Mapping[str, Any], actions: np.ndarray | None) -> Any:
        """The current states, from the observations of a step, or of a reset if `actions` is None."""
        if not self._is_dict:
            state: Any = self._part("observation", "state", observation, actions)
        else:
            state = {key: self._part(f"observation {key!r}", key, observation[key], actions) for key in self._spaces}
        if self._mask_observed or MASK in info or self._mask_in_info:
            if not (self._mask_observed or self._mask_in_info):
                raise ValueError(
                    f"An environment returned info[{MASK!r}] at step {self._steps}, but not at its reset; expected both. "
                    "Nothing of this step was stored."
                )
            state = {**as_features(state), MASK: self._masks(observation, info, None, f"at step {self._steps}")}
        return state

    def _part(self, name: str, key: str, values: Any, actions: np.ndarray | None) -> np.ndarray:
        """The part `key` of the observations, which are given `[N, ...]`, as it is kept."""
        dtype, shape = self._forms[key]
        if not self._is_checked and (type(values) is not np.ndarray or values.dtype is not dtype or values.shape != shape):
            values = self._fitted(name, key, values, shape)
        if key in self._starts:
            values = self._from_zero(key, values)
        return self._checked(name, values, self._dtypes[key], actions)

    def _fitted(self, name: str, key: str, values: Any, shape: tuple[int, ...]) -> Any:
        """`values`, which must be of the shape, and values of the space."""
        space = self._spaces[key]
        if (
            type(values) is np.ndarray
            and values.dtype == space.dtype
            and values.shape == shape
            and not isinstance(space, COUNTED)
        ):
            return values
        where = f"{type(self.env).__name__}, at step {self._steps}, returned a {name} that does not fit its space"
        return fit(values, space, shape, where)

    def _flat(self, name: str, values: Any) -> np.ndarray:
        """`values`, which must be one for each environment."""
        if type(values) is np.ndarray and values.shape == (self.num_envs,) and values.dtype.kind in "biuf":
            return values
        array = array_of(values)
        if array.shape != (self.num_envs,) or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{type(self.env).__name__}, at step {self._steps}, returned {name}={short(values)}; expected one number for "
                f"each of the {self.num_envs} environments. {UNSTORED}"
            )
        return array

    def as_observed(self, key: str, values: Any) -> Any:
        """The part `key` of states as the environment returns it: the discrete ones of its space."""
        return values + self._starts[key] if key in self._starts else values

    def _from_zero(self, key: str, values: Any) -> Any:
        """Shifts the observations of a Discrete space that does not start at 0, so that they do; others stay as they are."""
        return values - self._starts[key] if key in self._starts else values

    def _next_states(
        self, current: Any, ended: np.ndarray, truncated: np.ndarray, info: Mapping[str, Any], actions: np.ndarray
    ) -> Any:
        """The next states of a transition: the current ones, but the last state of an episode that ended.

        `ended` and `truncated` are indices of environments; a `truncated` episode did not terminate.
        """
        if "final_obs" not in info:
            raise ValueError(
                f"{type(self.env).__name__} ended the episodes of environments {ended.tolist()} at step {self._steps}, and "
                "its info has no 'final_obs'; with AutoresetMode.SAME_STEP a vector environment returns their last "
                f"observations there. {UNSTORED}"
            )
        finals = info["final_obs"]
        states = {key: values.copy() for key, values in as_features(current).items()}
        for key, dtype in self._dtypes.items():
            name = f"final observation {key!r}" if self._is_dict else "final observation"
            for index in ended:
                final = finals[index][key] if self._is_dict else finals[index]
                fitted = self._fitted(name, key, final, self._spaces[key].shape or ())
                states[key][index] = self._from_zero(key, fitted)
            states[key] = self._checked(name, states[key], dtype, actions)
        if MASK in states:
            observed = {MASK: {index: finals[index][MASK] for index in truncated}} if self._mask_observed else {}
            when = f"at step {self._steps}, the last one of a truncated episode"
            states[MASK][ended] = self._masks(observed, info.get("final_info", {}), truncated, when)[ended]
        return states if isinstance(current, dict) else states["state"]

    def _masks(
        self, observation: Mapping[str, Any], info: Mapping[str, Any], envs: np.ndarray | None, when: str
    ) -> np.ndarray:
        """The legal actions of the environments with the indices `envs` (None: all), bool `[N, A]`; other rows are True."""
        if self._mask_observed:
            return legal_actions(observation[MASK], self._num_actions, self.num_envs, envs, when)
        expected = np.arange(self.num_envs) if envs is None else envs
        present = np.asarray(info.get(f"_{MASK}", np.full(self.num_envs, MASK in info)))[expected]
        if not present.all():
            raise ValueError(
                f"Environments {expected[~present].tolist()} returned no info[{MASK!r}] {when}, but did at reset; expected "
                "one for each state that is not terminal. Nothing of this step was stored."
            )
        return legal_actions(info.get(MASK), self._num_actions, self.num_envs, envs, when)

    def _checked(self, name: str, values: np.ndarray, dtype: Any, actions: np.ndarray | None) -> np.ndarray:
        """`values` in `dtype`, a copy if the environments may reuse their buffers; raises for NaN and infinity."""
        given, values = values, np.asarray(values, dtype) if self._is_checked else np.array(values, dtype)
        if values.dtype.kind == "f" and not all_finite(values):
            index = int(np.argwhere(~np.isfinite(values))[0][0])
            last = "none, at reset" if actions is None else f"{actions[index]}"
            where = f"Environment {index} gave a non-finite {name} at its step {self._steps}"
            raise NonFiniteError(f"{where}: {given[index]}; last action: {last}. {UNSTORED}")
        return values
