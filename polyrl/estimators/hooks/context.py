"""`RunContext`: what a hook sees of a training run, and what it may ask of it."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from polyrl.envs import Episode
from polyrl.envs.gym import EnvLike


class RunContext(Protocol):
    """One call of `Agent.train`, as its hooks see it.

    Attributes:
        model_dir: the run's directory.
        budget: when the run ends.
        step: gradient updates done (`global_step`).
        timestep: environment steps taken (`global_timestep`).
        episode: episodes finished (`global_episode`).
        loss: mean loss of the last iteration that learned.
        actions: the actions just chosen, `[N, ...]`.
        exploration_rate: the last one used; NaN if the model has none.
        episodes: the last 100 episodes.
        last_evaluation: result of the last evaluation, or None.
        pretrain_updates: gradient updates before the first environment step.
        checkpoint_seconds: how long the last checkpoint took to write.
        summary_seconds: how long the last summaries took to compute.
        evaluation_seconds: how long all evaluations took so far.
        aside_seconds: how long all recordings and exports took so far.
    """

    model_dir: Path
    budget: Any
    step: int
    timestep: int
    episode: int
    loss: float
    actions: np.ndarray
    exploration_rate: float
    episodes: collections.deque[Episode]
    last_evaluation: dict[str, float] | None
    pretrain_updates: int
    checkpoint_seconds: float
    summary_seconds: float
    evaluation_seconds: float
    aside_seconds: float

    @property
    def summary_options(self) -> tuple[str, ...]:
        """The groups of panels that the model asks for."""

    @property
    def writer(self) -> tf.summary.SummaryWriter:
        """Writes to the TensorBoard run of `model_dir`."""

    @property
    def stored(self) -> int:
        """Transitions in the memory."""

    @property
    def compile_seconds(self) -> float:
        """How long XLA has taken to compile so far."""

    @property
    def best_score(self) -> float | None:
        """The score that the best checkpoint was kept for, or None."""

    def write_scalars(self, values: Mapping[str, float]) -> None:
        """Writes numbers by their tags, to TensorBoard and as a line of `metrics.jsonl`, at the present environment step; in
        pre-training at the present update."""

    def request_stop(self, reason: str) -> None:
        """Ends the run after this iteration; the first reason given is the one reported."""

    def request_checkpoint(self) -> None:
        """Writes a checkpoint at the end of this iteration."""

    def request_summaries(self) -> None:
        """Hands the model's panels of the next update to `after_summaries`: of the batch that it learns from."""

    def evaluate(self, env: EnvLike, episodes: int, name: str | None = None) -> dict[str, float]:
        """Evaluates the present weights on environments of their own, and writes the result to TensorBoard."""

    def play(self, env: EnvLike, stream: str) -> None:
        """Plays a greedy episode with the present weights, and writes nothing; `stream` names the random stream of its
        seed."""

    def save_best(self, score: float) -> Path:
        """Keeps the present weights as the best so far."""
