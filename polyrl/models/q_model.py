"""`BaseQModel`: what all value-based models share. A subclass gives a head and a loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf

from polyrl import ops
from polyrl.configs import (
    ConstantExplorationConfig,
    ExplorationConfig,
    HuberLossConfig,
    LossConfig,
    MetricConfig,
    OptimizerConfig,
)
from polyrl.engine.narrow_dense import NarrowDense
from polyrl.explorations import Explorer, explorer
from polyrl.models import batches, masks
from polyrl.models.base import GraphFn, check_type
from polyrl.models.expert import MARGIN, WEIGHT, ExpertLoss
from polyrl.models.q_network import QModelSpec, check_tau
from polyrl.models.q_summaries import q_summaries
from polyrl.models.two_networks import TwoNetworkModel
from polyrl.modes import Modes
from polyrl.policies import BasePolicy, BoundedTensorSpec, QPolicy, StepType, TimeStep, time_step_spec
from polyrl.summaries import Summaries, SummaryOptions
from polyrl.validation import check_bool, check_float, check_int

STEP_TYPE = "step_type"
"""Of features: `StepType` int32 `[B]` of the states; exploration that has a memory asks for it."""

DUELING = (True, "mean", "max", "naive", None, False)


class BaseQModel(TwoNetworkModel):
    """A model of action values `Q(s, a)`, with a target network and exploration.

    The methods here are for discrete actions; `NAFModel` has those for continuous ones.

    Called with features (a state batch, or a dict with the key `state`) and labels: `action` int `[B]`, `reward` `[B]`,
    `next_state` `[B, ...]`, `done` `[B]` (terminated; a truncated episode is not done), and optionally `discount` `[B]` (the
    factor on the bootstrap of this row, by default the model's) and `weights` `[B]` (importance weights); with
    `use_expert_demo` also `expert` `[B]` (1 for demonstrations, else 0). For n-step learning `reward`, `done` and optionally
    `truncated` are windows `[B, n]` of consecutive steps, reduced by the model's discount.

    The features may hold `action_mask` `[B, A]`, bools or integers, nonzero where an action is legal; the labels then hold
    `next_action_mask` `[B, A]`, of the next state. Illegal actions are never chosen, nor bootstrapped from. Other features are
    for the torso; the label `next_<key>` is what the feature `key` is in the next state, by default the same.

    Args:
        mode: `'train'`, `'eval'` or `'infer'`.
        graph_fn: the torso, `graph_fn(mode, inputs) -> [B, features]`; see `BaseModel`. It gets the same structure that
            the model is called with: the tensor, or the dict (without `action_mask`).
        num_states: the shape of one state. An int n: a vector of n numbers, or where the states are integers `[B]`, how many
            states there are, numbered from 0.
        num_actions: number of actions.
        loss_config: element-wise loss of the TD error; `HuberLossConfig(delta=1)` by default.
        optimizer_config: `AdamConfig()` by default.
        eval_metrics_config: metrics reported by EVAL mode, see `MetricConfig`.
        discount: gamma, in [0, 1].
        exploration_config: how the TRAIN mode acts; `ConstantExplorationConfig()` by default.
        use_target_graph: bootstrap from a second network that the loss does not train.
        target_update_frequency: updates of this model between two updates of the second network from the first.
        is_continuous: whether actions are numbers; only as the class is, `CONTINUOUS`.
        dueling: True computes advantage and value heads, and `Q = A`; `'mean'`, `'max'`, `'naive'` combine them to
            `Q = V + A - mean(A)`, `- max(A)`, `- 0`; None or False leave the value head out.
        use_expert_demo: adds the large-margin loss on rows that are demonstrations (DQfD, Hester et al. 2018), see
            `ops.large_margin_loss`; the memory has to hold some, and `Agent.train(pretrain_updates=...)` pre-trains on them.
        summaries: `'all'` or names out of `SummaryOptions`.
        clip_gradients: largest global norm of the gradients; 0 or None does not clip.
        clip_embed_gradients: largest norm of each embedding's gradient; 0 or None does not clip.
        name: scope of everything the model owns.
        temperature: of the policy that acts in PREDICT mode; 0 is greedy.
        target_update_tau: how far the second network goes towards the first at each of its updates, in (0, 1]; 1 is a copy.
        expert_margin: by how much the expert's action has to be better than all others, in units of the action values.
        expert_weight: of the large-margin loss beside the TD loss.
    """

    CONTINUOUS: ClassVar[bool] = False

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
        target_update_frequency: int = 5,
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
    ):
        super().__init__(
            mode,
            graph_fn,
            loss_config,
            optimizer_config,
            eval_metrics_config,
            summaries,
            clip_gradients,
            clip_embed_gradients,
            name,
        )
        self.loss_config = self.loss_config or HuberLossConfig()
        self.num_states = batches.state_shape(num_states)
        self.num_actions = check_int("num_actions", num_actions, minimum=1 if self.CONTINUOUS else 2)
        self.discount = check_float("discount", discount, 0.0, 1.0)
        self.exploration_config = (
            check_type("exploration_config", exploration_config, ExplorationConfig) or ConstantExplorationConfig()
        )
        self._explorer_class = explorer(self.exploration_config, self.CONTINUOUS)
        self.use_target_graph = check_bool("use_target_graph", use_target_graph)
        self.target_update_frequency = check_int("target_update_frequency", target_update_frequency, minimum=1)
        if is_continuous is not self.CONTINUOUS:
            kind = "gives numbers" if self.CONTINUOUS else "chooses among discrete actions"
            raise ValueError(f"is_continuous={is_continuous}: {type(self).__name__} {kind}; leave it {self.CONTINUOUS}.")
        if not any(dueling is option or (isinstance(option, str) and dueling == option) for option in DUELING):
            raise ValueError(f"dueling={dueling!r} is unknown; use True, 'mean', 'max', 'naive', or None.")
        self.dueling = None if dueling is False else dueling
        self._expert = ExpertLoss.checked(check_bool("use_expert_demo", use_expert_demo), expert_margin, expert_weight)
        self.temperature = check_float("temperature", temperature, 0.0)
        self.target_update_tau = check_tau(target_update_tau, self.use_target_graph)
        if SummaryOptions.IMAGE_INPUT in self.summaries and len(self.num_states) != 3:
            raise ValueError(f"summaries: image_input needs states [height, width, channels]; num_states={num_states}.")

    # What a subclass gives. ---------------------------------------------------------------------------------------------

    def _build_head(self, outputs: tf.Tensor) -> QModelSpec:
        """Adds the heads to the torso's output; one value per action here."""
        advantage = NarrowDense(self.num_actions, name="advantage")(outputs)  # [B, A]
        value = None if self.dueling is None else NarrowDense(1, name="value")(outputs)  # [B, 1]
        return QModelSpec(outputs, advantage, value, self._combine(advantage, value))

    def _build_td_loss(
        self, labels: Mapping[str, tf.Tensor], discount: tf.Tensor, target: QModelSpec, online: QModelSpec
    ) -> ops.LossOutput:
        """The loss of each example; `target` and `online` are the two networks on the next state, `self._online` on this.

        With a mask the `q` of the first two is the lowest float32 for illegal actions.
        """
        raise NotImplementedError

    def _build_policy(self) -> BasePolicy:
        """The policy that acts in PREDICT mode."""
        return QPolicy(*self._policy_specs(), self._policy_network, masks.splitter(self._inputs), self.temperature)

    def _best_actions(self) -> tf.Tensor:
        """The best action for each row, int32 `[B]`."""
        return tf.argmax(ops.mask_values(self._online.q, masks.split(self._inputs)[1]), axis=1, output_type=tf.int32)

    def _exploring_actions(self, rate: tf.Tensor, seed: tf.Tensor, begins: tf.Tensor | None) -> tf.Tensor:
        """The exploring action for each row, int32 `[B]`; `begins` bool `[B]` says which rows begin an episode, if known."""
        mask = masks.split(self._inputs)[1]
        return self._explorer(self._online.q.shape[:1])(self._online.q, rate, seed, begins, mask)

    def _policy_actions(self, seed: tf.Tensor) -> tf.Tensor:
        """PREDICT mode's action for each row, int32 `[B]`."""
        step = TimeStep.restart(self._inputs, batch_size=tf.shape(self._online.q)[0])
        return self._build_policy().action(step, seed=seed).action

    @property
    def action_spec(self) -> BoundedTensorSpec:
        """Of one action, int32 `[]`."""
        return BoundedTensorSpec((), tf.int32, 0, self.num_actions - 1, name="action")

    # The steps of the template. -----------------------------------------------------------------------------------------

    def _preprocess(self, features: Any, labels: Any) -> tuple[Any, Any]:
        """Checks the states' shape and converts the labels.

        Raises:
            KeyError: for a missing `state`, `action`, `reward`, `done` or `next_state`, or an `expert` that learning with
                `use_expert_demo` asks for.
            TypeError: for masks that are neither of bools nor of integers.
            ValueError: for a state that does not fit `num_states`, labels that do not fit the states, or a mask that leaves no
                legal action.
        """
        features = batches.check_features(features, self.num_states, self.num_actions)
        self._begins = None
        if isinstance(features, dict) and STEP_TYPE in features:
            self._begins = tf.equal(features.pop(STEP_TYPE), StepType.FIRST)
        if labels is None:
            return features, None
        labels = batches.check_labels(labels, features, self.num_states, self.action_spec)
        if self._expert is not None and self.mode == Modes.TRAIN:
            self._expert.check_labels(labels)
        return features, batches.reduce_window(labels, self.discount) if batches.is_window(labels) else labels

    def _build_exploration(self) -> tf.Tensor:
        """Epsilon, or the noise's scale, at the present `global_timestep`, a scalar."""
        return self.exploration_config.rate(self._scope.global_timestep.read_value())

    def _build_actions(self) -> tf.Tensor:
        """The action for each row, `[B, ...]`: exploring in TRAIN, greedy in EVAL, the policy's choice in PREDICT."""
        if self.mode == Modes.PREDICT:
            return self._policy_actions(self._scope.random_seed("prediction"))
        if self.mode == Modes.TRAIN and self._acting:
            self._exploration_rate = self._build_exploration()
            seed = self._scope.random_seed("exploration")
            return self._exploring_actions(self._exploration_rate, seed, self._begins)
        return self._best_actions()

    def _call_graph_fn(self, inputs: Any) -> tf.Tensor:
        """Runs the online network on `inputs` (in training mode only inside an update) and chooses the actions."""
        self._run_online(inputs)
        return self._build_actions()

    def _build_loss(self, results: tf.Tensor, features: Any, labels: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of each example (TD, and for demonstrations the large margin), and their weighted mean plus the torso's own
        regularisation losses.
        """
        network = self._train_graph()
        regularisation = network.model.losses if self._learning else []
        next_inputs = masks.network_inputs(batches.next_features(features, labels))
        online = network(next_inputs)
        target = self._target_graph()(next_inputs) if self.use_target_graph else online
        discount = labels.get("discount", self.discount) * (1.0 - labels["done"])
        if batches.NEXT_MASK in labels:
            mask = labels[batches.NEXT_MASK]
            masks.check_legal(f"labels[{batches.NEXT_MASK!r}]", mask, discount > 0.0)
            online, target = (spec._replace(q=ops.mask_values(spec.q, mask)) for spec in (online, target))
        self._td = self._build_td_loss(labels, discount, target, online)
        losses = self._td.loss
        if self._expert is not None:
            losses += self._expert(ops.mask_values(self._online.q, masks.split(features)[1]), labels)
        # The one place where losses are weighted and averaged.
        weighted = losses * labels["weights"] if "weights" in labels else losses
        return losses, tf.add_n([tf.reduce_mean(weighted), *regularisation])

    def _build_summary_op(self, results: tf.Tensor, features: Any, labels: Any) -> Summaries:
        network = self._train_graph()
        wanted = SummaryOptions.ACTIVATIONS in self.summaries
        summaries = q_summaries(
            self.summaries,
            state=batches.state_of(features),
            activations=network.activations(masks.network_inputs(features)) if wanted else {},
            online=self._online,
            td=self._td,
            network=network,
            gradients=self._gradients,
            learning_rate=self._learning_rate(),
            mask=masks.split(features)[1],
        )
        if self._expert is not None and SummaryOptions.LOSS in self.summaries:
            legal = ops.mask_values(self._online.q, masks.split(features)[1])
            summaries.scalars["train/expert_loss"] = self._expert.mean(legal, labels)
        return summaries

    def _build_predictions(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, tf.Tensor]:
        """`results` (the action) `[B]`, `q`, `a`, `v` where there is one, `graph_results`; with labels, `td_error` `[B]`.

        `q` has what the network says of illegal actions, too.
        """
        spec = self._online
        predictions = {"results": results, "graph_results": spec.graph_outputs, "a": spec.a, "q": spec.q}
        if spec.v is not None:
            predictions["v"] = spec.v
        if labels is not None:
            predictions["td_error"] = self._td.td_error
        return predictions

    def _build_extra_ops(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, Any]:
        """`summary_options`, the names asked for; `action_spec`; acting in training: `exploration_rate`.

        Learning: `summaries`, and `priorities` `[B]` for a prioritized memory, here the absolute TD errors.
        """
        extra: dict[str, Any] = {"summary_options": self.summaries, "action_spec": self.action_spec}
        if self._learning:
            extra["summaries"] = self._summaries
            extra["priorities"] = tf.abs(self._td.td_error)
        elif self.mode == Modes.TRAIN:
            extra["exploration_rate"] = self._exploration_rate
        return extra

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _policy_network(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> tuple[tf.Tensor, Any]:
        """The online network by a policy's contract: `(values, network_state)`."""
        return self._train_graph()(observation).q, network_state

    def _policy_specs(self) -> tuple[TimeStep, BoundedTensorSpec]:
        observation = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape[1:], t.dtype), self._inputs)
        return time_step_spec(observation), self.action_spec

    def _explorer(self, shape: tf.TensorShape) -> Explorer:
        """The explorer for actions of this shape, `[B, ...]`."""

        def build() -> Explorer:
            return self._explorer_class(self.exploration_config, shape)

        if not self._explorer_class.HAS_MEMORY:
            return build()
        # One for each number of environments.
        return self._part(f"explorer/{tuple(shape)}", build, saved=False)

    def _combine(self, advantage: tf.Tensor, value: tf.Tensor | None) -> tf.Tensor:
        """Q (or its logits) out of the two heads, as `dueling` says."""
        if value is None or self.dueling is True:
            return advantage
        return ops.dueling(advantage, value, str(self.dueling))

    _begins: tf.Tensor | None
    _td: ops.LossOutput
    _exploration_rate: tf.Tensor
