"""The hook that evaluates while training, keeps the best, and stops when it is good enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from polyrl.envs.gym import EnvLike
from polyrl.estimators.hooks.base import Cadence, Hook
from polyrl.validation import check_float, check_int

if TYPE_CHECKING:
    from polyrl.estimators.training import TrainingRun


class EvaluationHook(Hook):
    """Evaluates every so many environment steps on environments of its own.

    The best mean reward so far decides what `model_dir/best` holds; it is read from there, so a resumed run keeps it.

    Args:
        env: what to evaluate on.
        every_timesteps: environment steps between two evaluations.
        episodes: episodes of one evaluation.
        stop_at_reward: stop training when the mean reward of an evaluation is at least this; None: never.
    """

    def __init__(self, env: EnvLike, every_timesteps: int, episodes: int = 20, stop_at_reward: float | None = None):
        self._env = env
        self._cadence = Cadence(check_int("every_timesteps", every_timesteps, minimum=1))
        self._episodes = check_int("episodes", episodes, minimum=1)
        self._stop_at_reward = None if stop_at_reward is None else check_float("stop_at_reward", stop_at_reward)

    def begin(self, run: TrainingRun) -> None:
        self._cadence.start(run.timestep)
        best = run.checkpoints.best_score()
        if best is not None and self._stop_at_reward is not None and best >= self._stop_at_reward:
            run.request_stop(f"solved before: the best evaluation's mean reward {best:.1f} is at least {self._stop_at_reward}")

    def after_act(self, run: TrainingRun) -> None:
        if not self._cadence.due(run.timestep) or run.step == 0:
            return
        result = run.evaluate(self._env, self._episodes)
        mean = result["mean_reward"]
        best = run.checkpoints.best_score()
        if mean >= (-math.inf if best is None else best):
            run.save_best(mean)
        if self._stop_at_reward is not None and mean >= self._stop_at_reward:
            run.request_stop(
                f"solved: mean reward {mean:.1f} of {self._episodes} evaluation episodes is at least {self._stop_at_reward}"
            )
