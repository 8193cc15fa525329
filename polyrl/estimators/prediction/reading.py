"""What an agent does with the checkpoints in its `model_dir`, apart from training."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from polyrl.demos import Demonstrations
from polyrl.envs.gym import EnvLike
from polyrl.estimators.checkpoints.manager import CheckpointManager
from polyrl.estimators.checkpoints.variables import CheckpointVariables
from polyrl.estimators.events import EventFiles
from polyrl.estimators.model_errors import public
from polyrl.estimators.names import READ, checked_run_name
from polyrl.estimators.prediction.predictor import Predictor
from polyrl.estimators.prediction.readers import Readers


class Reading:
    """The methods of an agent that read checkpoints: evaluate, predict, act, record.

    Attributes:
        checkpoints: those of the `model_dir`.
    """

    checkpoints: CheckpointManager
    _readers: Readers
    _events: EventFiles

    @public(READ)
    def predictor(self, checkpoint: str | os.PathLike[str] | None = None) -> Predictor:
        """The model of a checkpoint, apart from training: with weights and random numbers of its own.

        Args:
            checkpoint: `'latest'` (the default), `'best'`, or a checkpoint's path.

        Raises:
            NotTrainedError: if there is no such checkpoint.
        """
        return self._readers.new(checkpoint)

    @public(READ)
    def evaluate(
        self,
        env: EnvLike,
        episodes: int = 100,
        checkpoint: str | os.PathLike[str] | None = None,
        name: str | None = None,
    ) -> dict[str, float]:
        """Runs greedy episodes with a checkpoint's weights, and writes the result to the TensorBoard run `eval`.

        Args:
            env: as for `train`; up to 20 instances of a `GymEnvironment` run side by side.
            episodes: how many episodes.
            checkpoint: `'latest'` (the default), `'best'`, or a checkpoint's path.
            name: writes to `eval_<name>` instead, to keep several evaluations apart.

        Returns:
            What `Predictor.evaluate` returns.

        Raises:
            NotTrainedError: if there is no such checkpoint.
        """
        run = "eval" if name is None else f"eval_{checked_run_name(name)}"
        result = self._readers.get(checkpoint).evaluate(env, episodes, run)
        self._events.write_evaluation(run, result)
        return result

    @public(READ)
    def predict(
        self,
        env: EnvLike,
        episodes: int | None = None,
        steps: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Acts by the policy of PREDICT mode, and yields one dict for each environment step, as `Predictor.predict` does.

        Args:
            env: as for `train`; one instance of a `GymEnvironment` is opened.
            episodes: ends after this number of episodes.
            steps: ends after this number of environment steps.
            checkpoint: as for `evaluate`.

        Yields:
            The predictions of the model, of which `results` is the action as the environment takes it, `index` a discrete
            action counted from 0, and `q` the values; with `state`, `reward`, `done`, `truncated`, `episode`, `env` and
            `timestep`.

        Raises:
            NotTrainedError: if there is no such checkpoint.
        """
        return self._readers.get(checkpoint).predict(env, episodes, steps)

    @public(READ)
    def record(self, env: EnvLike, episodes: int, checkpoint: str | os.PathLike[str] | None = None) -> Demonstrations:
        """Plays greedy episodes and gives them as demonstrations: `Predictor.record` with a checkpoint's weights."""
        return self._readers.get(checkpoint).record(env, episodes)

    @public(READ)
    def act(self, state: Any, checkpoint: str | os.PathLike[str] | None = None) -> Any:
        """The action for one state or a batch of states: `Predictor.act` with a checkpoint's weights."""
        return self._readers.get(checkpoint).act(state)

    def latest_checkpoint(self) -> str | None:
        """The path of the newest checkpoint, or None."""
        path = self.checkpoints.latest()
        return None if path is None else str(path)

    @public(READ)
    def get_variable_names(self, checkpoint: str | os.PathLike[str] | None = None) -> list[str]:
        """The names of the variables of all networks, as `DQN/online/dense/kernel`, and of the counters, in a checkpoint."""
        return [*CheckpointVariables(self.checkpoints.readable(checkpoint)).shapes]

    @public(READ)
    def get_variable_value(self, name: str, checkpoint: str | os.PathLike[str] | None = None) -> np.ndarray:
        """The value of a variable in a checkpoint; a ValueError with the nearest name if there is none."""
        return CheckpointVariables(self.checkpoints.readable(checkpoint)).value(name)

    @public(READ)
    def get_variable_values(
        self, names: Sequence[str] | None = None, checkpoint: str | os.PathLike[str] | None = None
    ) -> dict[str, np.ndarray]:
        """The values of variables in a checkpoint by their names, of all by default; a ValueError as `get_variable_value`."""
        if isinstance(names, str):
            raise TypeError(f"names={names!r} must be a list of names; get_variable_value takes a single one.")
        variables = CheckpointVariables(self.checkpoints.readable(checkpoint))
        return {name: variables.value(name) for name in (variables.shapes if names is None else names)}
