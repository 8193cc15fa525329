"""`Budget`: when a training run ends."""

from __future__ import annotations

import dataclasses
import logging

from polyrl.estimators.loops.loop import UpdateSchedule
from polyrl.validation import check_int

logger = logging.getLogger("polyrl")

_PAIRS = (("steps", "max_steps"), ("episodes", "max_episodes"), ("timesteps", "max_timesteps"))


@dataclasses.dataclass(frozen=True)
class Budget:
    """The counts at which training stops, absolute; None means no limit. The first that is reached ends the run.

    `step` counts gradient updates, `timestep` environment steps, `episode` finished episodes.
    """

    step: int | None = None
    timestep: int | None = None
    episode: int | None = None

    @classmethod
    def validate(cls, **given: int | None) -> dict[str, int | None]:
        """The six arguments of `Agent.train`, as Python's ints: positive, and not both of one kind."""
        checked = dict(given)
        for incremental, absolute in _PAIRS:
            for name in (incremental, absolute):
                if given[name] is not None:
                    checked[name] = check_int(name, given[name], minimum=1)
            if given[incremental] is not None and given[absolute] is not None:
                raise ValueError(
                    f"{incremental}={given[incremental]} (from here on) and {absolute}={given[absolute]} (in all) "
                    "contradict each other; give one of the two."
                )
        return checked

    @classmethod
    def starting_from(cls, step: int, timestep: int, episode: int, **given: int | None) -> Budget:
        """The budget of `Agent.train`'s six arguments for a run that stands at these counts."""

        def end(now: int, incremental: str, absolute: str) -> int | None:
            more = given[incremental]
            return given[absolute] if more is None else now + more

        (s, ms), (e, me), (t, mt) = _PAIRS
        return cls(end(step, s, ms), end(timestep, t, mt), end(episode, e, me))

    def reached(self, step: int, timestep: int, episode: int) -> str | None:
        """Says which limit is reached, None if none is."""
        for name, unit, now, limit in (
            ("steps", "updates", step, self.step),
            ("timesteps", "environment steps", timestep, self.timestep),
            ("episodes", "episodes", episode, self.episode),
        ):
            if limit is not None and now >= limit:
                count = f"{now} of {limit} {unit}" if now == limit else f"{now} {unit}, {now - limit} more than {limit}"
                return f"budget of {name} reached: {count}"
        return None


def warn_of_budgets(
    given: dict[str, int | None], begin: int, schedule: UpdateSchedule, pretrain_updates: int, num_envs: int
) -> None:
    """Warns of a run without an end, and of one that ends before its first update.

    Args:
        given: what `Budget.validate` gave.
        begin: environment steps done.
        schedule: of the updates.
        pretrain_updates: updates before the first environment step.
        num_envs: steps that are taken at once: the last of them may lie beyond the budget.
    """
    if not any(value is not None for value in given.values()):
        logger.warning("No budget: this run trains until a hook or a signal (Ctrl-C) ends it.")
    end = Budget.starting_from(0, begin, 0, **given).timestep
    if end is None or begin >= end or pretrain_updates:
        return
    last = begin - (begin - end) // num_envs * num_envs
    if last <= schedule.first_update:
        logger.warning(
            f"This run learns nothing: its budget ends at environment step {end}, and first_update={schedule.first_update} "
            "environment steps come before the first update. Give a smaller first_update, or a larger budget."
        )
    elif begin == 0 and schedule.due(0, last) == 0:
        logger.warning(
            f"This run learns nothing: its budget ends at environment step {end}, and the first update comes later, as "
            f"update_frequency={schedule.frequency}. Give a smaller update_frequency, or a larger budget."
        )
