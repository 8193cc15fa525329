"""`Demonstrations`: whole episodes, validated, and converted into the transitions of a replay memory."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from polyrl.policies import BoundedTensorSpec


class DemoEpisode(NamedTuple):
    """One demonstrated episode of `T` steps.

    `observations` `[T + 1, ...]`, including the one after the last step. `actions` `[T]`, counted from 0; `rewards` `[T]`.
    `terminated`: the episode reached a terminal state. `truncated`: a limit ended it. If neither is set, the recording stopped
    within the episode, and it bootstraps from its last observation as a truncated one does.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    truncated: bool

    @property
    def steps(self) -> int:
        """`T`."""
        return len(self.actions)

    def transitions(self) -> dict[str, np.ndarray]:
        """The columns of a replay memory, `[T, ...]` each; the last step is marked as terminated or truncated."""
        done, truncated = np.zeros(self.steps, np.float32), np.zeros(self.steps, np.float32)
        done[-1], truncated[-1] = self.terminated, not self.terminated
        return {
            "state": self.observations[:-1],
            "action": self.actions,
            "reward": self.rewards,
            "done": done,
            "truncated": truncated,
            "next_state": self.observations[1:],
        }


class Demonstrations:
    """Expert episodes to learn from.

    Args:
        episodes: at least one, all from the same environment. Float observations become float32, actions and discrete
            states int32.
        source: where they come from; it appears in messages.

    Raises:
        TypeError: if they are not a sequence of `DemoEpisode`s, or its flags not True or False.
        ValueError: if there are no episodes, or their arrays do not fit together, are not finite, or hold actions that are
            not integers.
    """

    def __init__(self, episodes: Sequence[DemoEpisode], source: str = "demonstrations"):
        if isinstance(episodes, DemoEpisode):
            raise TypeError(f"{source}: expected a list of episodes, got one DemoEpisode; put it into a list.")
        try:
            found = tuple(episodes)
        except TypeError as error:
            raise TypeError(f"{source}: expected a list of episodes, got {episodes!r}.") from error
        if not found:
            raise ValueError(f"{source}: there are no episodes; at least one is needed.")
        self.source = source
        self.episodes = tuple(_checked(episode, f"{source}: episode {index}") for index, episode in enumerate(found))
        first = self.episodes[0].observations
        for index, episode in enumerate(self.episodes):
            other = episode.observations
            if other.shape[1:] != first.shape[1:] or other.dtype != first.dtype:
                raise ValueError(
                    f"{source}: episode {index} has observations {other.dtype.name} {other.shape[1:]}, episode 0 "
                    f"{first.dtype.name} {first.shape[1:]}; all must come from the same environment."
                )

    @property
    def steps(self) -> int:
        """Number of transitions in all episodes."""
        return sum(episode.steps for episode in self.episodes)

    @property
    def returns(self) -> np.ndarray:
        """Each episode's sum of rewards, float64 `[E]`."""
        return np.array([episode.rewards.sum(dtype=np.float64) for episode in self.episodes])

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of all the data, 16 hexadecimal digits, by which a checkpoint identifies the demonstrations it holds."""
        digest = hashlib.sha256()
        for episode in self.episodes:
            for array in (episode.observations, episode.actions, episode.rewards):
                digest.update(f"{array.dtype.str}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
            digest.update(bytes([episode.terminated, episode.truncated]))
        return digest.hexdigest()[:16]

    def check(self, state: Any, num_actions: int | None = None) -> None:
        """Checks that they come from an environment with these states and actions.

        Args:
            state: the spec of one state: any object with a shape and a dtype; a dict of specs is refused. That of discrete
                states is a `BoundedTensorSpec`.
            num_actions: the environment's number of actions; None: not checked.

        Raises:
            ValueError: if they do not; the message says what differs.
        """
        if isinstance(state, Mapping):
            raise ValueError(
                f"{self.source}: the environment's states are dicts of {sorted(state)}; demonstrations hold an array for each "
                "state. Use an environment whose observations are a Box."
            )
        observations = self.episodes[0].observations
        expected = (tuple(state.shape), tf.as_dtype(state.dtype).name)
        given = (observations.shape[1:], observations.dtype.name)
        if given != expected:
            raise ValueError(
                f"{self.source}: the observations are {given[1]} {given[0]}, those of the environment are {expected[1]} "
                f"{expected[0]}; record the demonstrations in the same environment, with the same wrappers."
            )
        states = int(state.maximum) + 1 if isinstance(state, BoundedTensorSpec) else None
        for index, episode in enumerate(self.episodes):
            if states is not None:
                outside = episode.observations[(episode.observations < 0) | (episode.observations >= states)]
                if outside.size:
                    raise ValueError(
                        f"{self.source}: episode {index} has the state {outside[0]}; the environment has {states} discrete "
                        "states, counted from 0."
                    )
            if num_actions is not None and episode.actions.max() >= num_actions:
                raise ValueError(
                    f"{self.source}: episode {index} has the action {episode.actions.max()}; the environment has "
                    f"{num_actions} actions, counted from 0."
                )

    def __repr__(self) -> str:
        mean = float(np.mean(self.returns))
        return f"<{len(self.episodes)} demonstrations of {self.source}: {self.steps} transitions, mean reward {mean:.1f}>"


def _checked(episode: DemoEpisode, name: str) -> DemoEpisode:
    if not isinstance(episode, DemoEpisode):
        raise TypeError(
            f"{name}: expected a DemoEpisode(observations, actions, rewards, terminated, truncated), got a "
            f"{type(episode).__name__}."
        )
    observations = _array("observations", episode.observations, name)
    actions, rewards = _array("actions", episode.actions, name), _array("rewards", episode.rewards, name)
    terminated, truncated = (_flag(flag, getattr(episode, flag), name) for flag in ("terminated", "truncated"))
    _check_actions(actions, name)
    if rewards.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected real numbers as rewards, got {rewards.dtype}.")
    if rewards.shape != actions.shape:
        raise ValueError(
            f"{name}: expected one reward for each of the {len(actions)} actions, got rewards of shape {rewards.shape}."
        )
    if len(observations) != len(actions) + 1:
        raise ValueError(
            f"{name}: expected {len(actions) + 1} observations for {len(actions)} actions, including the one after the last "
            f"step, got {len(observations)}."
        )
    observations = observations.astype(observations.dtype.newbyteorder("="), copy=False)
    if observations.dtype.kind == "f":
        observations = observations.astype(np.float32)
    elif observations.dtype.kind not in "iub":
        raise ValueError(f"{name}: expected numeric observations, got {observations.dtype}.")
    elif observations.ndim == 1 and observations.dtype == np.int64 and _fits_int32(observations):
        observations = observations.astype(np.int32)  # Discrete states, which gymnasium has in int64 and memories in int32.
    rewards = rewards.astype(np.float32)
    for column, array in (("observations", observations), ("rewards", rewards)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            step = int(np.argwhere(~np.isfinite(array))[0][0])
            raise ValueError(f"{name}: the {column} are not finite at step {step}.")
    return DemoEpisode(observations, actions.astype(np.int32), rewards, terminated, truncated)


def _array(column: str, values: Any, name: str) -> np.ndarray:
    """One array of an episode, of at least rank 1."""
    if isinstance(values, Mapping):
        raise ValueError(f"{name}: expected one array of {column}, got a dict of {sorted(map(str, values))}.")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name}: expected one array of {column}, got rows of different shapes.") from error
    except Exception as error:  # Of an object's own `__array__`, or of a tensor without a value.
        raise TypeError(f"{name}: expected one array of {column}, got {values!r}: {error}") from error
    if np.ma.is_masked(values):
        raise ValueError(f"{name}: expected one array of {column}, got a masked array with values missing.")
    if array.ndim == 0:
        raise ValueError(f"{name}: expected an array of {column}, one for each step, got {array}.")
    return array


def _fits_int32(values: np.ndarray) -> bool:
    limits = np.iinfo(np.int32)
    return bool(limits.min <= values.min() and values.max() <= limits.max)


def _check_actions(actions: np.ndarray, name: str) -> None:
    if actions.ndim != 1 or not len(actions):
        raise ValueError(f"{name}: expected actions of shape [T] with at least one step, got shape {actions.shape}.")
    if actions.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: expected integer actions, got {actions.dtype.name}; the large-margin loss needs discrete actions."
        )
    if actions.min() < 0:
        raise ValueError(f"{name}: expected actions counted from 0, got the action {actions.min()}.")
    if actions.max() > np.iinfo(np.int32).max:
        raise ValueError(f"{name}: expected actions that int32 holds, got the action {actions.max()}.")


def _flag(flag: str, value: Any, name: str) -> bool:
    """Whether an episode ended so: True or False, also as a number."""
    try:
        array = np.asarray(value)
        known = array.shape == () and array.dtype.kind in "biuf" and array in (0, 1)
    except Exception:  # Of rows of different lengths, or an object's own `__array__`.
        known = False
    if not known:
        raise TypeError(f"{name}: expected {flag} to be True or False for the whole episode, got {value!r}.")
    return bool(array)
