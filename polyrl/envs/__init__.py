"""Environments of gymnasium, envpool, the Arcade Learning Environment and the TensorFlow graph, as vector environments."""

from polyrl.envs.atari import AtariEnvironment
from polyrl.envs.backends import EnvpoolEnvironment
from polyrl.envs.compiled import CompiledEnvironment, compiled_environment
from polyrl.envs.driver import EnvDriver, Episode, Transitions
from polyrl.envs.environment import Environment
from polyrl.envs.frame_stack import FrameStack
from polyrl.envs.gym import EnvLike, GymEnvironment, open_env
from polyrl.envs.in_use import check_free
from polyrl.envs.spaces import action_bounds, num_states_and_actions, other_keys

__all__ = [
    "AtariEnvironment",
    "CompiledEnvironment",
    "EnvDriver",
    "EnvLike",
    "Environment",
    "EnvpoolEnvironment",
    "Episode",
    "FrameStack",
    "GymEnvironment",
    "Transitions",
    "action_bounds",
    "check_free",
    "compiled_environment",
    "num_states_and_actions",
    "open_env",
    "other_keys",
]
