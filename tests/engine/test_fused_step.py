"""One vector of small variables for the optimizer."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.configs import AdamConfig, RMSpropConfig
from polyrl.engine.fused_step import COMPILED, FusedStep
from polyrl.engine.packing import LIMIT

SHAPES = [(3, 4), (LIMIT + 1,), (5,), (), (2, COMPILED)]


def new_variables() -> list[tf.Variable]:
    rng = np.random.default_rng(0)
    return [tf.Variable(rng.normal(size=shape).astype(np.float32)) for shape in SHAPES]


def gradients(step: int) -> list[tf.Tensor]:
    rng = np.random.default_rng(1 + step)
    return [tf.constant(rng.normal(size=shape).astype(np.float32)) for shape in SHAPES]


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("config", [AdamConfig(0.01), RMSpropConfig(0.01, momentum=0.9, centered=True)])
@pytest.mark.parametrize("xla", [False, True])
def test_a_fused_step_is_a_step_on_each_variable(config, xla):
    ours, theirs = new_variables(), new_variables()
    fused, optimizer, plain = FusedStep(ours, alone={2}), config.build(), config.build()
    optimizer.build(fused.optimized(ours))
    plain.build(theirs)
    update = tf.function(lambda *g: fused.apply_gradients(optimizer, fused.pack(g), ours, xla), autograph=False)
    for step in range(5):
        update(*gradients(step))
        plain.apply_gradients(zip(gradients(step), theirs, strict=True))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)
    assert int(optimizer.iterations) == 5
    assert not optimizer.jit_compile


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("xla", [False, True])
def test_the_argument_decides_on_xla_and_the_optimizer_keeps_its_own_setting(own, xla):
    variables, seen = new_variables(), []

    class Watched(tf_keras.optimizers.SGD):
        def apply_gradients(self, *arguments):
            seen.append(self.jit_compile)
            return super().apply_gradients(*arguments)

    step, optimizer = FusedStep(variables), Watched(0.1)
    optimizer.jit_compile = own
    optimizer.build(step.optimized(variables))
    step.apply_gradients(optimizer, step.pack(gradients(0)), variables, xla)
    assert (seen, optimizer.jit_compile) == ([xla], own)


@pytest.mark.parametrize(("size", "compiled"), [(LIMIT, False), (LIMIT + 1, False), (COMPILED, False), (COMPILED + 1, True)])
def test_only_what_gains_by_it_is_compiled_before_a_run_is(size, compiled):
    """A compilation takes time before the first update; a layer of 64 units, left by itself, is not worth it."""
    variables, seen = [tf.Variable(tf.ones([3])), tf.Variable(tf.ones([size]))], []

    class Watched(tf_keras.optimizers.SGD):
        def apply_gradients(self, *arguments):
            seen.append(self.jit_compile)
            return super().apply_gradients(*arguments)

    step, optimizer = FusedStep(variables), Watched(0.1)
    optimizer.build(step.optimized(variables))
    step.apply_gradients(optimizer, step.pack([tf.ones([3]), tf.ones([size])]), variables, xla=True)
    assert seen == [compiled]
    np.testing.assert_allclose(variables[1], np.full(size, 0.9), rtol=1e-5)


def test_packing_is_undone_by_unpacking():
    variables = new_variables()
    step = FusedStep(variables)
    packed = step.pack([variable.read_value() for variable in variables])
    assert len(packed) == 3  # The vector, and two large ones.
    for one, other in zip(step.unpack(packed), variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_all_variables_may_be_large():
    variables = [tf.Variable(tf.ones([LIMIT + 1]))]
    step, optimizer = FusedStep(variables), AdamConfig(0.1).build()
    optimizer.build(step.optimized(variables))
    step.apply_gradients(optimizer, step.pack([tf.ones([LIMIT + 1])]), variables)
    np.testing.assert_allclose(variables[0], np.full(LIMIT + 1, 0.9), rtol=1e-5)
