"""Demonstrations in a local Minari dataset (Younis et al. 2024). polyrl never downloads one."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete, Space

from polyrl.demos.demonstrations import DemoEpisode, Demonstrations
from polyrl.envs.backends import import_package

_ALTERNATIVE = "an .npz file"


def load_minari(dataset_id: str) -> Demonstrations:
    """Reads a local dataset, from `MINARI_DATASETS_PATH` or `~/.minari/datasets`.

    Raises:
        TypeError: if the name is not a str.
        FileNotFoundError: if there is no such local dataset.
        ValueError: if the package `minari` is not installed, or the dataset's actions or observations do not suit a Q model.
    """
    if not isinstance(dataset_id, str):
        raise TypeError(f"dataset_id={dataset_id!r} must be the name of a dataset, a str.")
    minari = _minari(f"demos={dataset_id!r}")
    try:
        dataset = minari.load_dataset(dataset_id, download=False)
    except (FileNotFoundError, ValueError) as error:
        known = sorted(minari.list_local_datasets())
        raise FileNotFoundError(
            f"No local Minari dataset {dataset_id!r}; found {known or 'none'}. polyrl downloads nothing; fetch it with "
            f"`minari download {dataset_id}`, or record one with scripts/record_demos.py."
        ) from error
    space = dataset.action_space
    if not isinstance(space, Discrete):
        raise ValueError(f"The Minari dataset {dataset_id!r} has the action space {space}; a Q model needs a Discrete one.")
    return Demonstrations(
        [_episode(episode, int(space.start), dataset_id) for episode in dataset.iterate_episodes()],
        f"the Minari dataset {dataset_id!r}",
    )


def save_minari(
    demonstrations: Demonstrations,
    dataset_id: str,
    observation_space: Space[Any],
    action_space: Space[Any],
    env_id: str | None = None,
) -> None:
    """Writes a local Minari dataset; images are stored without loss, not as JPEG.

    Args:
        demonstrations: the episodes.
        dataset_id: a new name, such as `'cartpole/expert-v0'`.
        observation_space: that of the environment the episodes come from.
        action_space: that of the environment; if it starts at another number than 0, the actions are shifted accordingly.
        env_id: the environment's gymnasium id, if it has one, so that a reader of the dataset can create it again.

    Raises:
        ValueError: if the dataset exists already, or the package `minari` is not installed.
    """
    minari = _minari(f"dataset_id={dataset_id!r}")
    check_new_minari(dataset_id)
    start = int(getattr(action_space, "start", 0))
    buffers = []
    for index, episode in enumerate(demonstrations.episodes):
        ends = np.zeros([2, episode.steps], np.bool_)
        ends[0, -1] = episode.terminated
        ends[1, -1] = episode.truncated or not episode.terminated  # Minari has no third way for an episode to end.
        columns = {
            "observations": list(episode.observations.astype(observation_space.dtype)),
            "actions": list(episode.actions.astype(np.int64) + start),
            "rewards": episode.rewards.tolist(),
            "terminations": ends[0].tolist(),
            "truncations": ends[1].tolist(),
        }
        buffers.append(minari.data_collector.EpisodeBuffer(id=index, **columns))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Warnings about missing author, licence and so on.
        minari.create_dataset_from_buffers(
            dataset_id,
            buffers,
            env=env_id,
            observation_space=observation_space,
            action_space=action_space,
            algorithm_name="polyrl",
            jpeg_encoding=False,
        )


def check_new_minari(dataset_id: str) -> None:
    """Raises a ValueError if a dataset of this name exists already, or the name is not valid."""
    minari = _minari(f"dataset_id={dataset_id!r}")
    if dataset_id in minari.list_local_datasets():
        raise ValueError(f"The Minari dataset {dataset_id!r} exists already and is not overwritten; choose another name.")
    minari.dataset.minari_dataset.parse_dataset_id(dataset_id)


def _minari(needed_by: str) -> Any:
    return import_package("minari", needed_by, "demos", _ALTERNATIVE)


def _episode(data: Any, start: int, dataset_id: str) -> DemoEpisode:
    if not isinstance(data.observations, np.ndarray):
        raise ValueError(
            f"The Minari dataset {dataset_id!r} has observations of type {type(data.observations).__name__}, not arrays; wrap "
            "its environment so that each observation is one array."
        )
    early = np.flatnonzero((np.asarray(data.terminations) | np.asarray(data.truncations))[:-1])
    if len(early):
        raise ValueError(
            f"The Minari dataset {dataset_id!r}: episode {data.id} is marked as ended at step {early[0]}, but has more steps."
        )
    ends = bool(data.terminations[-1]), bool(data.truncations[-1])
    return DemoEpisode(data.observations, np.asarray(data.actions) - start, data.rewards, *ends)
