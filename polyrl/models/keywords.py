"""The arguments of `BaseQModel`, for the constructors of its subclasses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

from polyrl.configs import ExplorationConfig, InitializerConfig, LossConfig, MetricConfig, OptimizerConfig
from polyrl.models.graph_functions import GraphFn


class QModelArguments(TypedDict, total=False):
    """Those that may be given by name; what they mean, and their defaults, is said by `BaseQModel`."""

    mode: str
    graph_fn: GraphFn
    num_states: int | Sequence[int]
    num_actions: int
    loss_config: LossConfig | None
    optimizer_config: OptimizerConfig | None
    eval_metrics_config: Sequence[MetricConfig] | None
    discount: float
    exploration_config: ExplorationConfig | None
    use_target_graph: bool
    target_update_frequency: int
    is_continuous: bool
    dueling: str | bool | None
    use_expert_demo: bool
    summaries: str | Iterable[str] | None
    clip_gradients: float | None
    clip_embed_gradients: float | None
    name: str
    temperature: float
    target_update_tau: float
    expert_margin: float
    expert_weight: float
    double: bool
    noisy: bool
    head_units: Sequence[int]
    head_initializer: InitializerConfig | None
    reward_scale: float
    clip_rewards: float | None
    burn_in: int
    target_update_timesteps: int | None
