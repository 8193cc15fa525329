"""Updates on the road built for speed are those of plain optimizers on plain variables: models, clipping, kinds of layers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from fast_testing import (
    BATCH,
    ROWS,
    SLOW,
    STATES,
    TOLERANCE,
    Oracle,
    System,
    assert_close,
    check_against_oracle,
    means,
    model_fn_of,
    torso,
)

from polyrl.configs import AdamConfig, SGDConfig
from polyrl.replay import PrioritizedReplay

MODELS = [
    ("dqn", "mean", True),
    ("ddqn", None, False),
    pytest.param("c51", "mean", False, marks=SLOW),
    pytest.param("dqn", None, True, marks=SLOW),
    *(pytest.param(kind, dueling, True, marks=SLOW) for kind in ("ddqn", "c51", "c51_double") for dueling in ("mean", None)),
]


# Models. ----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dueling", "jit"), MODELS)
def test_each_model_learns_as_with_a_plain_optimizer_on_plain_variables(kind, dueling, jit):
    check_against_oracle(model_fn_of(kind, dueling=dueling), AdamConfig(0.01), jit)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("per_call", "looped"), [(3, False), (1, False), (1, True)])
def test_the_number_of_updates_in_a_call_makes_no_difference(per_call, looped, seed):
    check_against_oracle(model_fn_of("ddqn"), AdamConfig(0.01), True, per_call, looped, seed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddqn", pytest.param("c51", marks=SLOW)])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=SLOW), pytest.param(2, marks=SLOW)])
def test_the_same_code_called_eagerly_is_the_oracle_too(kind, seed):
    model_fn = model_fn_of(kind)
    eager, oracle = System(model_fn, seed), Oracle(model_fn, seed)
    losses, expected = eager.run_eagerly(), oracle.run(AdamConfig(0.01))
    np.testing.assert_allclose(losses, expected, **TOLERANCE)
    assert_close(eager.numbers(), oracle.numbers())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dqn", pytest.param("c51_double", marks=SLOW)])
def test_priorities_and_importance_weights_are_those_of_eager_updates(kind):
    def memory():
        return PrioritizedReplay(ROWS, BATCH, n_step=2, beta_steps=20)

    eager, ours = (System(model_fn_of(kind), memory=memory) for _ in range(2))
    expected = eager.run_eagerly()
    np.testing.assert_allclose(ours.run_compiled(True, 3, True), means(expected, 3), **TOLERANCE)
    assert_close(ours.numbers(), eager.numbers())
    for one, two in zip(ours.memory.variables, eager.memory.variables, strict=True):
        np.testing.assert_allclose(one, two, **TOLERANCE)
    assert np.unique(eager.memory._tree.get(tf.range(ROWS))).size > 10


# Clipping, constraints, penalties, kinds of layers. ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("jit", [pytest.param(True, marks=SLOW), False], ids=["xla", "function"])
@pytest.mark.parametrize("clip", [pytest.param(None, marks=SLOW), pytest.param(0.0, marks=SLOW), 0.01])
def test_gradients_are_clipped_by_the_norm_of_all_of_them(clip, jit):
    config = SGDConfig(0.5)
    model_fn = model_fn_of("dqn", optimizer_config=config, clip_gradients=clip)
    check_against_oracle(model_fn, config, jit, clip=clip)


TORSOS = {
    "constraints": lambda m, x: torso(m, x, kernel_constraint=tf_keras.constraints.MaxNorm(0.9), bias_constraint="non_neg"),
    "penalties": lambda m, x: torso(m, x, kernel_regularizer=tf_keras.regularizers.L1L2(0.01, 0.02)),
    "wide": lambda m, x: tf_keras.layers.Dense(5000, "tanh")(x["state"]),  # Its kernel is no part of the vector.
    "nested": lambda m, x: tf_keras.Sequential([tf_keras.layers.Dense(8, "tanh"), tf_keras.layers.Dense(4, "tanh")])(
        x["state"]
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("jit", [pytest.param(True, marks=SLOW), False], ids=["xla", "function"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=SLOW) if name in ("constraints", "penalties", "nested") else name for name in TORSOS]
)
def test_torsos_of_many_kinds_learn_as_on_plain_variables(name, jit):
    config = SGDConfig(0.3, momentum=0.5)
    check_against_oracle(model_fn_of("dqn", TORSOS[name], optimizer_config=config), config, jit)


@pytest.mark.slow
def test_constraints_hold_after_compiled_updates():
    """So that the comparison above compares something."""
    ours = System(model_fn_of("dqn", TORSOS["constraints"], optimizer_config=SGDConfig(1.0)))
    ours.run_compiled(False, 3, True)
    numbers = ours.numbers()
    assert np.linalg.norm(numbers["online/dense/kernel"], axis=0).max() <= 0.9 + 1e-5
    assert numbers["online/dense/bias"].min() >= 0.0 < numbers["online/dense/bias"].max()


@pytest.mark.parametrize("jit", [pytest.param(True, marks=SLOW), False], ids=["xla", "function"])
@pytest.mark.parametrize("embed_clip", [pytest.param(None, marks=SLOW), 0.01])
@pytest.mark.slow
def test_an_embeddings_gradient_is_clipped_by_its_own_norm(embed_clip, jit):
    def graph_fn(mode, inputs):
        return tf_keras.layers.Flatten()(tf_keras.layers.Embedding(7, 3)(inputs["state"]))

    config = SGDConfig(0.5)
    model_fn = model_fn_of("dqn", graph_fn, (STATES,), optimizer_config=config, clip_embed_gradients=embed_clip)
    state = tf.TensorSpec([STATES], tf.int32)
    start = System(model_fn, state=state).numbers()["online/embedding/embeddings"]
    check_against_oracle(model_fn, config, jit, state=state, embed_clip=embed_clip)
    ours = System(model_fn, state=state)
    ours.run_compiled(False, 3, True)
    assert not np.array_equal(ours.numbers()["online/embedding/embeddings"], start)


@pytest.mark.slow
def test_averages_of_batch_normalisation_are_those_of_eager_updates():
    def graph_fn(mode, inputs):
        return tf_keras.layers.BatchNormalization(momentum=0.8)(torso(mode, inputs))

    eager, ours = (System(model_fn_of("ddqn", graph_fn)) for _ in range(2))
    eager.run_eagerly()
    ours.run_compiled(True, 3, True)
    assert_close(ours.numbers(), eager.numbers())
    assert np.abs(ours.numbers()["online/batch_normalization/moving_mean"]).min() > 0.0


class Recomputed(tf_keras.layers.Layer):
    def build(self, shape):
        self.w = self.add_weight(name="kernel", shape=(shape[-1], 6), initializer="glorot_uniform")

    def call(self, x):
        return tf.recompute_grad(lambda y: tf.tanh(y @ self.w))(x)


@pytest.mark.slow
def test_a_layer_that_recomputes_its_activations_learns_though_it_cannot_be_carried():
    ours = System(model_fn_of("dqn", lambda mode, inputs: Recomputed()(inputs["state"])))
    before = ours.numbers()["online/recomputed/kernel"]
    ours.run_compiled(True, 3, True)
    assert not np.array_equal(ours.numbers()["online/recomputed/kernel"], before)
