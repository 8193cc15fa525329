"""Which strategy a run has, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from polyrl.estimators.strategies.learnt import Strategy
from polyrl.estimators.strategies.mirrored import Mirrored
from polyrl.estimators.strategies.workers import Workers

KINDS: Final[dict[str, Callable[[], Strategy]]] = {"mirrored": Mirrored, "multi_worker": Workers}


def strategy_of(name: str) -> Strategy | None:
    """A strategy of that name, one of `run_config.STRATEGIES`, for the runs of an agent; None for `'one'`.

    Raises:
        ValueError: if it cannot be, for what its class says.
    """
    return None if name == "one" else KINDS[name]()
