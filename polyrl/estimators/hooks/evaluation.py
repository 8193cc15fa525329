"""The hook that evaluates while training, keeps the best, and stops when it is good enough."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from polyrl.envs.gym import EnvLike
from polyrl.envs.in_use import check_free
from polyrl.estimators.hooks.base import Cadence, Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.validation import check_float, check_int, explains

logger = logging.getLogger("polyrl")

HINTS = {
    **dict.fromkeys(("eval_freq", "every", "every_steps", "frequency", "interval"), "Use every_timesteps, environment steps."),
    **dict.fromkeys(("eval_env", "environment"), "Use env."),
    **dict.fromkeys(("n_eval_episodes", "num_episodes", "eval_episodes"), "Use episodes."),
    "reward_threshold": "Use stop_at_reward.",
    "best_model_save_path": "The best checkpoint is kept in model_dir/best.",
    "deterministic": "Actions are those of the model's policy in mode 'infer'; its temperature=0 is greedy.",
}
"""What arguments of other libraries' evaluation callbacks are called here."""


class _Evaluating(Hook):
    """Evaluates on environments of its own. An evaluation that a signal abandons is owed: the resumed run makes up for it."""

    def __init__(self, env: EnvLike, every_timesteps: int, episodes: int, stop_at_reward: float | None):
        self.env = env
        self.every_timesteps = check_int("every_timesteps", every_timesteps, minimum=1)
        self._cadence = Cadence(self.every_timesteps)
        self._episodes = check_int("episodes", episodes, minimum=1)
        self._stop_at_reward = None if stop_at_reward is None else check_float("stop_at_reward", stop_at_reward)
        self._is_owed = False

    def begin(self, run: RunContext) -> None:
        check_free(self.env, "evaluation")
        self._cadence.start(run.timestep)

    def get_state(self) -> dict[str, Any]:
        return {"is_owed": self._is_owed}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._is_owed = state["is_owed"]

    def _result(self, run: RunContext, name: str | None = None) -> dict[str, float]:
        self._is_owed = True
        result = run.evaluate(self.env, self._episodes, name)
        self._is_owed = False
        return result


@explains(HINTS)
class EvaluationHook(_Evaluating):
    """Evaluates every `every_timesteps` environment steps on environments of its own, from the first update on.

    The best mean reward so far decides what `model_dir/best` holds; it is read from there, so a resumed run keeps it.

    Args:
        env: what to evaluate on; not the instance that is trained on.
        every_timesteps: environment steps between two evaluations.
        episodes: episodes of one evaluation.
        stop_at_reward: stop training when the mean reward of an evaluation is at least this; None: never.
    """

    def __init__(self, env: EnvLike, every_timesteps: int, episodes: int = 20, stop_at_reward: float | None = None):
        super().__init__(env, every_timesteps, episodes, stop_at_reward)
        self._left_out = False

    def begin(self, run: RunContext) -> None:
        super().begin(run)
        best = run.best_score
        if best is not None and self._stop_at_reward is not None and best >= self._stop_at_reward:
            reached = f"the best evaluation's mean reward {round(best, 3)}"
            run.request_stop(f"solved before: {reached} is at least stop_at_reward={self._stop_at_reward:g}")
        elif self._is_owed:
            self._evaluate(run)

    def after_act(self, run: RunContext) -> None:
        if not self._cadence.due(run.timestep):
            return
        if run.step > 0:
            self._evaluate(run)
        elif not self._left_out:
            self._left_out = True
            logger.info("No evaluation at step %d: nothing is evaluated before the first update.", run.timestep)

    def _evaluate(self, run: RunContext) -> None:
        result = self._result(run)
        mean = result["mean_reward"]
        best = run.best_score
        if mean >= (-math.inf if best is None else best):
            run.save_best(mean)
        if self._stop_at_reward is not None and mean >= self._stop_at_reward:
            reached = f"mean reward {round(mean, 3)} of {self._episodes} evaluation episodes"
            run.request_stop(f"solved: {reached} is at least stop_at_reward={self._stop_at_reward:g}")


@explains(HINTS)
class WholeEvaluationHook(_Evaluating):
    """Evaluates every `every_timesteps` environment steps, with a checkpoint, into the TensorBoard run `eval_continuous`.

    Args:
        env: what to evaluate on; not the instance that is trained on.
        every_timesteps: environment steps between two evaluations.
        episodes: episodes of one evaluation.
        stop_at_reward: stop training when the mean reward of an evaluation is at least this; None: never.
        continues: told each result; training ends when it returns False.

    Attributes:
        last: the last result, or None.
    """

    def __init__(
        self,
        env: EnvLike,
        every_timesteps: int,
        episodes: int,
        stop_at_reward: float | None,
        continues: Callable[[dict[str, float]], bool],
    ):
        super().__init__(env, every_timesteps, episodes, stop_at_reward)
        self._continues = continues
        self.last: dict[str, float] | None = None

    def begin(self, run: RunContext) -> None:
        super().begin(run)
        if self._is_owed:
            self._evaluate(run)

    def after_act(self, run: RunContext) -> None:
        if self._cadence.due(run.timestep):
            run.request_checkpoint()
            self._evaluate(run)

    def _evaluate(self, run: RunContext) -> None:
        self.last = self._result(run, "continuous")
        if self._stop_at_reward is not None and self.last["mean_reward"] >= self._stop_at_reward:
            reached = f"mean reward {round(self.last['mean_reward'], 3)}"
            run.request_stop(f"solved: {reached} is at least stop_at_reward={self._stop_at_reward:g}")
        if not self._continues(self.last):
            run.request_stop("stopped by predicate_fn")


def evaluates_every(hooks: Iterable[Hook]) -> int | None:
    """Environment steps between the evaluations of a run; None if it has none."""
    return min((hook.every_timesteps for hook in hooks if isinstance(hook, _Evaluating)), default=None)


def evaluated_on(hooks: Iterable[Hook]) -> list[EnvLike]:
    """The environments of the hooks that evaluate."""
    return [hook.env for hook in hooks if isinstance(hook, _Evaluating)]
