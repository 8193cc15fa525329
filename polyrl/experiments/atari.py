"""What the Atari scripts share: flags of the game, defaults with their sources, and what is made of them."""

from __future__ import annotations

import os
from typing import Any

from absl import flags

from polyrl.configs import AdamConfig
from polyrl.envs import AtariEnvironment
from polyrl.envs.atari import BACKENDS
from polyrl.experiments import cli
from polyrl.replay import Replay

FRAME_STACK = 4

# The game. --------------------------------------------------------------------------------------------------------------
flags.DEFINE_string("game", "Pong", "The game, named as in ALE/MsPacman-v5: MsPacman.")
flags.DEFINE_integer("frame_skip", 4, "Frames of an environment step.", lower_bound=1)
flags.DEFINE_float(
    "sticky_actions", 0.25, "Probability that a frame repeats the action before it.", lower_bound=0.0, upper_bound=1.0
)
flags.DEFINE_integer("noop_max", 30, "Largest number of frames without an action at the start of a game.", lower_bound=0)
flags.DEFINE_bool("terminal_on_life_loss", False, "End an episode when a life is lost; in training only.")
flags.DEFINE_bool("full_action_space", False, "Use all 18 actions instead of those that have an effect in the game.")
flags.DEFINE_integer("max_episode_frames", 108_000, "Frames after which a game is truncated; 60 are a second.", lower_bound=1)
flags.DEFINE_bool("clip_rewards", True, "Clip rewards to [-1, 1]; in training only, and not those that are reported.")
flags.DEFINE_float("adam_epsilon", 1.5e-4, "Adam's epsilon.", lower_bound=0.0)

HYPER_PARAMETERS = (
    "game",
    "frame_skip",
    "sticky_actions",
    "noop_max",
    "terminal_on_life_loss",
    "full_action_space",
    "max_episode_frames",
    "clip_rewards",
    "adam_epsilon",
)

DEFAULTS: dict[str, Any] = {
    # Of Dopamine (Castro et al. 2018); in environment steps, but the target network in updates: 8,000 steps are 2,000.
    "batch_size": 32,
    "discount": 0.99,
    "exploration_final": 0.01,
    "exploration_timesteps": 250_000,
    "first_update": 20_000,
    "target_update_frequency": 2_000,
    "update_frequency": 4,
    # Hessel et al. 2018, for Adam; Mnih et al. 2015 had RMSProp.
    "learning_rate": 6.25e-5,
    # As in Mnih et al. 2015: plain Q values. There the Huber loss alone bounded the gradients.
    "dueling": "none",
    "clip_gradients": 10.0,
    # For an ordinary machine, where the papers have a million frames (7 GB) and 50 million steps. A frame is 7 KB: the memory
    # takes 0.7 GB, and each checkpoint as much again.
    "memory_size": 100_000,
    "train_timesteps": 2_000_000,
    "save_checkpoints_timesteps": 100_000,
    "keep_checkpoint_max": 1,
    "save_summary_timesteps": 5_000,
    "eval_frequency": 100_000,
    "eval_episodes_while_training": 5,
    "eval_episodes": 20,
}


def environments(params: dict[str, Any]) -> tuple[AtariEnvironment, AtariEnvironment]:
    """The game to train on, and the same game without what is for training only, to evaluate and infer on.

    Raises:
        ValueError: if `--env_backend` cannot run it.
    """
    backend = cli.FLAGS.env_backend
    if backend not in BACKENDS:
        raise ValueError(f"--env_backend={backend} has no Atari games; use one of {', '.join(BACKENDS)}.")
    options = {name: params[name] for name in ("frame_skip", "sticky_actions", "noop_max", "full_action_space")}
    options |= {"max_episode_frames": params["max_episode_frames"], "frame_stack": FRAME_STACK}
    game = AtariEnvironment(params["game"], params["num_envs"], backend, **options)
    learning = {name: params[name] for name in ("terminal_on_life_loss", "clip_rewards")}
    return AtariEnvironment(params["game"], params["num_envs"], backend, **options, **learning), game


def memory(params: dict[str, Any]) -> Replay:
    """The replay memory that the hyper-parameters describe; it stores each frame once, in memory of the system's allocator."""
    use_system_allocator()
    return cli.memory(params, FRAME_STACK)


def use_system_allocator() -> None:
    """Makes TensorFlow take its memory from the system; to be called before anything is computed.

    With oneDNN it has an allocator of its own, whose bookkeeping takes 8 bytes for each 256 of the next power of two: for a
    replay memory of a million frames 0.27 GB. A value that the user has set in the environment is kept.
    """
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")


def model_arguments(params: Any) -> dict[str, Any]:
    """The arguments of a Q model that the hyper-parameters decide, as configs."""
    adam = AdamConfig(learning_rate=params.learning_rate, epsilon=params.adam_epsilon)
    return {**cli.model_arguments(params), "num_states": (84, 84, FRAME_STACK), "optimizer_config": adam}
