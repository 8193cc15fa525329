"""`EnvironmentLog`: how environments in Python come back to where they were."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.envs import EnvDriver
from polyrl.envs.states import give_vector_states, read_values, vector_states, write_values
from polyrl.envs.whole_states import are_whole, give_whole_states, whole_states
from polyrl.models.scope import stream_seed
from polyrl.validation import sentence

logger = logging.getLogger("polyrl")

FILE = "environment.npz"


class EnvironmentLog:
    """Resets environments with known seeds, and notes the actions since: doing these again brings the environments back.

    It holds for environments that their seed and their actions determine. That they have come back is seen by their states.
    Environments that can be saved in mid-episode, see `polyrl.envs.whole_states`, are saved as they are instead.

    Args:
        driver: of the environments.
        seed: the run's root seed.
        keeps_actions: whether actions are noted; without them, the environments start new episodes in a resumed run.

    Attributes:
        are_whole: whether the environments can be saved in mid-episode; then no actions are noted.
        started_at: the environment steps of the last reset; -1 if it has to be done again.
    """

    def __init__(self, driver: EnvDriver, seed: int, keeps_actions: bool):
        self.are_whole = are_whole(driver.env)
        self._driver, self._seed, self._keeps_actions = driver, seed, keeps_actions and not self.are_whole
        self._actions, self._noted = np.zeros([0]), 0
        self.started_at = -1

    def reset(self, timestep: int) -> None:
        """Starts episodes that follow from the root seed and the timestep: a resumed run plays others than it had before."""
        self._layers = vector_states(self._driver.env)
        names = [f"environment/{index}/{timestep}" for index in range(self._driver.num_envs)]
        self._driver.reset([stream_seed(self._seed, name)[0] for name in names])
        self._noted = 0
        self.started_at = timestep

    def note(self, actions: np.ndarray) -> None:
        """Notes actions `[N, ...]` that are taken now."""
        if not self._keeps_actions:
            return
        if self._noted == len(self._actions):
            # Twice as many rows. Copies, in one block: to keep what a call returned would keep all of its outputs from reuse.
            more = np.zeros([max(self._noted, 1_000), *actions.shape], actions.dtype)
            self._actions = np.concatenate([self._actions, more]) if self._noted else more
        self._actions[self._noted] = actions
        self._noted += 1

    def write(self, directory: Path, more: dict[str, Any] | None) -> None:
        """Writes what brings the environments back.

        Args:
            directory: of the checkpoint.
            more: what `read` shall return. None: the environments start new episodes next, and only what their wrappers keep
                is written.
        """
        values: dict[str, Any]
        if more is not None and self.are_whole:
            values = {"whole": whole_states(self._driver.env), "driver": self._driver.get_state(), "more": more}
        elif more is None or not self._keeps_actions:
            layers = vector_states(self._driver.env)
            values = {"layers": layers} if any(layers.values()) else {}
        else:
            actions = self._actions[: self._noted]
            states = tf.nest.flatten(self._driver.state)
            values = {
                "layers": self._layers,
                "started_at": self.started_at,
                "actions": actions,
                "states": states,
                "more": more,
            }
        if values:
            write_values(directory / FILE, values)

    def read(self, directory: Path) -> dict[str, Any] | None:
        """Brings the environments back, and returns what was written with them; None if they start new episodes."""
        if not (directory / FILE).exists():
            return None
        values = read_values(directory / FILE)
        if "whole" in values:
            return self._read_whole(directory, values)
        give_vector_states(self._driver.env, values["layers"])
        self.started_at = -1
        if "actions" not in values:
            return None
        why = self._take_again(values)
        if why is None:
            return values["more"]
        logger.warning(
            "The environments did not come back to where they were at %s: %s. They start new episodes, so the resumed run is "
            "not the run before bit for bit.",
            directory,
            why,
        )
        self.started_at = -1
        return None

    def _take_again(self, values: dict[str, Any]) -> str | None:
        """Takes the noted actions from the noted reset on; says why this leads to other states, None if it does not."""
        self.reset(values["started_at"])
        try:
            for actions in values["actions"]:
                self._driver.step(actions)
                self.note(actions)
        except Exception as error:  # Whatever an environment raises for an action that was legal in another one.
            return f"one of them has another state than then, and raised {type(error).__name__}: {sentence(error)}".rstrip(".")
        same = all(map(np.array_equal, tf.nest.flatten(self._driver.state), values["states"]))
        return None if same else "their seeds and actions do not determine them"

    def _read_whole(self, directory: Path, values: dict[str, Any]) -> dict[str, Any] | None:
        try:
            if not self.are_whole:
                raise ValueError("some of their layers do not say that they can be saved in mid-episode")
            give_whole_states(self._driver.env, values["whole"])
        except ValueError as error:
            logger.warning(
                "The environments cannot continue where they were at %s: %s. They start new episodes, so the resumed run is "
                "not the run before bit for bit.",
                directory,
                error,
            )
            return None
        self._driver.set_state(values["driver"])
        return values["more"]
