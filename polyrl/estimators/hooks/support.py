"""`SupportHook`: compares the returns that are seen with the values that a distribution over returns can have."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.replay import Replay

logger = logging.getLogger("polyrl")

FIRST = 1_000
"""Environment steps before the first look; the next ones come after twice, four times, ... as many."""

LATE = 16_000
"""Environment steps from which returns may be called small, or expected: before them, few rewards may have been found, and few
episodes ended.
"""

STEPS = 10_000
"""How many of the newest steps of each environment are looked at."""


BEYOND = "A return outside of it cannot be told from its end"


class SupportHook(Hook):
    """Warns if discounted returns leave the support, and again if they leave what was advised; once if they use less than a
    tenth of it.

    Outside of the support no return can be told from its end; and where all returns lie between a few atoms, the distribution
    says little. Both learn, badly, and without another sign. It looks at the returns of all states in the newest episodes. Of
    those that are not known, because episodes are truncated or have not ended, it looks at the part that is: whether any
    return within the support could follow. If none is known, it later looks at what they would come to if rewards continue as
    they are.

    Args:
        memory: holds the rewards.
        min_q_value: the lowest value of the support.
        max_q_value: the highest.
        discount: per step.
        scale: what the model multiplies rewards by.
        clip: the largest size of a reward after that.
    """

    def __init__(
        self,
        memory: Replay,
        min_q_value: float,
        max_q_value: float,
        discount: float,
        scale: float = 1.0,
        clip: float = math.inf,
    ):
        self._scale, self._clip = scale, clip
        self._memory, self._support, self._discount = memory, (min_q_value, max_q_value), discount
        self._next, self._is_narrow = FIRST, False
        self._within = self._support  # What returns have to leave for a warning.
        self._low, self._high = math.inf, -math.inf

    def get_state(self) -> dict[str, Any]:
        return {"warned": self._is_narrow, "within": list(self._within)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._is_narrow = bool(state["warned"])
        if "within" in state:  # Checkpoints of earlier versions have none.
            self._within = float(state["within"][0]), float(state["within"][1])

    def begin(self, run: RunContext) -> None:
        while self._next <= run.timestep:
            self._next *= 2

    def after_act(self, run: RunContext) -> None:
        if run.timestep < self._next or self._is_narrow:
            return
        while self._next <= run.timestep:
            self._next *= 2
        if run.stored == 0:  # Brings the memory up to date.
            return
        reward, terminated, truncated = (column.numpy() for column in self._memory.newest(STEPS))
        reward = np.clip(self._scale * reward, -self._clip, self._clip)
        returns, weight = discounted_returns(reward, terminated, truncated, self._discount)
        known = returns[weight < 0.1]
        if known.size:
            self._low, self._high = min(self._low, float(known.min())), max(self._high, float(known.max()))
            self._compare(self._low, self._high, "were seen")
            width, (lowest, highest) = self._high - self._low, self._support
            if self._within == self._support and run.timestep >= LATE and 0.0 < width < 0.1 * (highest - lowest):
                self._is_narrow = True
                self._warn(self._low, self._high, "were seen", "in less than a tenth of", "Most atoms have nothing to say")
        parts = weight >= 0.1
        # Also beside returns that are known: those may be of the episodes alone that ended early. What was seen of an episode
        # without an end grows with each look, and is told once.
        if parts.any() and (self._within == self._support or truncated.any()):
            self._compare_parts(returns[parts], weight[parts], reward)
        if self._within == self._support and not known.size and returns.size and run.timestep >= LATE and self._discount < 1.0:
            expected = returns + weight * reward.mean(dtype=np.float64) / (1.0 - self._discount)
            how = "are to be expected if rewards continue as they are, as no episode came to its own end"
            self._compare(float(expected.min()), float(expected.max()), how)

    def _compare_parts(self, returns: np.ndarray, weight: np.ndarray, reward: np.ndarray) -> None:
        """Warns if returns leave the support whatever follows what was seen of them.

        What follows lies in the support, if that is right, and on one side of 0, if all rewards do.
        """
        lowest = max(self._support[0], 0.0) if (reward >= 0.0).all() else self._support[0]
        highest = min(self._support[1], 0.0) if (reward <= 0.0).all() else self._support[1]
        least, most = float((returns + weight * lowest).max()), float((returns + weight * highest).min())
        if least > self._within[1] or most < self._within[0]:
            low, high = float(returns.min()), float(returns.max())
            self._warn(low, high, "were seen, of episodes that continue", "beyond", BEYOND)

    def _compare(self, low: float, high: float, how: str) -> None:
        if low < self._within[0] or high > self._within[1]:
            self._warn(low, high, how, "beyond", BEYOND)

    def _warn(self, low: float, high: float, how: str, where: str, why: str) -> None:
        margin = max(0.1 * (high - low), 1e-3 * max(abs(low), abs(high)))
        least, most = self._support
        # What was not left stays: returns grow as the agent learns.
        lower = f"{least:g}" if where == "beyond" and low >= least else _rounded(low - margin, up=False)
        upper = f"{most:g}" if where == "beyond" and high <= most else _rounded(high + margin, up=True)
        if where == "beyond":
            self._within = min(self._within[0], float(lower)), max(self._within[1], float(upper))
        logger.warning(
            "Discounted returns from %.4g to %.4g %s, %s the support of the distribution, min_q_value=%g to max_q_value=%g. "
            "%s. For the returns so far, min_q_value=%s and max_q_value=%s would do: leave room for better ones, and train "
            "from the start; or scale the rewards.",
            low,
            high,
            how,
            where,
            *self._support,
            why,
            lower,
            upper,
        )


def discounted_returns(
    reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, discount: float
) -> tuple[np.ndarray, np.ndarray]:
    """The discounted return from each step on as far as it is known, and the weight of what is not, both `[T, N]`.

    That is what comes after the window, and after a truncation.

    Args:
        reward: of consecutive steps, `[T, N]`.
        terminated: where an episode terminated, `[T, N]`.
        truncated: where an episode was truncated, `[T, N]`.
        discount: per step.
    """
    goes_on, is_cut = terminated == 0.0, truncated != 0.0
    factor = discount * (goes_on & ~is_cut)
    returns, _ = _solved(factor, reward)
    weights, of_the_last = _solved(factor, discount * (goes_on & is_cut))
    return returns, weights + of_the_last


def _solved(factor: np.ndarray, term: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`x` of `x[t] = term[t] + factor[t] * x[t + 1]`, as a part for `x[T] = 0` and what `x[T]` is multiplied by, `[T, ...]`.

    Each pass doubles the steps that are looked ahead, as in a parallel scan: a loop over the steps takes 50 times as long.
    """
    factor, term = np.array(factor, np.float64), np.array(term, np.float64)
    ahead = 1
    while ahead < len(term):
        term[:-ahead] += factor[:-ahead] * term[ahead:]
        factor[:-ahead] *= factor[ahead:]
        ahead *= 2
    return term, factor


def _rounded(value: float, up: bool) -> str:
    """A value rounded outwards to two digits."""
    if value == 0.0:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return f"{(math.ceil if up else math.floor)(value / unit) * unit:.6g}"
