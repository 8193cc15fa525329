"""Optimizers of one's own take the steps that they take on plain variables, however the update is run."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.configs import AdamConfig, OptimizerConfig, SGDConfig
from polyrl.engine.compiler import Compiler
from polyrl.models import DQNModel, Scope

optimizers, layers = tf_keras.optimizers, tf_keras.layers
STEPS = 6


class Centralized(optimizers.SGD):
    """Steps along gradients less their mean, variable by variable."""

    def update_step(self, gradient, variable):
        super().update_step(gradient - tf.reduce_mean(gradient), variable)


def excluding():
    optimizer = optimizers.AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


BUILDS = {
    "clipnorm": lambda: optimizers.SGD(1.0, clipnorm=0.01),
    "clipvalue": lambda: optimizers.Adam(0.1, clipvalue=0.001),
    "global_clipnorm": lambda: optimizers.SGD(1.0, global_clipnorm=0.01),
    "adafactor": lambda: optimizers.Adafactor(0.05),
    "averages": lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
    "averages never used": lambda: optimizers.SGD(0.1, use_ema=True),
    "weight decay but for biases": excluding,
    "class": lambda: Centralized(0.1),
    "jit_compile": lambda: optimizers.Adam(0.1, jit_compile=True),
}


@dataclasses.dataclass(frozen=True)
class OwnConfig(OptimizerConfig):
    """Builds the optimizer of that name."""

    which: str = ""

    def build(self):
        return BUILDS[self.which]()


@dataclasses.dataclass(frozen=True)
class AdafactorConfig(OptimizerConfig):
    """The name finds the class."""


@dataclasses.dataclass(frozen=True)
class ClippedAdamConfig(AdamConfig):
    def build(self):
        return optimizers.Adam(self.learning_rate, clipnorm=0.01)


CONFIGS = {
    **{name: OwnConfig(which=name) for name in BUILDS},
    "by name": AdafactorConfig(),
    "subclass": ClippedAdamConfig(0.1),
}


def torso(mode, inputs):
    return layers.Dense(8, "tanh", bias_initializer="ones", kernel_constraint="non_neg")(inputs)


class Trained(tf.Module):
    """A model by a config, whose gradients after each update are kept."""

    def __init__(self, config):
        super().__init__()
        rng = np.random.default_rng(0)
        states = tf.constant(rng.normal(size=[16, 4]), tf.float32)
        rewards = tf.constant(10 * rng.normal(size=16), tf.float32)
        action = tf.constant(rng.integers(0, 2, 16), tf.int32)
        self.scope = Scope(seed=0)
        with self.scope.active():
            self.model = DQNModel("train", torso, 4, 2, optimizer_config=config, clip_gradients=0, summaries=[], dueling=None)
        self.batch = states, {"action": action, "reward": rewards, "done": tf.ones([16]), "next_state": states}
        self.gradients: list[tf.Variable] = []
        self.update()

    @property
    def weights(self):
        return self.scope.parts["Model/online"].model.trainable_variables

    def update(self):
        found = []
        build = self.model._build_train_op
        self.model._build_train_op = lambda loss: (build(loss), found.extend(self.model.current_call.gradients.clipped))[0]
        try:
            spec = self.model(*self.batch)
        finally:
            self.model._build_train_op = build
        self.gradients = self.gradients or [tf.Variable(tf.zeros_like(gradient)) for gradient in found]
        for variable, gradient in zip(self.gradients, found, strict=True):
            variable.assign(gradient)
        spec.train_op()
        return [spec.loss]


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("way", ["eager", "function", pytest.param("carried", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CONFIGS)
def test_each_step_is_the_optimizers_own(name, way):
    trained = Trained(CONFIGS[name])
    names = [variable.name.split(":")[0] for variable in trained.weights]
    start = first_values()
    plain = [tf.Variable(v, name=n, constraint=w.constraint) for v, n, w in zip(start, names, trained.weights, strict=True)]
    optimizer = CONFIGS[name].build()
    optimizer.jit_compile = False
    optimizer.build(plain)
    compiler = Compiler()
    if way != "eager":
        compiler.start([trained, trained.scope], trained.update, jit=way == "carried")
    for step in range(STEPS):
        if step and way == "eager":
            trained.update()
        elif step:
            compiler.call("update", lambda: (trained.update, []))()
            compiler.write_back()
        optimizer.apply_gradients([(tf.constant(g.numpy()), v) for g, v in zip(trained.gradients, plain, strict=True)])
        for ours, theirs, label in zip(trained.weights, plain, names, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6, err_msg=f"{label} {step}")
    assert any(np.any(old != variable.numpy()) for old, variable in zip(start, plain, strict=True))


def first_values():
    """The weights that every `Trained` begins with."""
    with Scope(seed=0).active() as scope:
        DQNModel("train", torso, 4, 2, dueling=None)(tf.ones([2, 4]))
    return [variable.numpy() for variable in scope.parts["Model/online"].model.trainable_variables]


def test_only_the_configs_of_polyrl_join_variables():
    assert AdamConfig().element_wise
    assert SGDConfig(momentum=0.9).element_wise
    assert not any(config.element_wise for config in CONFIGS.values())


@dataclasses.dataclass(frozen=True)
class Keras3Config(OptimizerConfig):
    def build(self):
        return tf.keras.optimizers.Adam(0.1)


@dataclasses.dataclass(frozen=True)
class LossScaleConfig(OptimizerConfig):
    def build(self):
        return tf_keras.mixed_precision.LossScaleOptimizer(optimizers.SGD(0.1))


@dataclasses.dataclass(frozen=True)
class TextConfig(OptimizerConfig):
    def build(self):
        return "adam"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Keras3Config(), "expected a tf_keras.optimizers.Optimizer.*import tf_keras as keras"),
        (LossScaleConfig(), "builds a LossScaleOptimizer.*Build the inner optimizer"),
        (TextConfig(), "builds 'adam', expected a tf_keras.optimizers.Optimizer"),
    ],
    ids=["keras 3", "loss scale", "text"],
)
def test_what_is_not_an_optimizer_of_tf_keras_is_refused(config, words):
    with pytest.raises(TypeError, match=f"optimizer_config=.*{words}"):
        Trained(config)


def test_the_panel_shows_the_learning_rate_of_the_optimizer():
    with Scope().active():
        model = DQNModel("train", torso, 4, 2, optimizer_config=OwnConfig(which="class"), summaries=["learning_rate"])
    trained = Trained(OwnConfig(which="class"))
    summaries = model(*trained.batch).extra_ops["summaries"]
    np.testing.assert_allclose(float(summaries.scalars["train/learning_rate"]), 0.1, rtol=1e-6)


ONE = optimizers.SGD(0.1)


@dataclasses.dataclass(frozen=True)
class OneConfig(OptimizerConfig):
    """Builds the same one again and again."""

    def build(self):
        return ONE


def test_an_optimizer_that_is_in_use_is_refused():
    Trained(OneConfig())
    with pytest.raises(ValueError, match=r"OneConfig\(.*its build returned a SGD that is in use already.*return a new one"):
        Trained(OneConfig())
