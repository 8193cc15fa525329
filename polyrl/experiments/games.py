"""What programs for Atari games share: what is made of the flags of a game."""

from __future__ import annotations

import os
from typing import Any

from polyrl.envs import AtariEnvironment
from polyrl.envs.atari import BACKENDS
from polyrl.experiments import cli
from polyrl.flags import games as _  # noqa: F401  It defines the flags.

FRAME_STACK = 4


def environments(game: str, params: Any, clip_rewards: bool) -> tuple[AtariEnvironment, AtariEnvironment]:
    """The game to train on, and the same game without what is for training only, to evaluate and infer on.

    Raises:
        ValueError: if `--env_backend` cannot run it.
    """
    backend = cli.FLAGS.env_backend
    if backend not in BACKENDS:
        raise ValueError(f"--env_backend={backend} has no Atari games; use one of {', '.join(BACKENDS)}.")
    options = {name: params[name] for name in ("frame_skip", "sticky_actions", "noop_max", "full_action_space")}
    options |= {"max_episode_frames": params["max_episode_frames"], "frame_stack": FRAME_STACK}
    learning = {"terminal_on_life_loss": params["terminal_on_life_loss"], "clip_rewards": clip_rewards}
    evaluated = AtariEnvironment(game, params["num_envs"], backend, **options)
    return AtariEnvironment(game, params["num_envs"], backend, **options, **learning), evaluated


def check_name(game: str) -> None:
    """A ValueError with the nearest name for a game that there is not."""
    AtariEnvironment(game)


def use_system_allocator() -> None:
    """Makes TensorFlow take its memory from the system; to be called before anything is computed.

    With oneDNN it has an allocator of its own, whose bookkeeping takes 8 bytes for each 256 of the next power of two: for a
    replay memory of a million frames 0.27 GB. A value that the user has set in the environment is kept.
    """
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
