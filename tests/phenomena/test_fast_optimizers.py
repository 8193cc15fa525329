"""Each optimizer on the road built for speed is the one that tf-keras applies to each variable."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from fast_testing import (
    SLOW,
    TOLERANCE,
    UPDATES,
    check_against_oracle,
    model_fn_of,
)

from polyrl import configs
from polyrl.configs import AdamConfig, SGDConfig
from polyrl.engine.compiler import Compiler
from polyrl.engine.fused_step import FusedStep

OPTIMIZERS = {
    "adam": AdamConfig(0.01),
    "amsgrad": AdamConfig(0.01, amsgrad=True),
    "adamw": configs.AdamWConfig(0.01, weight_decay=0.05),
    "adamax": configs.AdamaxConfig(0.01),
    "nadam": configs.NadamConfig(0.01),
    "sgd": SGDConfig(0.1),
    "momentum": SGDConfig(0.05, momentum=0.9),
    "nesterov": SGDConfig(0.05, momentum=0.9, nesterov=True),
    "rmsprop": configs.RMSpropConfig(0.01, epsilon=0.01),
    "rmsprop_centered": configs.RMSpropConfig(0.01, rho=0.95, momentum=0.5, epsilon=0.01, centered=True),
    "adagrad": configs.AdagradConfig(0.05),
    "adadelta": configs.AdadeltaConfig(1.0),
    "ftrl": configs.FtrlConfig(0.1, l1_regularization_strength=0.001, l2_regularization_strength=0.01),
    "lion": configs.LionConfig(0.01),
}


# Optimizers. ------------------------------------------------------------------------------------------------------------


def test_every_optimizer_there_is_is_among_these():
    found = {name: getattr(configs, name) for name in dir(configs) if name.endswith("Config")}
    known = {name for name, config in found.items() if issubclass(config, configs.OptimizerConfig)}
    assert {type(config).__name__ for config in OPTIMIZERS.values()} == known - {"OptimizerConfig"}


SCHEDULES = {
    "exponential": configs.ExponentialDecayConfig(0.1, decay_steps=4, decay_rate=0.5),
    "staircase": configs.ExponentialDecayConfig(0.1, decay_steps=4, decay_rate=0.5, staircase=True),
    "inverse_time": configs.InverseTimeDecayConfig(0.1, decay_steps=4, decay_rate=0.5),
    "polynomial": configs.PolynomialDecayConfig(0.1, decay_steps=8, end_learning_rate=0.01, power=2.0),
    "piecewise": configs.PiecewiseConstantDecayConfig((3, 7), (0.1, 0.03, 0.2)),
    "cosine": configs.CosineDecayConfig(0.1, decay_steps=8, alpha=0.1),
    "restarts": configs.CosineDecayRestartsConfig(0.1, first_decay_steps=3),
}


class Optimized(tf.Module):
    """One optimizer by every config, each with variables of its own: small, constrained and large ones."""

    SHAPES = ((4, 3), (3,), (), (1, 2, 2), (200, 100))

    def __init__(self, optimizer_configs, bundled: bool):
        super().__init__()
        rng = np.random.default_rng(0)
        start = [rng.normal(size=shape).astype(np.float32) for shape in self.SHAPES]
        constraints = [tf_keras.constraints.MaxNorm(0.8), tf_keras.constraints.NonNeg(), None, None, None]
        pairs = list(zip(start, constraints, strict=True))
        self.sets = [[tf.Variable(value, constraint=c) for value, c in pairs] for _ in optimizer_configs]
        self.optimizers = [config.build() for config in optimizer_configs]
        self.bundles = [FusedStep(variables) if bundled else None for variables in self.sets]
        for optimizer, bundle, variables in zip(self.optimizers, self.bundles, self.sets, strict=True):
            optimizer.build(bundle.optimized(variables) if bundled else variables)

    def update(self, step):
        """One step of each, along gradients that are a function of its number and of the values."""
        for optimizer, bundle, variables in zip(self.optimizers, self.bundles, self.sets, strict=True):
            counts = [tf.range(v.shape.num_elements(), dtype=tf.float32) for v in variables]
            waves = [tf.cos(tf.cast(step, tf.float32) + count) for count in counts]
            gradients = [tf.reshape(wave, v.shape) + 0.5 * v for wave, v in zip(waves, variables, strict=True)]
            if bundle is None:
                optimizer.apply_gradients(zip(gradients, variables, strict=True))
            else:
                bundle.apply_gradients(optimizer, bundle.pack(gradients), variables)
        return [self.optimizers[0].iterations.read_value()]


BY_NAME = {**OPTIMIZERS, **{f"sgd_{name}": SGDConfig(schedule, momentum=0.5) for name, schedule in SCHEDULES.items()}}


GROUPS = [
    pytest.param(list(BY_NAME), True, marks=SLOW, id="xla"),
    pytest.param(list(BY_NAME), False, id="function"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("names", "jit"), GROUPS)
def test_each_optimizer_on_one_vector_is_the_one_on_each_variable(names, jit):
    """Under XLA and in a plain graph; the plain optimizers run eagerly, variable by variable."""
    fast, plain = (Optimized([BY_NAME[name] for name in names], bundled) for bundled in (True, False))
    compiler = Compiler()
    compiler.start([fast, *fast.optimizers], lambda: fast.update(tf.constant(0)), jit)
    assert compiler.xla == jit
    call = compiler.call("update", lambda: (fast.update, [tf.TensorSpec([], tf.int32)]))
    start = [[v.numpy() for v in variables] for variables in plain.sets]
    for step in range(UPDATES):
        call(tf.constant(step))
        plain.update(tf.constant(step))
    compiler.write_back()
    for name, found, expected, before in zip(names, fast.sets, plain.sets, start, strict=True):
        for one, two, zero in zip(found, expected, before, strict=True):
            np.testing.assert_allclose(one, two, err_msg=name, **TOLERANCE)
            assert not np.array_equal(two, zero), name


@pytest.mark.slow
@pytest.mark.parametrize("jit", [True, False], ids=["xla", "function"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_model_learns_as_with_each_plain_optimizer(name, jit):
    config = OPTIMIZERS[name]
    check_against_oracle(model_fn_of("dqn", optimizer_config=config), config, jit)


@pytest.mark.parametrize("jit", [True, False], ids=["xla", "function"])
@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rates_follow_their_schedule(name, jit):
    config = SGDConfig(SCHEDULES[name], momentum=0.5)
    check_against_oracle(model_fn_of("dqn", optimizer_config=config), config, jit)
