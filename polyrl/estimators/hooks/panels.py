"""What a run tells TensorBoard of itself once, at its start: the order of the panels, hyper-parameters, and the graph."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.hparams import api as hp

from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.context import RunContext
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

METRICS = ("eval/mean_reward", "rollout/ep_rew_mean", "train/loss", "time/fps")
"""The columns of the HParams dashboard after the hyper-parameters."""


class PanelsHook(Hook):
    """Writes them when a run begins; a resumed run has them already.

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
        metrics = [hp.Metric(name) for name in METRICS]
        write_message(run.writer, 0, hp.hparams_config_pb(hparams=[], metrics=metrics))
        write_message(run.writer, 0, hp.hparams_pb(shown(self._params), str(run.model_dir), time.time()))
        with run.writer.as_default(step=0):
            tf.summary.graph(self._graph)


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


def shown(params: Mapping[str, Any]) -> dict[str, Any]:
    """Hyper-parameters as the plugin takes them: numbers, bools and strings; what is none of these as JSON."""
    plain = (bool, int, float, str)
    return {name: value if isinstance(value, plain) else json.dumps(value, default=str) for name, value in params.items()}
