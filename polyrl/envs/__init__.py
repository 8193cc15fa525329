"""Environments: gymnasium's, envpool's and Atari games, opened as vectors and driven step by step."""

from polyrl.envs.atari import AtariEnvironment
from polyrl.envs.backends import EnvpoolEnvironment
from polyrl.envs.driver import EnvDriver, Episode, Transitions
from polyrl.envs.environment import Environment
from polyrl.envs.frame_stack import FrameStack
from polyrl.envs.gym import GymEnvironment, open_env

__all__ = [
    "AtariEnvironment",
    "EnvDriver",
    "Environment",
    "EnvpoolEnvironment",
    "Episode",
    "FrameStack",
    "GymEnvironment",
    "Transitions",
    "open_env",
]
