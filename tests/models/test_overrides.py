"""Each method of the template, overridden alone, without `super` and in the original's signature, through an `Agent`."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from masked_envs import MaskedScheduleEnv
from override_runs import ACTIONS, ATOMS, SOME_STATES, STATES, TIMESTEPS, UPDATES, greedy, ones, run, subclass
from tiny_envs import ScheduleEnv

from polyrl.configs import AdamConfig, ConstantExplorationConfig, MetricConfig
from polyrl.models import CategoricalDQNModel, DQNModel, QModelSpec
from polyrl.replay import PrioritizedReplay, UniformReplay
from polyrl.summaries import Summaries

layers = tf_keras.layers

JIT = pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
PARENTS = pytest.mark.parametrize("parent", [DQNModel, pytest.param(CategoricalDQNModel, marks=pytest.mark.slow)])


@pytest.mark.slow
@JIT
@PARENTS
def test_build_exploration_decides_how_much_is_explored(parent, jit):
    def _build_exploration(self):
        return tf.constant(1.0)

    changed = run(
        subclass(parent, _build_exploration=_build_exploration), jit, exploration_config=ConstantExplorationConfig(0.0)
    )
    assert changed.trained == run(parent, jit, exploration_config=ConstantExplorationConfig(1.0)).trained
    assert set(changed.trained) == {0, 1, 2}
    assert changed.inferred == greedy(changed)


@pytest.mark.slow
@JIT
@PARENTS
def test_build_actions_decides_the_action_in_each_mode(parent, jit):
    def _build_actions(self):
        return tf.fill(tf.shape(self.current_call.online.q)[:1], 2)

    changed = run(subclass(parent, _build_actions=_build_actions), jit)
    assert set(changed.trained) == set(changed.evaluated) == set(changed.inferred) == {2}


@pytest.mark.slow
@JIT
@PARENTS
def test_build_graph_fn_is_the_whole_network(parent, jit):
    atoms = ATOMS["num_atoms"] if parent is CategoricalDQNModel else None

    def _build_graph_fn(self):
        def graph_fn(mode, inputs):
            if atoms is None:
                q = layers.Dense(ACTIONS, use_bias=False)(inputs["state"])
                return QModelSpec(inputs["state"], q, None, q)
            logits = layers.Reshape([ACTIONS, atoms])(layers.Dense(ACTIONS * atoms, use_bias=False)(inputs["state"]))
            q = tf.reduce_sum(tf.nn.softmax(logits) * self.support, axis=-1)
            return QModelSpec(inputs["state"], logits, None, q, logits)

        return graph_fn

    changed = run(subclass(parent, _build_graph_fn=_build_graph_fn), jit)
    (kernel,) = changed.weights()
    assert kernel.shape == (STATES, ACTIONS * (atoms or 1))
    assert not np.array_equal(kernel, changed.weights("target")[0])  # It has been trained since the last copy.
    values = SOME_STATES @ kernel
    if atoms is not None:
        probabilities = np.exp(values.reshape([10, ACTIONS, atoms]))
        values = (probabilities / probabilities.sum(-1, keepdims=True)) @ np.linspace(-1.0, 1.0, atoms)
    assert changed.inferred == np.argmax(values, axis=1).tolist()


@pytest.mark.slow
@JIT
@PARENTS
def test_call_graph_fn_returns_the_actions(parent, jit):
    def _call_graph_fn(self, inputs):
        return tf.cast(inputs["state"][:, 2], tf.int32) % ACTIONS

    states = np.array([[0, 0, t, 0] for t in range(5)], np.float32)
    changed = run(subclass(parent, _call_graph_fn=_call_graph_fn), jit, states=states)
    assert changed.inferred == [0, 1, 2, 0, 1]
    assert changed.trained == [0, 1, 2] * (TIMESTEPS // 3)
    assert set(changed.evaluated) == {0, 1}
    assert not np.array_equal(changed.weights()[0], changed.weights("target")[0])  # The networks are there, and learn.


@pytest.mark.slow
@JIT
@PARENTS
def test_build_update_target_graph_is_what_happens_to_the_target_network(parent, jit):
    def _build_update_target_graph(self):
        for variable in self._networks.target.model.trainable_variables:
            variable.assign_add(tf.ones_like(variable))

    changed = run(subclass(parent, _build_update_target_graph=_build_update_target_graph), jit, target_update_frequency=5)
    plain = run(parent, jit, target_update_frequency=UPDATES + 1)  # Its target network is what both start with.
    for value, initial in zip(changed.weights("target"), plain.weights("target"), strict=True):
        np.testing.assert_allclose(value, initial + UPDATES // 5, rtol=1e-5)


@pytest.mark.slow
@JIT
@PARENTS
def test_build_train_op_may_have_gradients_and_steps_of_its_own(parent, jit):
    def _build_train_op(self, loss):
        variables = self._trainable_variables()
        gradients = self.current_call.tape.gradient(loss, variables)

        def train_op():
            for variable, gradient in zip(variables, gradients, strict=True):
                if gradient is not None:
                    variable.assign_sub(0.01 * gradient)
            return self._scope.global_step.assign_add(1)

        return train_op

    arguments = {"use_target_graph": False, "summaries": ["loss", "gradients", "learning_rate"]}
    changed = run(subclass(parent, _build_train_op=_build_train_op), jit, optimizer_config=AdamConfig(0.5), **arguments)
    for value, wanted in zip(changed.weights(), run(parent, jit, **arguments).weights(), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-6)
    assert "train/grad_norm" not in changed.panels.scalars
    assert "Model/optimizer" not in changed.agent._scope.parts


@pytest.mark.slow
@JIT
def test_a_train_op_that_does_not_count_is_refused_after_its_first_update(jit):
    """Budgets, schedules and the target network would stand still in silence."""

    def _build_train_op(self, loss):
        return lambda: tf.convert_to_tensor(self._updates)

    with pytest.raises(ValueError, match=r"After \d+ updates of this run global_step is 0: each train_op must add 1 to it"):
        run(subclass(DQNModel, _build_train_op=_build_train_op), jit, summaries=[])


@pytest.mark.slow
@JIT
@PARENTS
@pytest.mark.parametrize("n_step", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_preprocess_may_leave_features_and_labels_as_they_are(parent, jit, n_step):
    """The checks of shapes are its own; all that follows goes without it, with windows, masks and the same numbers, too."""

    def _preprocess(self, features, labels):
        return features, labels

    unchecked = subclass(parent, _preprocess=_preprocess)

    def trained(model_class, **arguments):
        envs = MaskedScheduleEnv(), MaskedScheduleEnv(number=1)
        states = {
            "state": np.ones([2, 3]),
            "goal": np.ones([2, 2], np.float32),
            "place": np.arange(2),
            "action_mask": np.array([[0, 1, 0], [0, 0, 1]]),
        }

        def graph_fn(mode, inputs):
            return layers.Dense(4)(tf.concat([tf.cast(inputs["state"], tf.float32), inputs["goal"]], 1))

        memory = UniformReplay(100, 4, n_step=n_step)
        return run(model_class, jit, memory, envs, graph_fn=graph_fn, states=states, **arguments)

    with pytest.raises(ValueError, match="num_states"):
        trained(parent, num_states=7)
    changed, plain = trained(unchecked, num_states=7), trained(parent, num_states=3)
    assert changed.trained == plain.trained
    assert changed.inferred == plain.inferred == [1, 2]
    for value, wanted in zip(changed.weights(), plain.weights(), strict=True):
        np.testing.assert_array_equal(value, wanted)


@JIT
@PARENTS
@pytest.mark.parametrize("replay", [UniformReplay, PrioritizedReplay])
def test_build_loss_decides_what_is_learned(parent, jit, replay):
    """Here: action 1 in every state."""

    def _build_loss(self, results, features, labels):
        q = self.current_call.online.q
        losses = tf.reduce_sum(tf.square(q - tf.constant([-0.5, 0.5, -0.5])), axis=1)
        return losses, tf.reduce_mean(losses)

    given = {"optimizer_config": AdamConfig(0.05), "graph_fn": ones}
    changed = run(subclass(parent, _build_loss=_build_loss), jit, replay(100, 4), **given)
    q = changed.network()({"state": tf.constant(SOME_STATES)}).q.numpy()
    assert (q[:, 1] > 0.3 + np.maximum(q[:, 0], q[:, 2])).all()
    assert set(changed.evaluated) == set(changed.inferred) == {1}
    assert "train/td_error" not in changed.panels.scalars
    assert changed.evaluation["loss"] < 1.0


@pytest.mark.slow
@JIT
@PARENTS
def test_build_summary_op_gives_the_panels(parent, jit):
    def _build_summary_op(self, results, features, labels):
        return Summaries({"mine": tf.reduce_mean(labels["reward"])}, {}, {})

    panels = run(subclass(parent, _build_summary_op=_build_summary_op), jit).panels
    assert set(panels.scalars) == {"mine"}
    assert not panels.histograms
    assert 1.0 <= panels.scalars["mine"] <= 3.0


@pytest.mark.slow
@JIT
@PARENTS
def test_build_predictions_gives_what_predict_yields(parent, jit):
    def _build_predictions(self, results, features, labels):
        return {"results": results, "mine": tf.reduce_sum(features["state"], axis=1)}

    changed = run(subclass(parent, _build_predictions=_build_predictions), jit)
    for row in changed.agent.predict(ScheduleEnv(number=3), steps=4):
        assert set(row) == {"results", "index", "mine", "state", "reward", "done", "truncated", "episode", "env", "timestep"}
        assert row["mine"] == row["state"].sum()
    assert changed.inferred == greedy(changed)


@pytest.mark.slow
@JIT
@PARENTS
@pytest.mark.parametrize("replay", [UniformReplay, PrioritizedReplay])
def test_build_extra_ops_may_give_nothing(parent, jit, replay):
    def _build_extra_ops(self, results, features, labels):
        return {}

    changed = run(subclass(parent, _build_extra_ops=_build_extra_ops), jit, replay(100, 4))
    assert changed.inferred == greedy(changed)
    with pytest.raises(TypeError, match="policy"):
        _ = changed.agent.predictor().policy


@pytest.mark.slow
@JIT
@PARENTS
def test_build_eval_metrics_gives_what_an_evaluation_reports(parent, jit):
    metric = MetricConfig("Mean", "mine").build()

    def _build_eval_metrics(self, predictions, features, labels):
        metric.update_state(labels["reward"])
        return {"mine": metric}

    evaluation = run(subclass(parent, _build_eval_metrics=_build_eval_metrics), jit).evaluation
    assert evaluation["mine"] == 11.5  # Environment 1 gives 11 and 12.
