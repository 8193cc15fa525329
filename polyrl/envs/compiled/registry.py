"""`compiled_environment`: in-graph environments by id or name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polyrl.envs.compiled.acrobot import Acrobot
from polyrl.envs.compiled.base import CompiledEnvironment
from polyrl.envs.compiled.cart_pole import CartPole
from polyrl.envs.compiled.catch import Catch
from polyrl.envs.compiled.chains import DiscountingChain, MemoryChain, UmbrellaChain
from polyrl.envs.compiled.deep_sea import DeepSea
from polyrl.envs.compiled.grid_world import GridWorld
from polyrl.envs.compiled.mountain_car import MountainCar
from polyrl.envs.compiled.pendulum import Pendulum
from polyrl.validation import check_keywords, keyword_names, suggestion

ENVIRONMENTS: dict[str, Callable[..., CompiledEnvironment]] = {
    "CartPole-v1": CartPole,
    "MountainCar-v0": MountainCar,
    "Acrobot-v1": Acrobot,
    "Pendulum-v1": Pendulum,
    "Catch": Catch,
    "DeepSea": DeepSea,
    "GridWorld": GridWorld,
    "MemoryChain": MemoryChain,
    "DiscountingChain": DiscountingChain,
    "UmbrellaChain": UmbrellaChain,
}


def compiled_environment(env_id: str, num_envs: int = 1, **kwargs: Any) -> CompiledEnvironment:
    """Makes the in-graph environment with that gymnasium id (`'CartPole-v1'`) or name (`'Catch'`).

    Args:
        env_id: one of `ENVIRONMENTS`.
        num_envs: how many run in parallel while training.
        **kwargs: passed to the environment.

    Raises:
        ValueError: for an unknown id; the message lists the known ones and the nearest.
    """
    if env_id not in ENVIRONMENTS:
        hint = suggestion(str(env_id), ENVIRONMENTS)
        raise ValueError(f"env_id={env_id!r} is not an in-graph environment; use one of {', '.join(ENVIRONMENTS)}.{hint}")
    kind = ENVIRONMENTS[env_id]
    check_keywords(f"env_id={env_id!r}", kwargs, keyword_names(kind), {})
    return kind(num_envs=num_envs, **kwargs)
