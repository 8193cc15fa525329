"""What a run tells TensorBoard of itself once, at its start: the order of the panels, hyper-parameters, and the graph."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary
from tensorboard.plugins.hparams import summary_v2 as hp  # Its `api` imports keras and matplotlib: a second and more.

from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.estimators.hooks.improvement import spent
from polyrl.summaries import write_message

LAYOUT = {
    "reward": {
        "return": (r"rollout/ep_rew_mean", r"eval/mean_reward"),
        "length of an episode": (r"rollout/ep_len_mean", r"eval/mean_ep_length"),
        "exploration": (r"rollout/exploration_rate",),
    },
    "learning": {
        "loss": (r"train/loss", r"eval/loss"),
        "action values": (r"train/q_mean", r"train/q_max", r"train/target_mean"),
        "TD error": (r"train/td_error",),
        "gradients": (r"train/grad_norm", r"train/grad_norm_clipped"),
        "learning rate": (r"train/learning_rate",),
    },
    "speed": {"steps a second": (r"time/fps", r"time/updates_per_sec"), "memory": (r"replay/size",)},
}
"""The dashboard "Custom scalars": categories and charts, the first one first, and the tags in each chart."""

FIRST = ("env", "learning_rate", "model", "n_step", "seed")
"""The hyper-parameters whose columns come first in the HParams dashboard, which shows five until others are ticked."""

METRICS = ("eval/mean_reward", "rollout/ep_rew_mean", "train/loss", "time/fps")
"""The columns of the HParams dashboard after the hyper-parameters."""


class PanelsHook(Hook):
    """Writes them when a run begins; a resumed run has them already. At the end of the budget the HParams dashboard is told.

    Args:
        params: the agent's hyper-parameters.
        graph: in which the model acts.
    """

    def __init__(self, params: Mapping[str, Any], graph: tf.Graph):
        self._params, self._graph = params, graph

    def begin(self, run: RunContext) -> None:
        if run.step > 0 or run.timestep > 0:
            return
        write_message(run.writer, 0, custom_scalar.pb(layout()))
        params = shown(self._params)
        if not _is_below_others(run.model_dir):
            write_message(run.writer, 0, columns(params))
        write_message(run.writer, 0, hp.hparams_pb(params, trial_id(run.model_dir), time.time()))
        with run.writer.as_default(step=0):
            tf.summary.graph(self._graph)

    def end(self, run: RunContext) -> None:
        if (spent(run) or 0.0) >= 1.0:
            write_message(run.writer, run.timestep, hparams_summary.session_end_pb(api_pb2.STATUS_SUCCESS))


def layout() -> layout_pb2.Layout:
    """`LAYOUT` as TensorBoard's plugin has it."""
    categories = []
    for title, charts in LAYOUT.items():
        made = [
            layout_pb2.Chart(title=name, multiline=layout_pb2.MultilineChartContent(tag=[f"^{tag}$" for tag in tags]))
            for name, tags in charts.items()
        ]
        categories.append(layout_pb2.Category(title=title, chart=made))
    return layout_pb2.Layout(category=categories)


def columns(params: Mapping[str, Any]) -> Summary:
    """Which columns the HParams dashboard has: hyper-parameters that are not listed here, it does not show.

    They have no types: what is null in one run and a number in another would make a filter of the dashboard fail.
    """
    # The dashboard puts first what is said to differ between runs.
    infos = [api_pb2.HParamInfo(name=name, differs=name in FIRST) for name in sorted(params)]
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in METRICS]
    return hparams_summary.experiment_pb(hparam_infos=infos, metric_infos=metrics)


def trial_id(model_dir: Path) -> str:
    """What the HParams dashboard calls a run: another one for each, and its name first, for the column is narrow."""
    named = model_dir.parent if model_dir.name == "run" else model_dir  # Those of a sweep are all called so.
    return f"{named.name} in {model_dir.parent}"


def _is_below_others(model_dir: Path) -> bool:
    """Whether a directory above has events of its own, as that of a sweep, which says which columns there are.

    TensorBoard takes the columns of any one run.
    """
    return any(next(parent.glob("events.out.tfevents.*"), None) for parent in model_dir.parents[:2])


def shown(params: Mapping[str, Any]) -> dict[str, Any]:
    """Hyper-parameters as the plugin takes them: numbers, bools and strings; what is none of these as JSON."""
    plain = (bool, int, float, str)
    return {name: value if isinstance(value, plain) else json.dumps(value, default=str) for name, value in params.items()}
