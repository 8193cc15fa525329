"""`RLExperiment`: an agent, an environment, and the schedules to run them in; `run_experiment`, the entry of scripts."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from polyrl.envs import film, film_files
from polyrl.envs.gym import EnvLike
from polyrl.errors import NotTrainedError
from polyrl.estimators import Agent, TrainingResult, WarmStartSettings, tf_config
from polyrl.estimators.cadence import evaluation_cadence
from polyrl.estimators.exporters import Exporter
from polyrl.estimators.hooks import EvaluationHook, ExportHook, Hook, WholeEvaluationHook
from polyrl.estimators.hooks.export import checked_exporters
from polyrl.estimators.names import EXPERIMENT
from polyrl.experiments import report
from polyrl.experiments.ending import ended, finished
from polyrl.experiments.serving import Serving, export, serve
from polyrl.paths import resolved
from polyrl.serving.versions import newest
from polyrl.validation import check_float, check_int, explains, suggestion

logger = logging.getLogger("polyrl")

ALIASES = {
    "eval": "evaluate",
    "train_and_eval": "train_and_evaluate",
    "continuous_train_and_evaluate": "continuous_train_and_eval",
}


@explains(EXPERIMENT)
class RLExperiment:
    """What to train on, for how long, and how to evaluate it.

    Args:
        agent: the agent.
        env: a `GymEnvironment`, or anything else that `Agent.train` takes.
        train_steps: gradient updates in all.
        train_episodes: episodes in all.
        train_timesteps: environment steps in all.
        first_update: environment steps before the first update.
        update_frequency: environment steps between updates.
        updates_at_once: updates at each of these times.
        pretrain_updates: gradient updates on demonstrations before the first environment step, see `Agent.train`.
        overwrite: begin again where there is a run, see `Agent.train`.
        warm_start_from: the weights that a new run begins with, see `Agent.train`.
        train_hooks: hooks of the training runs.
        eval_env: what to evaluate and to infer on, `env` by default.
        eval_episodes: episodes of an evaluation.
        eval_frequency: environment steps between two evaluations while training; None: see `polyrl.estimators.cadence`.
        eval_episodes_while_training: episodes of those.
        stop_at_reward: training ends when one of those has at least this mean reward; None: never.
        infer_episodes: episodes of `infer`.
        infer_output: `infer` writes one JSON line for each step to this file; None: none.
        checkpoint: what is evaluated, played or exported: `'best'`, `'latest'` or a path; the best if there is one.
        record_episodes: episodes of `record`.
        record_format: of its files, `'mp4'` or `'gif'`.
        throttle_secs: `continuous_eval` looks for a new checkpoint that often.
        exporters: export what `train_and_evaluate` evaluates, to `model_dir/export`; see `polyrl.estimators.exporters`.
        serving: what `export` writes, and where `serve` listens.
    """

    SCHEDULES: Final = (
        *("train", "evaluate", "infer", "record", "train_and_evaluate"),
        *("continuous_eval", "continuous_train_and_eval", "export", "serve"),
    )

    def __init__(
        self,
        agent: Agent,
        env: EnvLike,
        *,
        train_steps: int | None = None,
        train_episodes: int | None = None,
        train_timesteps: int | None = None,
        first_update: int = 1_000,
        update_frequency: int = 1,
        updates_at_once: int = 1,
        train_hooks: Sequence[Hook] | None = (),
        eval_env: EnvLike | None = None,
        eval_episodes: int = 100,
        eval_frequency: int | None = None,
        eval_episodes_while_training: int = 20,
        stop_at_reward: float | None = None,
        infer_episodes: int = 5,
        infer_output: str | os.PathLike[str] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        throttle_secs: float = 5.0,
        pretrain_updates: int = 0,
        overwrite: bool = False,
        warm_start_from: str | os.PathLike[str] | WarmStartSettings | None = None,
        record_episodes: int = 1,
        record_format: str = "mp4",
        exporters: Sequence[Exporter] = (),
        serving: Serving | None = None,
    ):
        if not isinstance(agent, Agent):
            raise TypeError(f"agent={agent!r} must be an Agent.")
        self.agent = agent
        self._env = env
        self._budget = {"max_steps": train_steps, "max_episodes": train_episodes, "max_timesteps": train_timesteps}
        schedule = {"first_update": first_update, "update_frequency": update_frequency, "updates_at_once": updates_at_once}
        begins = {"pretrain_updates": check_int("pretrain_updates", pretrain_updates, minimum=0), "overwrite": overwrite}
        self._training: dict[str, Any] = {**self._budget, **schedule, **begins, "warm_start_from": warm_start_from}
        self._train_hooks = list(train_hooks or ())
        self._eval_env = env if eval_env is None else eval_env
        self._eval_episodes = check_int("eval_episodes", eval_episodes, minimum=1)
        self._eval_frequency = evaluation_cadence(eval_frequency, train_timesteps)
        self._eval_while = check_int("eval_episodes_while_training", eval_episodes_while_training, minimum=1)
        self._stop_at_reward = None if stop_at_reward is None else check_float("stop_at_reward", stop_at_reward)
        self._infer_episodes = check_int("infer_episodes", infer_episodes, minimum=1)
        self._infer_output = None if infer_output is None else resolved("infer_output", infer_output)
        self._record_episodes = check_int("record_episodes", record_episodes, minimum=1)
        self._record_format = record_format
        named = checkpoint is None or (isinstance(checkpoint, str) and os.sep not in checkpoint)  # Also 'ckpt-000010000'.
        self._checkpoint = checkpoint if named else resolved("checkpoint", checkpoint)
        self._throttle_secs = check_float("throttle_secs", throttle_secs, minimum=0.0)
        self._exporters = checked_exporters(exporters)
        self._serving = Serving() if serving is None else serving

    @property
    def env(self) -> EnvLike:
        """What is trained on."""
        return self._env

    @property
    def eval_env(self) -> EnvLike:
        """What is evaluated on."""
        return self._eval_env

    @property
    def training(self) -> dict[str, Any]:
        """How it is trained, as arguments of `Agent.train`."""
        return dict(self._training)

    def train(self) -> TrainingResult:
        """Trains to the budget, without evaluations."""
        result = self.agent.train(self._env, hooks=self._train_hooks, **self._training)
        report.print_training(result)
        return result

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

    def record(self) -> list[Path]:
        """Plays greedy episodes with the checkpoint, and writes each as a video into `<model_dir>/videos`; their paths.

        Raises:
            ValueError: if the environment cannot be rendered, or a package is missing; before anything is played.
        """
        film_files.check_format(self._record_format, f"record_format={self._record_format!r}")
        predictor = self.agent.predictor(self._find())
        step, directory = predictor.counters["global_timestep"], self.agent.model_dir / "videos"
        recorded = {}
        played = film.clips(self._eval_env, self._record_episodes, lambda env, stream: predictor.evaluate(env, 1, stream))
        for index, clip in enumerate(played):
            path = film_files.write(clip, directory, step, index, self._record_format)
            recorded[path] = {"return": clip.reward, "steps": clip.length}
        report.print_videos(recorded, predictor.checkpoint)
        return list(recorded)

    def train_and_evaluate(self) -> tuple[TrainingResult, dict[str, float] | None]:
        """Trains with evaluations at every `eval_frequency`, keeping the best, then evaluates that one.

        A run that a signal interrupted ends without the last evaluation.
        """
        hook = EvaluationHook(self._eval_env, self._eval_frequency, self._eval_while, self._stop_at_reward)
        exports = [ExportHook(self.agent, self._exporters)] if self._exporters else []
        result = self.agent.train(self._env, hooks=[*self._train_hooks, hook, *exports], **self._training)
        report.print_training(result)
        if result.signal is not None:
            return result, None
        for each in exports:
            each.export_final(result.checkpoint)
        return result, self.evaluate()

    def export(self) -> Path:
        """Exports the checkpoint to `model_dir/export`, if it has not been exported yet; returns the version's directory."""
        return export(self.agent.predictor(self._find()), self._eval_env, self.agent.model_dir, self._serving)

    def serve(self) -> None:
        """Serves the newest export over HTTP until SIGINT or SIGTERM; without one, or with a `checkpoint`, exports first."""
        serving = self._serving.for_a_server()
        version = newest(serving.directory(self.agent.model_dir)) if self._checkpoint is None else None
        if version is None:
            version = export(self.agent.predictor(self._find()), self._eval_env, self.agent.model_dir, serving)
        serve(version, serving)

    def continuous_eval(self, predicate_fn: Callable[[dict[str, float]], bool] | None = None) -> dict[str, float]:
        """Evaluates each new checkpoint, as another process writes them, until the run has ended or its budget is reached.

        Args:
            predicate_fn: told each result; evaluation ends when it returns False.
        """
        seen: Path | None = None
        result: dict[str, float] = {}
        waiting = time.monotonic()
        while seen is None or not (finished(self._budget, result) or ended(self._budget, seen)):
            path = self.agent.checkpoints.latest()
            if path is None or path == seen:
                if time.monotonic() - waiting > 600:
                    logger.warning("No new checkpoint in %s for ten minutes; still waiting.", self.agent.model_dir)
                    waiting = time.monotonic()
                time.sleep(self._throttle_secs)
                continue
            try:
                path = self.agent.checkpoints.readable("latest")  # From then on a damaged one is known not to be the latest.
                if path == seen:
                    continue
                result = self.agent.evaluate(self._eval_env, self._eval_episodes, path, name="continuous")
            except NotTrainedError:  # The trainer has pruned it; there is a newer one.
                continue
            seen, waiting = path, time.monotonic()
            report.print_evaluation(result, path, self._eval_episodes)
            if predicate_fn is not None and not predicate_fn(result):
                break
        return result

    def continuous_train_and_eval(
        self, predicate_fn: Callable[[dict[str, float]], bool] | None = None
    ) -> tuple[TrainingResult, dict[str, float] | None]:
        """Trains, with a whole evaluation every `eval_frequency` environment steps and at the end.

        A run that a signal interrupted ends without the last evaluation.

        Args:
            predicate_fn: told each result; training ends when it returns False.
        """

        def continues(result: dict[str, float]) -> bool:
            weights = f"{self.agent.model_dir} at environment step {result['global_timestep']:,}"
            report.print_evaluation(result, weights, self._eval_episodes)
            return predicate_fn is None or predicate_fn(result)

        hook = WholeEvaluationHook(self._eval_env, self._eval_frequency, self._eval_episodes, self._stop_at_reward, continues)
        training = self.agent.train(self._env, hooks=[*self._train_hooks, hook], **self._training)
        report.print_training(training)
        if training.signal is not None:
            return training, None
        result = hook.last
        if result is None or result["global_timestep"] < training.global_timestep:
            result = self.agent.evaluate(self._eval_env, self._eval_episodes, "latest", name="continuous")
            continues(result)
        return training, result

    def _find(self) -> Path:
        checkpoints = self.agent.checkpoints
        best = self._checkpoint is None and checkpoints.best() is not None
        return checkpoints.readable("best" if best else self._checkpoint)


def run_experiment(
    experiment_fn: Callable[[str], RLExperiment], output_dir: str | os.PathLike[str], schedule: str = "train_and_evaluate"
) -> Any:
    """Builds the experiment for `output_dir` and runs the schedule of that name.

    Args:
        experiment_fn: `experiment_fn(output_dir)` returns the `RLExperiment`.
        output_dir: the run's `model_dir`.
        schedule: one of `RLExperiment.SCHEDULES`, or a name in `ALIASES`. Where the environment variable `TF_CONFIG` says that
            this process is the evaluator, those that train are `continuous_eval`.

    Returns:
        What the schedule returns.

    Raises:
        ValueError: for an unknown schedule, before anything is built.
        TypeError: if `experiment_fn` returns something else.
    """
    name = ALIASES.get(schedule, schedule)
    if name not in RLExperiment.SCHEDULES:
        known = [*RLExperiment.SCHEDULES, *ALIASES]
        other = f" polyrl.experiments.cli.run answers --mode={schedule}." if schedule in ("list", "compare") else ""
        raise ValueError(f"schedule={schedule!r} is unknown; use one of {known}.{other or suggestion(str(schedule), known)}")
    experiment = experiment_fn(os.fspath(output_dir))
    if not isinstance(experiment, RLExperiment):
        raise TypeError(f"experiment_fn must return an RLExperiment, got {experiment!r}.")
    return getattr(experiment, tf_config.schedule_of_task(name, experiment.agent.config.strategy))()
