"""`BaseQModel`: what all value-based models share. A subclass gives a head and a loss."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl import ops
from polyrl.configs import ExplorationConfig
from polyrl.engine import functional
from polyrl.errors import add_note
from polyrl.explorations import Explorer, random_at_first
from polyrl.models import arguments, batches, sequences
from polyrl.models import features as features_of
from polyrl.models.heads import Head, QHead, Streams
from polyrl.models.networks import Networks, Periods, torso_and_heads
from polyrl.models.policy_network import PolicyNetwork
from polyrl.models.q_arguments import QArguments
from polyrl.models.q_network import QModelSpec, checked_values
from polyrl.models.q_summaries import q_summaries
from polyrl.models.records import Batch, Forward
from polyrl.modes import Modes
from polyrl.networks.unrolling import Unroll, unrolling
from polyrl.ops import LossOutput
from polyrl.policies import BasePolicy, BoundedTensorSpec
from polyrl.summaries import Summaries

ROUNDING = 1e-5
"""By so much a schedule may miss the ends of its range."""


class BaseQModel(QArguments):
    """A model of action values `Q(s, a)`, with a target network and exploration.

    The arguments are those of `QArguments`. A subclass gives a loss, and a head if it needs one of its own.

    Called with features (a state batch, or a dict with the key `state`) and labels: `action` int `[B]`, `reward` `[B]`,
    `next_state` `[B, ...]`, `done` `[B]` (terminated; a truncated episode is not done), and optionally `discount` `[B]` (the
    factor on the bootstrap of this row, by default the model's) and `weights` `[B]` (importance weights); with
    `use_expert_demo` also `expert` `[B]` (1 for demonstrations, else 0). For n-step learning `reward`, `done` and optionally
    `truncated` are windows `[B, n]` of consecutive steps, reduced by the model's discount.

    The features may hold `action_mask` `[B, A]`, bools or integers, nonzero where an action is legal; the labels then hold
    `next_action_mask` `[B, A]`, of the next state. Illegal actions are never chosen, nor bootstrapped from. Other features are
    for the torso; the label `next_<key>` is what the feature `key` is in the next state, by default the same.
    """

    # What a subclass gives. ---------------------------------------------------------------------------------------------

    @functools.cached_property
    def _networks(self) -> Networks:
        make, features, needed = self._build_graph_fn, lambda: self.current_call.features, lambda: self.head.NEEDED
        return Networks(self._scope, self.name, make, features, needed)

    @functools.cached_property
    def head(self) -> Head:
        """The head: what the best action is, and the value of any."""
        return self._build_head()

    def _build_head(self) -> Head:
        """Returns the head: by default one value for each action, combined as `dueling` says."""
        return QHead(self.num_actions, self.dueling, self._streams)

    @property
    def _streams(self) -> Streams:
        """How the head's layers are made."""
        return Streams(self.head_units, self.noisy, self.head_initializer)

    def _build_td_loss(self, batch: Batch, forward: Forward) -> LossOutput:
        """The TD loss of each transition, with its target and error."""
        raise NotImplementedError(f"{type(self).__name__} must define _build_td_loss; DQNModel and others here have one.")

    def _build_policy(self) -> BasePolicy:
        """The policy that acts in PREDICT mode."""
        features, online, head = self.current_call.features, self._networks.online, self.head
        network = PolicyNetwork(online, self.mode, head.policy_output, self.num_states)
        return head.policy(features_of.time_step_spec(features), network, features_of.splitter(features), self.temperature)

    def _priorities(self, loss_output: LossOutput) -> tf.Tensor:
        """How surprising each transition was, `[B]`, for a prioritized memory."""
        return tf.abs(loss_output.td_error)

    @property
    def action_spec(self) -> BoundedTensorSpec:
        """The spec of one action: int32 `[]`, or float32 `[k]`."""
        return self.head.action_spec

    # The steps of the template. -----------------------------------------------------------------------------------------

    def _preprocess(self, features: Any, labels: Any) -> tuple[Any, Any]:
        """Checks the states' shape and converts the labels.

        Raises:
            KeyError: for a missing `state`, `action`, `reward`, `done` or `next_state`; with `use_expert_demo` also `expert`.
            TypeError, ValueError: for what does not fit, see `check_features` and `check_labels` of `polyrl.models.batches`.
        """
        features, labels = sequences.flat(features, labels)
        features = batches.check_features(features, self.num_states, self.num_actions)
        if labels is None:
            return features, None
        further = (sequences.VALID, *self.FURTHER_LABELS, *arguments.label_names(self.eval_metrics_config))
        labels = batches.check_labels(labels, features, self.num_states, self.action_spec, further)
        if self.expert_loss is not None and self.mode == Modes.TRAIN:
            self.expert_loss.check_labels(labels)
        return features, labels

    def _build_exploration(self) -> tf.Tensor:
        """Epsilon, or the noise's scale, at the present `global_timestep`, a scalar."""
        return self.exploration_config.rate(self._scope.global_timestep.read_value())

    def _build_actions(self) -> tf.Tensor:
        """The action for each row, `[B, ...]`: exploring in TRAIN, greedy in EVAL, the policy's choice in PREDICT."""
        call, online = self.current_call, self._online()
        if self.mode == Modes.PREDICT:
            step = features_of.time_step(call.features, tf.shape(online.q)[0])
            state = features_of.network_state(call.features)
            seed = self._scope.next_seed("prediction")
            return self._build_policy().action(step, () if state is None else state, seed=seed).action
        mask = features_of.mask_of(call.features)
        if self.mode == Modes.TRAIN and call.acting:
            is_first, preferred = features_of.is_first(call.features), self.head.preferred(online)
            explorer = self._explorer(online)
            with tf.name_scope("exploration"):  # Beside the network in TensorBoard's graph, not among its parts.
                rate, seed = self._rate(), self._scope.random_seed("exploration")
                return self.head.actions(explorer(preferred, rate, seed, is_first, mask))
        return self.head.greedy_actions(online, mask)

    def _build_graph_fn(self) -> Callable[[str, Any], QModelSpec]:
        """Returns the function from `(mode, inputs)` to a `QModelSpec`: the user's graph, then the heads."""
        return torso_and_heads(self.graph_fn, self.head)

    def _call_graph_fn(self, inputs: Any) -> tf.Tensor:
        """Creates the networks at first, runs the online one on `inputs`, and chooses the actions."""
        running = self._current is not None
        with contextlib.nullcontext(self.current_call) if running else self._calling(inputs, None) as call:
            if self.use_target_graph:
                _ = self._networks.target
            call.online = self._run_online(inputs)
            return self._build_actions()

    def _build_loss(self, results: tf.Tensor, features: Any, labels: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of each example (TD, and for demonstrations the large margin), and their weighted mean plus the torso's own
        regularisation losses.
        """
        batch = self._batch(features, labels)
        how = self.use_target_graph, self.double, self.NEEDS_TARGET, self._unroll()
        forward = self._networks.forward(self._online(), self.current_call.states, batch, self.mode, *how)
        loss_output = self.current_call.loss_output = arguments.check_loss(self._build_td_loss(batch, forward), batch.reward)
        losses = loss_output.loss
        if self.expert_loss is not None:
            losses += self.expert_loss(ops.mask_values(forward.online.q, batch.mask), batch)
        regularisation = [tf.cast(loss, tf.float32) for loss in self.current_call.regularisation]
        # The one place where losses are weighted and averaged.
        weighted = losses if batch.weights is None else losses * batch.weights
        return losses, tf.add_n([tf.reduce_mean(weighted), *regularisation])

    def _build_update_target_graph(self) -> None:
        """Moves the target network towards the online one, by `target_update_tau`."""
        self._networks.target.copy_from(self._networks.online, self.target_update_tau)

    def _after_update(self, step: tf.Tensor) -> None:
        """Updates the target network, if one of its periods has ended by `step` (updates done) or by the environment's."""
        if not self.use_target_graph:
            return
        if self.target_update_timesteps is not None:
            ended = self._scope.global_timestep.read_value() // self.target_update_timesteps
            periods = self._scope.get(f"{self.name}/target_periods", Periods)
            functional.when(ended > periods.ended, self._build_update_target_graph)
            periods.ended.assign(ended)
        elif self.target_update_frequency == 1:
            self._build_update_target_graph()
        else:
            functional.when(tf.equal(step % self.target_update_frequency, 0), self._build_update_target_graph)

    def _build_summary_op(self, results: tf.Tensor, features: Any, labels: Any) -> Summaries:
        self._online()  # An override may have chosen the actions without it.
        network, call = self._networks.online, self.current_call
        with unrolling(self._unroll()):  # Activations take another pass.
            return q_summaries(self.summaries, call, network, self._learning_rate(), self.expert_loss)

    def _build_predictions(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, tf.Tensor]:
        """`results` (the action) `[B]`, `q`, `a`, `v` where there is one, `graph_results`; with labels, `td_error` `[B]`.

        `q` has the values of illegal actions, too. Without labels, a recurrent network gives `network_state` `[B, H]`, the
        feature of that name in the next step.
        """
        spec, loss_output = self._online(), self.current_call.loss_output
        values = {"graph_results": spec.graph_outputs, "a": spec.a, "q": spec.q, "v": spec.v}
        predictions = {"results": results, **{name: value for name, value in values.items() if value is not None}}
        if self.current_call.acting and self.current_call.states is not None:
            predictions[features_of.NETWORK_STATE] = self.current_call.states
        if loss_output is not None:
            predictions["td_error"] = loss_output.td_error
        return predictions

    def _build_extra_ops(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, Any]:
        """`summary_options`, `action_spec`; with labels `priorities` `[B]`, without them in TRAIN `exploration_rate`; in
        PREDICT the `policy`.
        """
        call = self.current_call
        extra: dict[str, Any] = {"summary_options": self.summaries, "action_spec": self.action_spec}
        if self.mode == Modes.PREDICT:
            extra["policy"] = self._build_policy()
        elif self.mode == Modes.TRAIN and call.acting:
            with tf.name_scope("exploration"):
                extra["exploration_rate"] = self._rate()
        elif call.loss_output is not None:
            priorities, steps = self._priorities(call.loss_output), self._steps()
            # Of what is not learned from, nothing is known.
            extra["priorities"] = priorities if steps is None else tf.where(steps.of_rows > 0.0, priorities, 0.0)
        return extra

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _rate(self) -> tf.Tensor:
        """How much to explore; below 0, or above 1 as a probability, it is refused if known, else NaN, which ends a run."""
        whose = f"The rate of {type(self.exploration_config).__name__}"
        try:
            rate = tf.cast(self._build_exploration(), tf.float32)
        except Exception as error:
            if type(self.exploration_config).rate is not ExplorationConfig.rate:
                tensor = "It is given a tensor: use operations of TensorFlow, and `tf.where` in place of `if`."
                add_note(error, f"{whose} raised this. {tensor}")
            raise
        highest = self._explorer_class.HIGHEST_RATE
        known = tf.get_static_value(rate)
        if known is not None and np.shape(known) == () and not -ROUNDING <= known <= highest + ROUNDING:
            expected = "a probability from 0 to 1" if highest == 1.0 else "a finite number of at least 0"
            raise ValueError(f"{whose} is {known:g}; expected {expected}.")
        rate = tf.where((rate >= -ROUNDING) & (rate <= highest + ROUNDING), rate, math.nan)
        power = self._scope.exploration_power
        return tf.pow(tf.maximum(rate, 0.0), power) if power != 1.0 and highest == 1.0 else rate

    def _batch(self, features: Any, labels: Any) -> Batch:
        """The transitions to learn from, rewards scaled and clipped, windows reduced to single transitions."""
        reward = self.reward_scale * tf.cast(labels["reward"], tf.float32)
        if self.clip_rewards is not None:
            reward = tf.clip_by_value(reward, -self.clip_rewards, self.clip_rewards)
        return batches.as_batch(features, {**labels, "reward": reward}, self.discount, self._steps())

    def _online(self) -> QModelSpec:
        """The online network's output on the features of this call, computed once."""
        call = self.current_call
        if call.online is None:
            call.online = self._run_online(call.features)
        return call.online

    def _run_online(self, inputs: Any) -> QModelSpec:
        """The online network's output on `inputs`, in training mode only inside an update."""
        call = self.current_call
        learns, features = call.tape is not None, features_of.network_inputs(inputs)
        online, call.states, call.moved, call.regularisation = self._networks.run(features, self.mode, learns, self._unroll())
        return online if self.CONTINUOUS else checked_values(online, self.num_actions)

    def _steps(self) -> sequences.Steps | None:
        """How the rows of this call follow each other; None for single ones."""
        labels = self.current_call.labels
        return None if labels is None else sequences.Steps.of(labels, self.burn_in)

    def _unroll(self) -> Unroll:
        """That, for recurrent layers, and what they remember at first."""
        if self.burn_in > 0 and self._networks.online.state_size == 0:
            raise ValueError(f"burn_in={self.burn_in} has no effect: the network remembers nothing. Use recurrent(torso).")
        return sequences.unroll(self.current_call.features, self._steps(), self.burn_in)

    def _explorer(self, online: QModelSpec) -> Explorer:
        """The explorer for a batch of actions."""
        config, shape = self.exploration_config, self.head.batch_of_actions(online)
        if self._explorer_class.STATEFUL:  # One for each number of environments.
            name = f"explorer/{tuple(shape)}"
            made = self._part(name, lambda: self._explorer_class(config, shape), saved=False, made_from=config)
        else:
            made = self._explorer_class(config, shape)
        return random_at_first(made, config, self.CONTINUOUS, self._scope.global_timestep.read_value)

    def _trainable_variables(self) -> list[tf.Variable]:
        return self._networks.online.model.trainable_variables

    def _torso_variables(self) -> list[tf.Variable]:
        return self._networks.online.torso_variables()

    def _embedding_indices(self) -> set[int]:
        return self._networks.online.embedding_indices()
