"""What the Atari scripts share: defaults with their sources, and what is made of them."""

from __future__ import annotations

from typing import Any

from polyrl.configs import AdamConfig
from polyrl.envs import AtariEnvironment
from polyrl.experiments import cli, games
from polyrl.experiments.games import FRAME_STACK, use_system_allocator
from polyrl.flags.atari import PARAMETERS as GAME
from polyrl.flags.games import PARAMETERS as PREPROCESSING
from polyrl.presets.images import ATARI as DEFAULTS
from polyrl.replay import Replay

HYPER_PARAMETERS = (*GAME, *PREPROCESSING)


def environments(params: dict[str, Any]) -> tuple[AtariEnvironment, AtariEnvironment]:
    """The game to train on, and the same game without what is for training only, to evaluate and infer on.

    Raises:
        ValueError: if `--env_backend` cannot run it.
    """
    return games.environments(params["game"], params, params["clip_rewards"])


def check_names(params: dict[str, Any]) -> None:
    """A ValueError with the nearest name for a game that there is not."""
    games.check_name(params["game"])


def memory(params: dict[str, Any]) -> Replay:
    """The replay memory that the hyper-parameters describe; it stores each frame once, in memory of the system's allocator."""
    use_system_allocator()
    return cli.memory(params, FRAME_STACK)


def model_arguments(params: Any) -> dict[str, Any]:
    """The arguments of a Q model that the hyper-parameters decide, as configs."""
    adam = AdamConfig(learning_rate=params.learning_rate, epsilon=params.adam_epsilon)
    return {**cli.model_arguments(params), "num_states": (84, 84, FRAME_STACK), "optimizer_config": adam}


__all__ = [
    "DEFAULTS",
    "FRAME_STACK",
    "HYPER_PARAMETERS",
    "check_names",
    "environments",
    "memory",
    "model_arguments",
    "use_system_allocator",
]
