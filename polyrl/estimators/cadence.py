"""How often a run is evaluated while it trains, if nothing else is said."""

from __future__ import annotations

from polyrl.validation import check_int

EVALUATIONS, SHORTEST, LONGEST = 25, 800, 2_000
"""So many evaluations of a budget, with environment steps between two that are not fewer and not more than these.

Twenty points make a curve; those before the first update are left out. More often than the shortest, evaluations would take
longer than the training between them; less often than the longest, `stop_at_reward` would be seen late.
"""


def evaluation_cadence(eval_frequency: int | None, train_timesteps: int | None) -> int:
    """Environment steps between two evaluations while training.

    Args:
        eval_frequency: what is asked for; None: a twenty-fifth of the budget, within the bounds.
        train_timesteps: the budget in environment steps; None: there is none, and evaluations are as far apart as may be.
    """
    if eval_frequency is not None:
        return check_int("eval_frequency", eval_frequency, minimum=1)
    if train_timesteps is None:
        return LONGEST
    return min(max(check_int("train_timesteps", train_timesteps, minimum=1) // EVALUATIONS, SHORTEST), LONGEST)
