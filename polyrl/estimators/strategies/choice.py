"""Which strategy a run has, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from polyrl.estimators.strategies.learnt import Strategy
from polyrl.estimators.strategies.mirrored import Mirrored
from polyrl.estimators.strategies.workers import Workers
from polyrl.replay import PrioritizedSequenceReplay, Replay, SequenceReplay

KINDS: Final[dict[str, Callable[[Callable[[str], None]], Strategy]]] = {"mirrored": Mirrored, "multi_worker": Workers}


def strategy_of(name: str, memory: Replay, tell: Callable[[str], None]) -> Strategy | None:
    """A strategy of that name, one of `run_config.STRATEGIES`, for the runs of an agent; None for `'one'`.

    Args:
        name: of the strategy.
        memory: of the agent.
        tell: shows a line.

    Raises:
        ValueError: if it cannot be, for what its class says, or the memory's batches cannot be divided equally.
    """
    if name == "one":
        return None
    strategy = KINDS[name](tell)
    length = memory.sequence_length if isinstance(memory, (SequenceReplay, PrioritizedSequenceReplay)) else 1
    parts = strategy.count * length
    if memory.batch_size % parts:
        lower, shown = memory.batch_size // parts * parts, "" if length == 1 else f", of sequences of {length} steps,"
        raise ValueError(
            f"batch_size={memory.batch_size}{shown} cannot be divided equally among {strategy.count} learners, with "
            f"strategy={name!r}; use {f'{lower} or ' if lower else ''}{lower + parts}."
        )
    return strategy
