"""`Sweep`: trials of optuna as runs of the command `polyrl`, each a process, ended early where others were better."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary
from tensorboard.plugins.hparams import summary_v2 as hp  # Its `api` imports keras and matplotlib: a second and more.

from polyrl.envs.backends import import_package
from polyrl.estimators.hooks.panels import trial_id
from polyrl.experiments import processes
from polyrl.experiments.search_space import as_flags, search_space
from polyrl.paths import make_directory
from polyrl.summaries import write_message, write_scalars

PROGRAM = (sys.executable, "-m", "polyrl")
PATIENCE = 0.3
"""Seconds between two looks at the runs."""

HOPELESS = 3
"""So many trials that fail, without another one, end the sweep: it is what they share that is wrong."""

SCORE = "sweep/score"
RANKS = {"COMPLETE": 0, "PRUNED": 1, "FAIL": 2}


class Sweep:
    """A search in a directory: begins there, or continues what is there.

    Args:
        directory: of the sweep: `study.db`, and `trial-0000`, ... with `log.txt` and the model_dir `run`.
        search: what is searched, as `search_space` takes it.
        flags: of all runs.
        score: what a trial comes to: `'final'`, the evaluation of its best checkpoint, or `'mean'`, that of all evaluations
            while it trained.
        startup: so many trials are never pruned.
        seed: of the search.

    Raises:
        ValueError: if optuna is missing, the search cannot be read, or the directory holds another one.
    """

    def __init__(
        self, directory: Path, search: list[str], flags: list[str], score: str = "final", startup: int = 5, seed: int = 0
    ):
        self._searched = search_space(search)
        optuna = import_package("optuna", "A sweep", "tune", "scripts/benchmarks/learning.py for single settings")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._states = optuna.trial.TrialState
        self._directory, self._flags, self._score = directory, flags, score
        make_directory(directory)
        self._study = optuna.create_study(
            storage=f"sqlite:///{directory / 'study.db'}",
            study_name="sweep",
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=startup),
            load_if_exists=True,
        )
        # With the seed alone a search that is continued would propose again what it began with.
        self._study.sampler = optuna.samplers.TPESampler(seed=seed + len(self._study.trials))
        self._check_same({"search": sorted(search), "flags": flags, "score": score})
        self._running: dict[int, tuple[Any, processes.Started]] = {}
        self._processes: list[processes.Started] = []
        self._start_run: processes.Start = processes.start
        self._told: dict[int, tuple[float, float]] = {}

    def run(self, trials: int, jobs: int, start: processes.Start = processes.start) -> None:
        """Runs trials, `jobs` at a time, until so many have ended in all; `start` starts them."""
        self._start_run = start
        for trial in self._study.get_trials(states=[self._states.RUNNING]):  # This was killed; their runs can be resumed.
            self._study.tell(trial.number, state=self._states.FAIL)
            self._study.enqueue_trial(trial.params, user_attrs={"place": _place(trial)})
        with processes.ended_with_this(self._processes):
            while self._running or len(self._ended()) < trials:
                while len(self._running) < jobs and len(self._ended()) + len(self._running) < trials:
                    self._start()
                time.sleep(PATIENCE)
                for trial, process in list(self._running.values()):
                    status = process.poll()  # Before the look: what it wrote until then is seen.
                    self._look(trial, process)
                    if status is not None:
                        self._end(trial, status)

    def results(self) -> list[dict[str, Any]]:
        """What each trial came to, the best one first."""
        trials = self._ended()
        trials.sort(key=lambda trial: (RANKS[trial.state.name], -(0.0 if trial.value is None else trial.value)))
        return [
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "score": trial.value,
                **trial.params,
                "steps": trial.user_attrs.get("steps", 0),
                "model_dir": f"{_place(trial)}/run",
                "error": trial.user_attrs.get("error", ""),
            }
            for trial in trials
        ]

    def _check_same(self, described: dict[str, Any]) -> None:
        before = self._study.user_attrs.get("described")
        if before is None:
            self._study.set_user_attr("described", described)
            _write_columns(self._directory, self._searched)
        elif before != described:
            raise ValueError(
                f"--directory={self._directory} holds another search: {before}, and now {described}. Name another directory."
            )

    def _ended(self) -> list[Any]:
        """The trials that have ended, but for those that a later one continues, in the same place."""
        last = {_place(trial): trial.number for trial in self._study.trials}
        return [trial for trial in self._study.trials if trial.state.is_finished() and last[_place(trial)] == trial.number]

    def _start(self) -> None:
        trial = self._study.ask(self._searched)
        if "place" not in trial.user_attrs:
            trial.set_user_attr("place", _place(trial))
        place = self._directory / _place(trial)
        flags = [
            "--mode=train_and_eval",
            "--noprogress",
            *self._flags,
            *as_flags(trial.params),
            f"--model_dir={place / 'run'}",
        ]
        process = self._start_run([*PROGRAM, *flags], place / "log.txt")
        self._running[trial.number] = trial, process
        self._processes.append(process)
        self._told[trial.number] = (-1.0, float("nan"))
        print(f"trial {trial.number}: {_shown(trial.params)}", flush=True)

    def _rows(self, trial: Any) -> list[dict[str, float]]:
        return processes.evaluations(self._directory / _place(trial) / "run" / "evaluations.csv")

    def _look(self, trial: Any, process: processes.Started) -> None:
        """Tells what is new; ends the run if that is too little."""
        for row in self._rows(trial):
            step, reward = row["global_timestep"], row["mean_reward"]
            if step <= self._told[trial.number][0]:
                continue
            self._told[trial.number] = step, reward
            trial.report(reward, int(step))
            if process.poll() is None and trial.should_prune():
                trial.set_user_attr("pruned_at", int(step))
                process.terminate()
                return

    def _end(self, trial: Any, status: int) -> None:
        del self._running[trial.number]
        place = self._directory / _place(trial)
        evaluations = [row["mean_reward"] for row in self._rows(trial)]
        final = processes.evaluations(place / "run" / "eval" / "evaluations.csv")
        value = None
        trial.set_user_attr("steps", max((int(row["global_timestep"]) for row in (*self._rows(trial), *final)), default=0))
        if "pruned_at" in trial.user_attrs:
            state, value = self._states.PRUNED, self._told[trial.number][1]
        elif status == 0 and final and (evaluations or self._score == "final"):
            state = self._states.COMPLETE
            value = final[-1]["mean_reward"] if self._score == "final" else sum(evaluations) / len(evaluations)
        else:
            state = self._states.FAIL
            trial.set_user_attr("error", f"exit status {status}: {processes.last_words(place / 'log.txt')}")
        self._study.tell(trial, value if state == self._states.COMPLETE else None, state=state)
        _write_session(place, trial.params, value)
        told = trial.user_attrs.get("error") or f"{state.name.lower()}, {value:.4g}"
        print(f"trial {trial.number}: {told}", flush=True)
        ended = self._ended()
        if len(ended) == HOPELESS and all(trial.state == self._states.FAIL for trial in ended):
            raise RuntimeError(f"The first {HOPELESS} trials failed, and no other will fare better: {told}")


def _place(trial: Any) -> str:
    """The directory of a trial, below that of the sweep: its own, or that of the one that it continues."""
    return trial.user_attrs.get("place", f"trial-{trial.number:04d}")


def _shown(params: dict[str, Any]) -> str:
    return " ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items())


def _write_session(place: Path, params: dict[str, Any], value: float | None) -> None:
    """A line of the HParams dashboard: in the same group as the one that the run below it writes of all its parameters."""
    writer = tf.summary.create_file_writer(str(place))
    write_message(writer, 0, hp.hparams_pb(params, trial_id(place / "run")))
    if value is not None:
        write_scalars(writer, 0, {SCORE: value})
    status = api_pb2.STATUS_FAILURE if value is None else api_pb2.STATUS_SUCCESS
    write_message(writer, 0, hparams_summary.session_end_pb(status))
    writer.close()


def _write_columns(directory: Path, searched: dict[str, Any]) -> None:
    """The columns of the HParams dashboard."""
    columns = [hp.HParam(name, _domain(distribution)) for name, distribution in searched.items()]
    metrics = [hp.Metric(SCORE, display_name="score"), hp.Metric("eval/mean_reward", "run", "last evaluation")]
    writer = tf.summary.create_file_writer(str(directory))
    write_message(writer, 0, hp.hparams_config_pb(columns, metrics))
    writer.close()


def _domain(distribution: Any) -> Any:
    """What the dashboard's filters offer."""
    if not hasattr(distribution, "choices"):
        interval = hp.IntInterval if isinstance(distribution.low, int) else hp.RealInterval
        return interval(distribution.low, distribution.high)
    kinds = {type(choice) for choice in distribution.choices}
    return hp.Discrete(list(distribution.choices), dtype=kinds.pop() if len(kinds) == 1 else str)
