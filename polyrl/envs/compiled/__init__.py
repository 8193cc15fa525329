"""In-graph environments: TensorFlow computes the episodes, compiled together with the training loop."""

from polyrl.envs.compiled.acrobot import Acrobot
from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.envs.compiled.cart_pole import CartPole, CartPoleState
from polyrl.envs.compiled.catch import Catch
from polyrl.envs.compiled.chains import DiscountingChain, MemoryChain, UmbrellaChain
from polyrl.envs.compiled.check import check_environment
from polyrl.envs.compiled.deep_sea import DeepSea
from polyrl.envs.compiled.grid_world import GridWorld
from polyrl.envs.compiled.mountain_car import MountainCar
from polyrl.envs.compiled.pendulum import Pendulum
from polyrl.envs.compiled.registry import compiled_environment
from polyrl.envs.compiled.vector import TensorVectorEnv

__all__ = [
    "Acrobot",
    "CartPole",
    "CartPoleState",
    "Catch",
    "CompiledEnvironment",
    "DeepSea",
    "DiscountingChain",
    "GridWorld",
    "MemoryChain",
    "MountainCar",
    "Pendulum",
    "StepOutput",
    "TensorVectorEnv",
    "UmbrellaChain",
    "check_environment",
    "compiled_environment",
]
