"""In-graph environments: episodes computed by TensorFlow, compiled together with the training loop."""

from polyrl.envs.compiled.acrobot import Acrobot
from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.envs.compiled.cart_pole import CartPole
from polyrl.envs.compiled.check import check_environment
from polyrl.envs.compiled.mountain_car import MountainCar
from polyrl.envs.compiled.pendulum import Pendulum
from polyrl.envs.compiled.registry import compiled_environment
from polyrl.envs.compiled.vector import TensorVectorEnv

__all__ = [
    "Acrobot",
    "CartPole",
    "CompiledEnvironment",
    "MountainCar",
    "Pendulum",
    "StepOutput",
    "TensorVectorEnv",
    "check_environment",
    "compiled_environment",
]
