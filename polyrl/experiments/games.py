"""What programs for Atari games share: the flags of a game, and what is made of them."""

from __future__ import annotations

import os
from typing import Any

from absl import flags

from polyrl.envs import AtariEnvironment
from polyrl.envs.atari import BACKENDS
from polyrl.experiments import cli

FRAME_STACK = 4

flags.DEFINE_integer("frame_skip", 4, "Atari: frames of an environment step.", lower_bound=1)
flags.DEFINE_float(
    "sticky_actions",
    0.25,
    "Atari: probability that a frame repeats the action before it.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_integer("noop_max", 30, "Atari: largest number of frames without an action at a game's start.", lower_bound=0)
flags.DEFINE_bool("terminal_on_life_loss", False, "Atari: end an episode when a life is lost; in training only.")
flags.DEFINE_bool("full_action_space", False, "Atari: use all 18 actions instead of those that have an effect in the game.")
flags.DEFINE_integer(
    "max_episode_frames", 108_000, "Atari: frames after which a game is truncated; 60 are a second.", lower_bound=1
)

PARAMETERS = (
    "frame_skip",
    "sticky_actions",
    "noop_max",
    "terminal_on_life_loss",
    "full_action_space",
    "max_episode_frames",
)
"""The flags of a game; they are hyper-parameters."""


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


def use_system_allocator() -> None:
    """Makes TensorFlow take its memory from the system; to be called before anything is computed.

    With oneDNN it has an allocator of its own, whose bookkeeping takes 8 bytes for each 256 of the next power of two: for a
    replay memory of a million frames 0.27 GB. A value that the user has set in the environment is kept.
    """
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
