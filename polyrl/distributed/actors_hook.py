"""`ActorsHook`: how actors and shards are doing, in TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from polyrl.distributed.exchange import REPLAY, Exchange
from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.summaries import Summaries

SHOWN = 16
"""Up to so many actors each have a panel."""


class ActorsHook(Hook):
    """Writes the throughput of actors, how old weights, blocks and batches are, and what was lost with processes that died.

    Args:
        exchange: with the processes.
        ages: what the loop knows of how old things are, by tag.
    """

    def __init__(self, exchange: Exchange, ages: Callable[[], dict[str, float]]):
        self._exchange, self._ages = exchange, ages
        self._before = (0, 0)

    def begin(self, run: RunContext) -> None:
        self._before = (run.step, run.timestep)

    def after_summaries(self, run: RunContext, summaries: Summaries) -> None:
        exchange = self._exchange
        rates = exchange.rates
        values = {
            **self._ages(),
            "actors/steps_per_sec": float(rates.sum()),
            "actors/slowest_steps_per_sec": float(rates.min()),
            "actors/restarts": exchange.restarts,
            "actors/lost_blocks": exchange.lost_blocks,
            "replay/lost_transitions": exchange.statuses.lost_transitions,
            "replay/late_priorities": exchange.statuses.late_priorities,
        }
        steps, timesteps = (now - then for now, then in zip((run.step, run.timestep), self._before, strict=True))
        if timesteps:
            values["replay/updates_per_step"] = steps / timesteps
        if len(rates) <= SHOWN:
            values |= {f"actors/steps_per_sec_{index}": float(rate) for index, rate in enumerate(rates)}
        run.write_scalars(values)

    def after_checkpoint(self, run: RunContext, path: Path) -> None:
        if (path / REPLAY).is_dir():
            self._exchange.saved = path / REPLAY
