"""Environments in the graph."""

from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.envs.compiled.cart_pole import CartPole
from polyrl.envs.compiled.vector import TensorVectorEnv

__all__ = ["CartPole", "CompiledEnvironment", "StepOutput", "TensorVectorEnv"]
