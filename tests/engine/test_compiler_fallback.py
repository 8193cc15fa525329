"""`Compiler`: what XLA cannot compile continues without it, from the same values."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tensorflow as tf
from engine_testing import Holder, Model, called, started

from polyrl.engine.compiler import Compiler
from polyrl.engine.layout import Layout

NUMBER = tf.TensorSpec([], tf.float32)


def check_fallback(function, caplog, before: int) -> None:
    """The call that fails, `before` calls after others, and all later ones do what they do on variables; one warning."""
    ours, plain = Model(), Model()
    compiler = started(ours, jit=True)
    for x in [2.0, 3.0][:before]:
        assert called(compiler, ours.scale, x) == [float(output) for output in plain.scale(tf.constant(x))]
    for x in (0.5, 4.0, -1.0):
        assert called(compiler, getattr(ours, function), x) == [
            float(output) for output in getattr(plain, function)(tf.constant(x))
        ]
        assert not compiler.xla
        assert ours.numbers() == plain.numbers()  # On the variables themselves.
        assert called(compiler, ours.scale, x) == [float(output) for output in plain.scale(tf.constant(x))]
    compiler.write_back()
    compiler.load()
    assert ours.numbers() == plain.numbers()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("XLA cannot compile the training loop, which continues without it, slower: ")
    assert "\n" not in warnings[0]


@pytest.mark.parametrize("before", [0, 2])
def test_what_cannot_be_carried_is_traced_without_xla(caplog, before):
    check_fallback("in_branch", caplog, before)
    assert "count:0 is assigned inside a branch" in caplog.text


@pytest.mark.parametrize("function", ["in_words", "in_python"])
@pytest.mark.parametrize("before", [0, 2])
def test_what_xla_does_not_know_is_found_at_the_first_call(caplog, function, before):
    check_fallback(function, caplog, before)


@pytest.mark.parametrize("function", ["in_branch", "in_words", "scale"])
def test_a_call_that_is_kept_from_its_first_use_is_compiled_or_falls_back_once(caplog, function):
    caplog.set_level(logging.INFO, "polyrl")
    ours, plain = Model(), Model()
    compiler = started(ours, jit=True)
    kept = compiler.call("kept", lambda: (getattr(ours, function), [NUMBER]))
    other = compiler.call("other", lambda: (ours.scale, [NUMBER]))
    for x in (2.0, 0.5, 3.0):
        assert [float(output) for output in kept(tf.constant(x))] == [
            float(output) for output in getattr(plain, function)(tf.constant(x))
        ]
        assert [float(output) for output in other(tf.constant(x))] == [float(output) for output in plain.scale(tf.constant(x))]
    compiler.write_back()
    assert ours.numbers() == plain.numbers()
    assert ours.traces <= 5  # To probe, and each call with XLA and without.
    assert caplog.text.count("XLA cannot compile") == (function != "scale")
    assert caplog.text.count("Compiled in") == (2 if function == "scale" else 0)


def test_what_cannot_be_probed_never_starts_with_xla_and_is_not_tried_again(caplog):
    model = Model()
    compiler = Compiler()
    for _ in range(2):
        compiler.start([model], lambda: model.in_branch(tf.constant(1.0)), jit=True)
        assert not compiler.xla
    assert caplog.text.count("XLA cannot compile the training loop, which continues without it, slower: ") == 1
    assert called(compiler, model.in_branch, 2.0) == [6.0, 11.0]


def test_after_a_fallback_the_same_start_does_not_try_xla_again():
    model = Model()
    compiler = started(model, jit=True)
    called(compiler, model.in_words, 2.0)
    compiler.start([model], model.probe, jit=True)
    assert not compiler.xla
    assert called(compiler, model.in_words, 2.0) == [12.0, 2.0]


@pytest.mark.parametrize("way", ["plain", "xla", "in_branch", "in_words"])
def test_what_a_call_keeps_of_its_inputs_outlives_them(way):
    """With XLA inputs are handed over without a copy, in buffers that are written again."""
    holder = Holder(last=tf.Variable(tf.zeros([64])), other=tf.Variable(tf.zeros([64])))
    layout = Layout([tf.TensorSpec([64]), tf.TensorSpec([64])])

    def keep(*packed):
        first, second = layout.unpack(packed)
        holder.last.assign(first)
        if way == "in_branch":
            tf.cond(first[0] > 0.0, lambda: holder.other.assign(second), lambda: second)
        holder.other.assign(second)
        total = tf.reduce_sum(first)
        return [tf.strings.to_number(tf.strings.as_string(total)) if way == "in_words" else total]

    def probe():
        holder.last.assign_add(holder.other)

    compiler = Compiler()
    compiler.start([holder], probe, jit=way != "plain")
    arrays = [np.full(64, 1.0, np.float32), np.full(64, 2.0, np.float32)]
    inputs = layout.pack_arrays(arrays, copy=not compiler.xla)
    assert compiler.call("keep", lambda: (keep, layout.specs))(*inputs)[0] == 64.0
    assert compiler.xla == (way == "xla")
    layout.pack_arrays([-array for array in arrays])
    compiler.write_back()
    np.testing.assert_array_equal(holder.last, arrays[0])
    np.testing.assert_array_equal(holder.other, arrays[1])
