"""`train_and_evaluate`, with a `TrainSpec` and an `EvalSpec`, as tf.estimator has it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from polyrl.envs.gym import EnvLike
from polyrl.estimators.agent import Agent
from polyrl.estimators.cadence import evaluation_cadence
from polyrl.estimators.exporters import Exporter
from polyrl.estimators.hooks import EvaluationHook, ExportHook, Hook
from polyrl.estimators.hooks.base import checked_hooks
from polyrl.estimators.hooks.export import checked_exporters
from polyrl.estimators.names import EVAL_SPEC, TRAIN_SPEC, checked_run_name
from polyrl.estimators.training_result import TrainingResult
from polyrl.validation import check_float, check_int, explains


@explains(TRAIN_SPEC)
@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """What to train on, and how long in all; see `Agent.train`, which refuses what does not fit together.

    Args:
        env: the environment.
        max_steps: gradient updates in all, over all calls.
        max_timesteps: environment steps in all.
        max_episodes: episodes in all.
        hooks: of the training.
        first_update, update_frequency, updates_at_once, pretrain_updates: when it learns, as of `Agent.train`.
    """

    env: EnvLike
    max_steps: int | None = None
    max_timesteps: int | None = None
    max_episodes: int | None = None
    hooks: Sequence[Hook] = ()
    first_update: int = 1_000
    update_frequency: int = 1
    updates_at_once: int = 1
    pretrain_updates: int = 0

    def __post_init__(self) -> None:
        _check_is_given("TrainSpec", self.env)
        for name in ("max_steps", "max_timesteps", "max_episodes"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), minimum=1)
        checked_hooks("hooks", self.hooks)


@explains(EVAL_SPEC)
@dataclasses.dataclass(frozen=True)
class EvalSpec:
    """What to evaluate on, how often, and what is exported then.

    Args:
        env: the environment; not the instance that is trained on.
        episodes: of each evaluation while training.
        every_timesteps: environment steps between them; None: a twenty-fifth of the budget, but from 800 to 2,000.
        final_episodes: of the evaluation at the end, by default as many.
        name: of the TensorBoard run of the evaluation at the end, `eval_<name>`; None: `eval`.
        exporters: see `polyrl.estimators.exporters`.
        stop_at_reward: training ends when an evaluation has at least this mean reward; None: never.
    """

    env: EnvLike
    episodes: int = 20
    every_timesteps: int | None = None
    final_episodes: int | None = None
    name: str | None = None
    exporters: Sequence[Exporter] = ()
    stop_at_reward: float | None = None

    def __post_init__(self) -> None:
        _check_is_given("EvalSpec", self.env)
        check_int("episodes", self.episodes, minimum=1)
        for name in ("every_timesteps", "final_episodes"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), minimum=1)
        if self.name is not None:
            checked_run_name(self.name)
        checked_exporters(self.exporters)
        if self.stop_at_reward is not None:
            check_float("stop_at_reward", self.stop_at_reward)


class Trained(NamedTuple):
    """What `train_and_evaluate` came to.

    `evaluation` is None for a run that a signal interrupted. `exports` are what the exporters wrote in this call, the oldest
    first, but for what `exports_to_keep` has removed: the directories `export/<name of the exporter>/<version>`.
    """

    training: TrainingResult
    evaluation: dict[str, float] | None
    exports: list[Path]


def _check_is_given(owner: str, env: Any) -> None:
    if env is None:
        raise TypeError(
            f"{owner}: env=None must be an environment: an id, a GymEnvironment, a CompiledEnvironment, or an open one."
        )


@explains({"estimator": "Use agent."})
def train_and_evaluate(agent: Agent, train_spec: TrainSpec, eval_spec: EvalSpec) -> Trained:
    """Trains to the budget with evaluations on the way, keeps the best, and evaluates the weights of the end.

    The exporters are offered each evaluated checkpoint, and the last one as the final one. A run whose budget is used up is
    evaluated, and not trained; nothing is exported twice.

    Returns:
        The `TrainingResult`, the evaluation of the weights of the end, as `Agent.evaluate` returns it, and the exports. For
        the best weights of the run there is `agent.evaluate(env, episodes, "best")`.

    Raises:
        TypeError: if an argument is of another type.
    """
    for name, value, kind in (
        ("agent", agent, Agent),
        ("train_spec", train_spec, TrainSpec),
        ("eval_spec", eval_spec, EvalSpec),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{name}={value!r} must be {'an' if kind.__name__[0] in 'AE' else 'a'} {kind.__name__}.")
    every = evaluation_cadence(eval_spec.every_timesteps, train_spec.max_timesteps)
    evaluating = EvaluationHook(eval_spec.env, every, eval_spec.episodes, eval_spec.stop_at_reward)
    exporting = ExportHook(agent, eval_spec.exporters)
    given: dict[str, Any] = {field.name: getattr(train_spec, field.name) for field in dataclasses.fields(train_spec)}
    hooks = [*(given.pop("hooks") or ()), evaluating, exporting]
    training = agent.train(given.pop("env"), hooks=hooks, **given)
    if training.signal is not None:
        return Trained(training, None, exporting.exported)
    episodes = eval_spec.episodes if eval_spec.final_episodes is None else eval_spec.final_episodes
    evaluation = agent.evaluate(eval_spec.env, episodes, "latest", eval_spec.name)
    exporting.export_final(training.checkpoint, evaluation)
    return Trained(training, evaluation, exporting.exported)
