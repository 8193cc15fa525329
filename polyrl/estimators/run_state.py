"""The part of a run's state that no variable holds: checkpoints have it in `state.json`, from which it is restored."""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from polyrl.envs import Episode
from polyrl.errors import add_note
from polyrl.estimators.hooks import Hook
from polyrl.estimators.hooks.base import hook_states

logger = logging.getLogger("polyrl")


class Resumable(Protocol):
    """What a training run has, so far as this module is concerned."""

    step: int
    timestep: int
    episode: int
    loss: float
    wants_summaries: bool
    last_evaluation: dict[str, float] | None
    episodes: collections.deque[Episode]


def run_state(run: Resumable, hooks: Iterable[Hook]) -> dict[str, Any]:
    """The counters, the last episodes, the states of the hooks."""
    return {
        "global_step": run.step,
        "global_timestep": run.timestep,
        "global_episode": run.episode,
        "loss": run.loss,
        "wants_summaries": run.wants_summaries,
        "last_evaluation": run.last_evaluation,
        "episodes": [dataclasses.asdict(episode) for episode in run.episodes],
        "hooks": hook_states(named(hooks)),
    }


def restore_run(run: Resumable, hooks: Iterable[Hook], state: Mapping[str, Any]) -> None:
    """Gives a run and its hooks back what `run_state` noted; its counters are in the scope."""
    run.loss = float(state.get("loss", 0.0))
    run.wants_summaries = bool(state.get("wants_summaries", False))
    last = state.get("last_evaluation")
    run.last_evaluation = None if last is None else dict(last)
    run.episodes.extend(Episode(**episode) for episode in state["episodes"])
    here = dict(named(hooks))
    for name, hook in here.items():
        if name in state["hooks"]:
            kept = state["hooks"][name]
            try:
                hook.set_state(kept)
            except Exception as error:
                add_note(error, f"{type(hook).__name__}.set_state raised this, given what get_state had returned: {kept}.")
                raise
    lost = [name.partition("/")[0] for name, kept in state["hooks"].items() if kept and name not in here]
    if lost:
        logger.warning("The run had hooks that it does not have now, and what they kept is left out: %s.", ", ".join(lost))


def named(hooks: Iterable[Hook]) -> Iterator[tuple[str, Hook]]:
    """Each hook with a name by which a resumed run finds it again: its class, and its place among those of its class."""
    counts: collections.Counter[str] = collections.Counter()
    for hook in hooks:
        kind = type(hook).__name__
        yield f"{kind}/{counts[kind]}", hook
        counts[kind] += 1
