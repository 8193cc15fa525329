"""What the Atari scripts share: flags of the game, defaults with their sources, and what is made of them."""

from __future__ import annotations

from typing import Any

from absl import flags

from polyrl.configs import AdamConfig
from polyrl.envs import AtariEnvironment
from polyrl.experiments import cli, games
from polyrl.experiments.games import FRAME_STACK, use_system_allocator
from polyrl.presets.images import ATARI as DEFAULTS
from polyrl.replay import Replay

# The game. --------------------------------------------------------------------------------------------------------------
flags.DEFINE_string("game", "Pong", "The game, named as in ALE/MsPacman-v5: MsPacman.")
flags.DEFINE_bool("clip_rewards", True, "Clip rewards to [-1, 1]; in training only, and not those that are reported.")
flags.DEFINE_float("adam_epsilon", 1.5e-4, "Adam's epsilon.", lower_bound=0.0)

HYPER_PARAMETERS = ("game", *games.PARAMETERS, "clip_rewards", "adam_epsilon")


def environments(params: dict[str, Any]) -> tuple[AtariEnvironment, AtariEnvironment]:
    """The game to train on, and the same game without what is for training only, to evaluate and infer on.

    Raises:
        ValueError: if `--env_backend` cannot run it.
    """
    return games.environments(params["game"], params, params["clip_rewards"])


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
    "environments",
    "memory",
    "model_arguments",
    "use_system_allocator",
]
