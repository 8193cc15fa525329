"""Demonstrations in a local Minari dataset (Younis et al. 2024). Nothing is downloaded."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete, Space

from polyrl.demos.demonstrations import DemoEpisode, Demonstrations
from polyrl.envs.backends import import_package

_OTHERWISE = "an .npz file"


def load_minari(dataset_id: str) -> Demonstrations:
    """Reads a dataset that is on this machine already, below `MINARI_DATASETS_PATH` or `~/.minari/datasets`.

    Raises:
        FileNotFoundError: if it is not.
        ValueError: if the package `minari` is not installed, or the dataset is of another kind than the Q models learn from.
    """
    minari = _minari(f"demos={dataset_id!r}")
    try:
        dataset = minari.load_dataset(dataset_id, download=False)
    except (FileNotFoundError, ValueError) as error:
        known = sorted(minari.list_local_datasets())
        raise FileNotFoundError(
            f"There is no Minari dataset {dataset_id!r} on this machine; there are {known or 'none'}. Nothing is downloaded; "
            f"fetch it with `minari download {dataset_id}`, or record one with scripts/record_demos.py."
        ) from error
    space = dataset.action_space
    if not isinstance(space, Discrete):
        raise ValueError(
            f"The Minari dataset {dataset_id!r} has the action space {space}; a Q model learns from Discrete ones."
        )
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
    """Makes a local Minari dataset of them; images are stored as they are, not as JPEG.

    Args:
        demonstrations: the episodes.
        dataset_id: a new name, as `'cartpole/expert-v0'`.
        observation_space: of the environment they are of.
        action_space: of the environment; their actions become its own, which may begin at another number than 0.
        env_id: its gymnasium id, if it has one: whoever reads the dataset can make it again.

    Raises:
        ValueError: if there is such a dataset already, or the package `minari` is not installed.
    """
    minari = _minari(f"dataset_id={dataset_id!r}")
    check_new_minari(dataset_id)
    start = int(getattr(action_space, "start", 0))
    buffers = []
    for index, episode in enumerate(demonstrations.episodes):
        ends = np.zeros([2, episode.steps], np.bool_)
        ends[0, -1] = episode.terminated
        ends[1, -1] = episode.truncated or not episode.terminated  # Minari's datasets know no third way to end.
        columns = {
            "observations": list(episode.observations.astype(observation_space.dtype)),
            "actions": list(episode.actions.astype(np.int64) + start),
            "rewards": episode.rewards.tolist(),
            "terminations": ends[0].tolist(),
            "truncations": ends[1].tolist(),
        }
        buffers.append(minari.data_collector.EpisodeBuffer(id=index, **columns))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # About the author, the licence and so on.
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
    """Raises a ValueError if there is such a dataset already, or the name is none."""
    minari = _minari(f"dataset_id={dataset_id!r}")
    if dataset_id in minari.list_local_datasets():
        raise ValueError(f"There is a Minari dataset {dataset_id!r} already, and it is not overwritten; choose another name.")
    minari.dataset.minari_dataset.parse_dataset_id(dataset_id)


def _minari(needed_by: str) -> Any:
    return import_package("minari", needed_by, "demos", _OTHERWISE)


def _episode(data: Any, start: int, dataset_id: str) -> DemoEpisode:
    if not isinstance(data.observations, np.ndarray):
        raise ValueError(
            f"The Minari dataset {dataset_id!r} has observations that are no arrays, but {type(data.observations).__name__}; "
            "wrap its environment so that it gives one array."
        )
    early = np.flatnonzero((np.asarray(data.terminations) | np.asarray(data.truncations))[:-1])
    if len(early):
        raise ValueError(
            f"The Minari dataset {dataset_id!r}: episode {data.id} ends at step {early[0]}, but goes on after it."
        )
    ends = bool(data.terminations[-1]), bool(data.truncations[-1])
    return DemoEpisode(data.observations, np.asarray(data.actions) - start, data.rewards, *ends)
