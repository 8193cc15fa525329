"""`RLExperiment`: an agent, an environment, and the schedules they can be run in."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from polyrl.envs.gym import EnvLike
from polyrl.estimators import Agent, TrainingResult
from polyrl.estimators.checkpoints import read_state
from polyrl.estimators.hooks import EvaluationHook, Hook
from polyrl.experiments import report
from polyrl.validation import check_float, check_int

logger = logging.getLogger("polyrl")


class RLExperiment:
    """What to train on, for how long, and how to evaluate it.

    Args:
        agent: the agent.
        env: a `GymEnvironment`, or anything else that `Agent.train` takes.
        train_steps: gradient updates in all.
        train_episodes: episodes in all.
        train_timesteps: environment steps in all.
        first_update: environment steps before the first update.
        update_frequency: environment steps for each update.
        pretrain_updates: gradient updates on demonstrations before the first environment step, see `Agent.train`.
        train_hooks: hooks of the training runs.
        eval_env: what to evaluate and to infer on, `env` by default.
        eval_episodes: episodes of an evaluation.
        eval_frequency: environment steps between two evaluations while training.
        eval_episodes_while_training: episodes of those.
        stop_at_reward: training ends when one of those has at least this mean reward; None: never.
        infer_episodes: episodes of `infer`.
        infer_output: `infer` writes one JSON line for each step to this file; None: none.
        checkpoint: what `evaluate` and `infer` read: `'best'`, `'latest'` or a path. By default the best if there is one.
        throttle_secs: `continuous_eval` looks for a new checkpoint that often.
    """

    SCHEDULES: Final = (
        "train",
        "evaluate",
        "infer",
        "train_and_evaluate",
        "continuous_eval",
        "continuous_train_and_eval",
    )

    def __init__(
        self,
        agent: Agent,
        env: EnvLike,
        train_steps: int | None = None,
        train_episodes: int | None = None,
        train_timesteps: int | None = None,
        first_update: int = 1_000,
        update_frequency: int = 1,
        train_hooks: Sequence[Hook] = (),
        eval_env: EnvLike | None = None,
        eval_episodes: int = 100,
        eval_frequency: int = 2_000,
        eval_episodes_while_training: int = 20,
        stop_at_reward: float | None = None,
        infer_episodes: int = 5,
        infer_output: str | os.PathLike[str] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        throttle_secs: float = 5.0,
        *,
        pretrain_updates: int = 0,
    ):
        if not isinstance(agent, Agent):
            raise TypeError(f"agent={agent!r} must be an Agent.")
        self.agent = agent
        self._env = env
        self._budget = {"max_steps": train_steps, "max_episodes": train_episodes, "max_timesteps": train_timesteps}
        self._first_update, self._update_frequency = first_update, update_frequency
        self._pretrain_updates = check_int("pretrain_updates", pretrain_updates, minimum=0)
        self._train_hooks = list(train_hooks)
        self._eval_env = env if eval_env is None else eval_env
        self._eval_episodes = check_int("eval_episodes", eval_episodes, minimum=1)
        self._eval_frequency = check_int("eval_frequency", eval_frequency, minimum=1)
        self._eval_while = check_int("eval_episodes_while_training", eval_episodes_while_training, minimum=1)
        self._stop_at_reward = None if stop_at_reward is None else check_float("stop_at_reward", stop_at_reward)
        self._infer_episodes = check_int("infer_episodes", infer_episodes, minimum=1)
        self._infer_output = None if infer_output is None else Path(infer_output)
        self._checkpoint = checkpoint
        self._throttle_secs = check_float("throttle_secs", throttle_secs, minimum=0.0)

    @property
    def env(self) -> EnvLike:
        """What is trained on."""
        return self._env

    def train(self) -> TrainingResult:
        """Trains to the budget, without evaluations."""
        return self._train(self._train_hooks, self._budget)

    def evaluate(self) -> dict[str, float]:
        """Evaluates the checkpoint once; prints a table, and writes the TensorBoard run `eval`."""
        path = self._find()
        result = self.agent.evaluate(self._eval_env, self._eval_episodes, path)
        report.print_evaluation(result, path, self._eval_episodes)
        return result

    def infer(self) -> dict[str, float]:
        """Acts for some episodes by the policy of PREDICT mode; writes JSON lines if asked, and prints a summary."""
        path = self._find()
        steps = self.agent.predict(self._eval_env, episodes=self._infer_episodes, checkpoint=path)
        return report.write_predictions(steps, self._infer_output, path)

    def train_and_evaluate(self) -> tuple[TrainingResult, dict[str, float] | None]:
        """Trains with evaluations at every `eval_frequency`, keeping the best, then evaluates that one.

        A run that a signal interrupted ends without the last evaluation.
        """
        hook = EvaluationHook(self._eval_env, self._eval_frequency, self._eval_while, self._stop_at_reward)
        result = self._train([*self._train_hooks, hook], self._budget)
        return result, None if result.signal is not None else self.evaluate()

    def continuous_eval(self, predicate_fn: Callable[[dict[str, float]], bool] | None = None) -> dict[str, float]:
        """Evaluates each new checkpoint, as another process writes them, until the training budget is reached.

        Args:
            predicate_fn: told each result; evaluation ends when it returns False.
        """
        seen: Path | None = None
        waiting = time.monotonic()
        while True:
            path = self.agent.checkpoints.latest()
            if path is None or path == seen:
                if time.monotonic() - waiting > 600:
                    logger.warning("No new checkpoint in %s for ten minutes; still waiting.", self.agent.model_dir)
                    waiting = time.monotonic()
                time.sleep(self._throttle_secs)
                continue
            seen, waiting = path, time.monotonic()
            result = self.agent.evaluate(self._eval_env, self._eval_episodes, path, name="continuous")
            report.print_evaluation(result, path, self._eval_episodes)
            if self._finished(result) or (predicate_fn is not None and not predicate_fn(result)):
                return result

    def continuous_train_and_eval(
        self, predicate_fn: Callable[[dict[str, float]], bool] | None = None
    ) -> tuple[TrainingResult, dict[str, float] | None]:
        """Alternates `eval_frequency` environment steps of training and a whole evaluation until the budget is reached.

        Args:
            predicate_fn: told each result; the alternation ends when it returns False.
        """
        while True:
            latest = self.agent.checkpoints.latest()
            goal = (0 if latest is None else read_state(latest)["global_timestep"]) + self._eval_frequency
            limit = self._budget["max_timesteps"]
            budget = {**self._budget, "max_timesteps": goal if limit is None else min(goal, limit)}
            training = self._train(self._train_hooks, budget)
            if training.signal is not None:
                return training, None
            result = self.agent.evaluate(self._eval_env, self._eval_episodes, "latest", name="continuous")
            report.print_evaluation(result, training.checkpoint, self._eval_episodes)
            solved = self._stop_at_reward is not None and result["mean_reward"] >= self._stop_at_reward
            stopped = predicate_fn is not None and not predicate_fn(result)
            if self._finished(result) or solved or stopped:
                return training, result

    def _train(self, hooks: Sequence[Hook], budget: dict[str, int | None]) -> TrainingResult:
        result = self.agent.train(
            self._env,
            first_update=self._first_update,
            update_frequency=self._update_frequency,
            hooks=hooks,
            pretrain_updates=self._pretrain_updates,
            **budget,
        )
        report.print_training(result)
        return result

    def _finished(self, counters: dict[str, Any]) -> bool:
        """Whether the checkpoint with these counters is at the end of the budget."""
        units = {"max_steps": "global_step", "max_episodes": "global_episode", "max_timesteps": "global_timestep"}
        return any(limit is not None and counters[units[name]] >= limit for name, limit in self._budget.items())

    def _find(self) -> Path:
        checkpoints = self.agent.checkpoints
        if self._checkpoint is None and checkpoints.best() is not None:
            return checkpoints.find("best")
        return checkpoints.find(self._checkpoint)
