"""Environments: gymnasium's, opened as vectors and driven step by step."""

from polyrl.envs.driver import EnvDriver, Episode, Transitions
from polyrl.envs.gym import GymEnvironment, open_env

__all__ = ["EnvDriver", "Episode", "GymEnvironment", "Transitions", "open_env"]
