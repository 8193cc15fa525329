"""`QArguments`: what the constructor of a Q model takes, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from polyrl.configs import (
    ConstantExplorationConfig,
    ExplorationConfig,
    GreedyExplorationConfig,
    HuberLossConfig,
    InitializerConfig,
    LossConfig,
    MetricConfig,
    OptimizerConfig,
)
from polyrl.explorations import explorer
from polyrl.models import arguments, batches
from polyrl.models.base import BaseModel, GraphFn
from polyrl.models.expert import MARGIN, WEIGHT, ExpertLoss
from polyrl.networks.torsos import sizes
from polyrl.summaries import SummaryOptions
from polyrl.validation import check_bool, check_float, check_int


class QArguments(BaseModel):
    """The base class of `BaseQModel`, which is to be used.

    Args:
        mode, loss_config, optimizer_config, eval_metrics_config, summaries, clip_gradients, clip_embed_gradients, name: see
            `BaseModel`; the loss is the class's `LOSS` by default.
        graph_fn: the torso, `graph_fn(mode, inputs) -> [B, features]`; see `BaseModel`. It gets the same structure that
            the model is called with: the tensor, or the dict (without `action_mask`).
        num_states: the shape of one state. An int n: a vector of n numbers; or, where the states are integers `[B]`, the
            number of discrete states, with indices from 0.
        num_actions: number of actions.
        discount: gamma, in [0, 1].
        exploration_config: how the TRAIN mode acts; by default `ConstantExplorationConfig()`, of a noisy model
            `GreedyExplorationConfig()`.
        use_target_graph: bootstrap from a target network, which the loss does not train.
        target_update_frequency: updates of this model between two updates of the target network.
        is_continuous: whether actions are continuous; only as the class is, `CONTINUOUS`.
        dueling: True computes advantage and value heads, and `Q = A`; `'mean'`, `'max'`, `'naive'` combine them to
            `Q = V + A - mean(A)`, `- max(A)`, `- 0`; None or False leave the value head out.
        use_expert_demo: adds the large-margin loss on rows that are demonstrations (DQfD, Hester et al. 2018), see
            `ops.large_margin_loss`; the memory has to hold some, and `Agent.train(pretrain_updates=...)` pre-trains on them.
        temperature: of the policy that acts in PREDICT mode; 0 is greedy.
        target_update_tau: how far the target network moves to the online one at each of its updates, in (0, 1]; 1 copies.
        expert_margin: by how much the expert's action has to be better than all others, in units of the action values.
        expert_weight: of the large-margin loss, relative to the TD loss.
        double: let the online network choose the next action, and the target network value it (van Hasselt et al. 2016).
            Without a target network, and without noise, it makes no difference.
        noisy: learned noise in the weights of the heads (Fortunato et al. 2018), see `polyrl.networks.NoisyDense`. It
            explores in place of epsilon. Torsos have an argument of their own for theirs.
        head_units: units of hidden layers that each head has of its own, as `(512,)`; none by default.
        head_initializer: of the weights of heads that have no noise, as `TorchInitializerConfig()`; None: tf-keras's.
        reward_scale: rewards are multiplied by it before anything is learned from them.
        clip_rewards: and then clipped to plus and minus this number; None: they are not.
        target_update_timesteps: environment steps between two updates of the target network, in place of
            `target_update_frequency`, which is then left out: it is updated after the first update at or past each multiple.
        burn_in: steps at the beginning of each sequence that bring what recurrent layers remember up to date, and are not
            learned from (Kapturowski et al. 2019).
    """

    CONTINUOUS: ClassVar[bool] = False
    LOSS: ClassVar[LossConfig] = HuberLossConfig()
    """The default of `loss_config`."""
    OWN_LOSS: ClassVar[str | None] = None
    """What the loss is, where `loss_config` has no part in it."""
    CAN_BE_DOUBLE: ClassVar[bool] = True
    """Whether the loss leaves it to `double` who chooses the next action."""
    NEEDS_TARGET: ClassVar[bool] = False
    """Whether the loss reads `Forward.target`."""
    FURTHER_LABELS: ClassVar[tuple[str, ...]] = ()
    """Labels that a subclass reads in addition; all others that are not known are refused."""

    def __init__(
        self,
        mode: str,
        graph_fn: GraphFn,
        num_states: int | Sequence[int],
        num_actions: int,
        loss_config: LossConfig | None = None,
        optimizer_config: OptimizerConfig | None = None,
        eval_metrics_config: Sequence[MetricConfig] | None = None,
        discount: float = 0.97,
        exploration_config: ExplorationConfig | None = None,
        use_target_graph: bool = True,
        target_update_frequency: int = arguments.TARGET_UPDATE_FREQUENCY,
        is_continuous: bool = False,
        dueling: str | bool | None = "mean",
        use_expert_demo: bool = False,
        summaries: str | Iterable[str] | None = "all",
        clip_gradients: float | None = 0.5,
        clip_embed_gradients: float | None = 0.1,
        name: str = "Model",
        *,
        temperature: float = 0.0,
        target_update_tau: float = 1.0,
        expert_margin: float = MARGIN,
        expert_weight: float = WEIGHT,
        double: bool = False,
        noisy: bool = False,
        head_units: Sequence[int] = (),
        head_initializer: InitializerConfig | None = None,
        reward_scale: float = 1.0,
        clip_rewards: float | None = None,
        burn_in: int = 0,
        target_update_timesteps: int | None = None,
    ):
        if loss_config is not None and self.OWN_LOSS is not None:
            raise ValueError(f"loss_config must be None: the loss of {self.OWN_LOSS}.")
        metrics, clips = eval_metrics_config, (clip_gradients, clip_embed_gradients)
        super().__init__(mode, graph_fn, loss_config, optimizer_config, metrics, summaries, *clips, name)
        self.loss_config = arguments.check_loss_config(self.loss_config or self.LOSS)
        self.num_states = batches.state_shape(num_states)
        self.num_actions = arguments.check_num_actions(num_actions, self.CONTINUOUS)
        self.discount = check_float("discount", discount, 0.0, 1.0)
        exploration_config = arguments.check_type("exploration_config", exploration_config, ExplorationConfig)
        self.noisy = check_bool("noisy", noisy)
        by_default = GreedyExplorationConfig() if self.noisy else ConstantExplorationConfig()
        self.exploration_config = exploration_config or by_default
        self._explorer_class = explorer(self.exploration_config, self.CONTINUOUS)
        self.use_target_graph = check_bool("use_target_graph", use_target_graph)
        periods = arguments.check_periods(target_update_frequency, target_update_timesteps, self.use_target_graph)
        self.target_update_frequency, self.target_update_timesteps = periods
        self.is_continuous = arguments.check_continuous(is_continuous, type(self).__name__, self.CONTINUOUS)
        self.dueling = arguments.check_dueling(dueling)
        self.expert_loss = ExpertLoss.checked(check_bool("use_expert_demo", use_expert_demo), expert_margin, expert_weight)
        self.temperature = check_float("temperature", temperature, 0.0)
        self.target_update_tau = arguments.check_tau(target_update_tau, self.use_target_graph)
        self.double = check_bool("double", double)
        if self.double and not self.CAN_BE_DOUBLE:
            raise ValueError(f"double=True has no effect: the target of {type(self).__name__} has no single next action.")
        self.head_units = tuple(sizes("head_units", head_units))
        self.head_initializer = arguments.check_type("head_initializer", head_initializer, InitializerConfig)
        if self.noisy and self.head_initializer is not None:
            raise ValueError(f"head_initializer={head_initializer} has no effect with noisy=True; leave one of them out.")
        self.reward_scale, self.clip_rewards = arguments.check_rewards(reward_scale, clip_rewards)
        self.burn_in = check_int("burn_in", burn_in, minimum=0)
        if SummaryOptions.IMAGE_INPUT in self.summaries and len(self.num_states) != 3:
            raise ValueError(f"summaries: image_input needs states [height, width, channels]; num_states={num_states}.")
