"""`SupportHook`: compares the returns that are seen with the values that a distribution over returns can have."""

from __future__ import annotations

import logging
import math

import numpy as np

from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.replay import Replay

logger = logging.getLogger("polyrl")

FIRST = 1_000
"""Environment steps before the first look; the next ones come after twice, four times, ... as many."""

NARROW_FROM = 16_000
"""Environment steps from which returns may be called small: before them, few rewards may have been found."""

STEPS = 10_000
"""How many of the newest steps of each environment are looked at."""


class SupportHook(Hook):
    """Warns once if discounted returns leave the support, or if they use less than a tenth of it.

    Outside of the support no return can be told from its end; and where all returns lie between a few atoms, the distribution
    says little. Both learn, badly, and without another sign. It looks at the returns of all states in the newest episodes.

    Args:
        memory: holds the rewards.
        min_q_value: the lowest value of the support.
        max_q_value: the highest.
        discount: per step.
    """

    def __init__(self, memory: Replay, min_q_value: float, max_q_value: float, discount: float):
        self._memory, self._support, self._discount = memory, (min_q_value, max_q_value), discount
        self._next, self._warned = FIRST, False
        self._low, self._high = math.inf, -math.inf

    def begin(self, run: RunContext) -> None:
        while self._next <= run.timestep:
            self._next *= 2

    def after_act(self, run: RunContext) -> None:
        if run.timestep < self._next or self._warned:
            return
        while self._next <= run.timestep:
            self._next *= 2
        if run.stored == 0:  # Brings the memory up to date.
            return
        reward, ended = self._memory.newest(STEPS)
        found = discounted_returns(reward.numpy(), ended.numpy(), self._discount)
        if found.size == 0:
            return
        self._low, self._high = min(self._low, float(found.min())), max(self._high, float(found.max()))
        (lowest, highest), width = self._support, self._high - self._low
        margin = max(0.1 * width, 1e-3 * max(abs(self._low), abs(self._high)))
        wanted = (
            f"--min_q_value={_rounded(self._low - margin, up=False)} --max_q_value={_rounded(self._high + margin, up=True)}"
        )
        if self._low < lowest or self._high > highest:
            self._warn("beyond", "A return outside of it cannot be told from its end", wanted)
        elif run.timestep >= NARROW_FROM and 0.0 < width < 0.1 * (highest - lowest):
            self._warn("in less than a tenth of", "Most atoms have nothing to say", wanted)

    def _warn(self, where: str, why: str, wanted: str) -> None:
        self._warned = True
        logger.warning(
            "Discounted returns from %.4g to %.4g were seen, %s the support of the distribution, min_q_value=%g to "
            "max_q_value=%g. %s. For the returns so far, %s would do; train from the start with them, or scale the rewards.",
            self._low,
            self._high,
            where,
            *self._support,
            why,
            wanted,
        )


def discounted_returns(reward: np.ndarray, ended: np.ndarray, discount: float) -> np.ndarray:
    """The discounted return from each step on, `[M]`, of those steps of which it is known.

    It is if the episode ended in the window, or if what comes after the window counts for less than a tenth.

    Args:
        reward: of consecutive steps, `[T, N]`.
        ended: where an episode ended, `[T, N]`.
        discount: per step.
    """
    steps, envs = reward.shape
    returns = np.zeros([steps, envs])
    next_return, weight = np.zeros(envs), np.ones(envs)  # Weight of what comes after the window.
    known = np.zeros([steps, envs], np.bool_)
    for step in reversed(range(steps)):
        continues = ended[step] == 0.0
        next_return = reward[step] + discount * next_return * continues
        weight = discount * weight * continues
        returns[step], known[step] = next_return, weight < 0.1
    return returns[known]


def _rounded(value: float, up: bool) -> str:
    """A value rounded outwards to two digits."""
    if value == 0.0:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return f"{(math.ceil if up else math.floor)(value / unit) * unit:.6g}"
