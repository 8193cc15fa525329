"""`Demonstrations`: whole episodes, checked, as transitions that a replay memory can take."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class DemoEpisode(NamedTuple):
    """One demonstrated episode of `T` steps.

    `observations` `[T + 1, ...]`: the last is the one after the last step. `actions` `[T]`, counted from 0; `rewards` `[T]`.
    `terminated`: the environment's rules ended it, nothing follows. `truncated`: a limit did. An episode with neither was cut
    off in recording, and bootstraps from its last observation as a truncated one does.
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
        """The columns of a replay memory, `[T, ...]` each: the end of the episode is marked on its last step."""
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
    """Episodes to learn from.

    Args:
        episodes: at least one, all of the same environment. Observations that are floats become float32, actions int32.
        source: where they come from, for messages.

    Raises:
        ValueError: for none, or for arrays that do not fit together, are not finite, or hold actions that are no integers.
    """

    def __init__(self, episodes: Sequence[DemoEpisode], source: str = "demonstrations"):
        if not episodes:
            raise ValueError(f"{source}: there are no episodes; at least one is needed.")
        self.source = source
        self.episodes = tuple(_checked(episode, f"{source}: episode {index}") for index, episode in enumerate(episodes))
        first = self.episodes[0].observations
        for index, episode in enumerate(self.episodes):
            other = episode.observations
            if other.shape[1:] != first.shape[1:] or other.dtype != first.dtype:
                raise ValueError(
                    f"{source}: episode {index} has observations {other.dtype.name} {other.shape[1:]}, episode 0 "
                    f"{first.dtype.name} {first.shape[1:]}; all must be of the same environment."
                )

    @property
    def steps(self) -> int:
        """How many transitions there are."""
        return sum(episode.steps for episode in self.episodes)

    @property
    def returns(self) -> np.ndarray:
        """Each episode's sum of rewards, float64 `[E]`."""
        return np.array([episode.rewards.sum(dtype=np.float64) for episode in self.episodes])

    @property
    def fingerprint(self) -> str:
        """The same for the same episodes, other for others: a checkpoint knows by it what it was trained on."""
        digest = hashlib.sha256()
        for episode in self.episodes:
            for array in (episode.observations, episode.actions, episode.rewards):
                digest.update(f"{array.dtype.str}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
            digest.update(bytes([episode.terminated, episode.truncated]))
        return digest.hexdigest()[:16]

    def check(self, state: Any, num_actions: int | None = None) -> None:
        """Whether they are of an environment with such states and actions.

        Args:
            state: the spec of one state: anything that has a shape and a dtype; a dict of them is refused.
            num_actions: how many actions it has; None: not checked.

        Raises:
            ValueError: if they are not; it says what differs.
        """
        if isinstance(state, Mapping):
            raise ValueError(
                f"{self.source}: the environment's states are dicts of {sorted(state)}; demonstrations hold an array for each "
                "state. Use an environment whose observations are a Box."
            )
        observations = self.episodes[0].observations
        wanted = (tuple(state.shape), tf.as_dtype(state.dtype).name)
        given = (observations.shape[1:], observations.dtype.name)
        if given != wanted:
            raise ValueError(
                f"{self.source}: the observations are {given[1]} {given[0]}, the environment's are {wanted[1]} {wanted[0]}; "
                "record the demonstrations in the same environment, with the same wrappers."
            )
        for index, episode in enumerate(self.episodes):
            if num_actions is not None and episode.actions.max() >= num_actions:
                raise ValueError(
                    f"{self.source}: episode {index} has the action {episode.actions.max()}; the environment has "
                    f"{num_actions} actions, counted from 0."
                )

    def __repr__(self) -> str:
        mean = float(np.mean(self.returns))
        return f"<{len(self.episodes)} demonstrations of {self.source}: {self.steps} transitions, mean reward {mean:.1f}>"


def _checked(episode: DemoEpisode, name: str) -> DemoEpisode:
    observations, actions, rewards = (np.asarray(array) for array in episode[:3])
    if actions.ndim != 1 or not len(actions):
        raise ValueError(f"{name}: actions have shape {actions.shape}; asked for is [T], with at least one step.")
    if actions.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: actions are {actions.dtype.name}; the large-margin loss compares discrete actions, integers."
        )
    if actions.min() < 0:
        raise ValueError(f"{name}: there is the action {actions.min()}; actions are counted from 0.")
    if rewards.shape != actions.shape:
        raise ValueError(
            f"{name}: rewards have shape {rewards.shape}; asked for is one for each of the {len(actions)} actions."
        )
    if len(observations) != len(actions) + 1:
        raise ValueError(
            f"{name}: there are {len(observations)} observations for {len(actions)} actions; asked for is one more, "
            "with the one after the last step."
        )
    if observations.dtype.kind == "f":
        observations = observations.astype(np.float32)
    elif observations.dtype.kind not in "iub":
        raise ValueError(f"{name}: observations are {observations.dtype}; asked for are numbers.")
    rewards = rewards.astype(np.float32)
    for what, array in (("observations", observations), ("rewards", rewards)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            step = int(np.argwhere(~np.isfinite(array))[0][0])
            raise ValueError(f"{name}: the {what} are not finite at step {step}.")
    return DemoEpisode(observations, actions.astype(np.int32), rewards, bool(episode.terminated), bool(episode.truncated))
