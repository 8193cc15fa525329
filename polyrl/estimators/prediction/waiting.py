"""What is said while episodes are played that nobody sees, as in an evaluation."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("polyrl")

EVERY = 10.0
"""Seconds between two lines."""

MANY_STEPS = 10_000
"""If no episode has ended after so many environment steps, perhaps none will."""


class Waiting:
    """Says every ten seconds how far it is; and if no episode ends, what that may be.

    Args:
        what: is done, as the line begins.
        episodes: that it is for.
    """

    def __init__(self, what: str, episodes: int):
        self._what, self._episodes = what, episodes
        self._next = time.monotonic() + EVERY
        self._steps = 0

    def step(self, environments: int, ended: int) -> None:
        """To be called after each step of all environments; `ended` episodes there are so far."""
        self._steps += environments
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        far = f"{self._what}: {ended} of {self._episodes} episodes have ended after {self._steps:,} environment steps."
        if ended == 0 and self._steps >= MANY_STEPS:
            logger.warning(
                "%s If they have no end, give the environment a limit: gymnasium.wrappers.TimeLimit(env, max_episode_steps), "
                "or register it with max_episode_steps.",
                far,
            )
        else:
            logger.info("%s", far)
