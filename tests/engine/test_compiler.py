"""`Compiler`: calls are compiled once, and continue without XLA from the same values where it fails."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from engine_testing import Holder

import polyrl.engine
from polyrl.engine.compiler import Compiler
from polyrl.engine.layout import LIMIT, Layout

NUMBER = tf.TensorSpec([], tf.float32)
JIT = pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])


class Model(Holder):
    """Small variables and a large one, and what calls do to them."""

    def __init__(self):
        super().__init__(
            count=tf.Variable(0, dtype=tf.int64, name="count"),
            weights=tf.Variable([1.0, 2.0], name="weights"),
            large=tf.Variable(tf.zeros([LIMIT + 1]), name="large"),
        )
        self.traces = 0

    def probe(self):
        return self.scale(tf.constant(1.0))

    def scale(self, x):
        self.traces += 1
        self.count.assign_add(1)
        self.weights.assign(self.weights * x)
        self.large.assign_add(tf.fill([LIMIT + 1], x))
        return [tf.reduce_sum(self.weights), self.count.read_value()]

    def in_branch(self, x):
        """What cannot be carried."""
        tf.cond(x > 0.0, lambda: self.count.assign_add(10), lambda: self.count.read_value())
        return self.scale(x)

    def in_words(self, x):
        """What XLA does not know."""
        return self.scale(tf.strings.to_number(tf.strings.as_string(x)))

    def in_python(self, x):
        """What XLA does not know either."""
        return self.scale(tf.ensure_shape(tf.py_function(lambda x: x, [x], tf.float32), []))

    def numbers(self):
        return [self.count.numpy(), *self.weights.numpy(), *np.unique(self.large)]


def started(model: Model, jit: bool) -> Compiler:
    compiler = Compiler()
    compiler.start([model], model.probe, jit)
    assert compiler.xla == jit
    return compiler


def called(compiler: Compiler, function, x: float, name=None) -> list[float]:
    """The call as a loop makes it: looked up for each use."""
    call = compiler.call(name or function.__name__, lambda: (function, [NUMBER]))
    return [float(output) for output in call(tf.constant(x))]


# Without a fallback. ----------------------------------------------------------------------------------------------------


@JIT
def test_calls_in_turn_compute_as_on_variables(jit):
    ours, plain = Model(), Model()
    compiler = started(ours, jit)

    def negate(x):
        ours.weights.assign(-ours.weights)
        return [ours.weights[0] + x]

    for x in (2.0, 0.5, 3.0):
        assert called(compiler, ours.scale, x) == [float(output) for output in plain.scale(tf.constant(x))]
        assert called(compiler, negate, x) == [x - plain.weights.numpy()[0]]
        plain.weights.assign(-plain.weights)
    compiler.write_back()
    assert ours.numbers() == plain.numbers()


def test_values_are_out_of_date_until_they_are_written_back():
    model = Model()
    compiler = started(model, jit=True)
    called(compiler, model.scale, 2.0)
    assert model.numbers()[:3] == [0, 1.0, 2.0]
    compiler.write_back()
    assert model.numbers() == [1, 2.0, 4.0, 2.0]


@JIT
def test_what_was_assigned_between_calls_is_loaded(jit):
    model = Model()
    compiler = started(model, jit)
    called(compiler, model.scale, 2.0)
    compiler.write_back()
    model.weights.assign([10.0, 20.0])
    compiler.load()
    assert called(compiler, model.scale, 0.5) == [15.0, 2.0]
    compiler.write_back()
    compiler.write_back()
    assert model.numbers() == [2, 5.0, 10.0, 2.5]


@JIT
def test_a_call_is_built_traced_and_compiled_once(jit, caplog):
    caplog.set_level(logging.INFO, "polyrl")
    model = Model()
    compiler = started(model, jit)
    before, built = model.traces, []

    def build():
        built.append(1)
        return model.scale, [NUMBER]

    for _ in range(4):
        compiler.call(("scale", 1), build)(tf.constant(1.0))
    assert (len(built), model.traces - before) == (1, 1)
    compiler.call(("scale", 2), build)(tf.constant(1.0))
    assert (len(built), model.traces - before) == (2, 2)
    assert caplog.text.count("Compiled in") == (2 if jit else 0)


@JIT
def test_starting_again_with_the_same_modules_keeps_the_calls_and_loads(jit):
    model = Model()
    compiler = started(model, jit)
    called(compiler, model.scale, 1.0)
    compiler.write_back()
    model.weights.assign([3.0, 4.0])
    before = model.traces
    compiler.start([model], model.probe, jit)
    assert called(compiler, model.scale, 2.0) == [14.0, 2.0]
    assert model.traces == before


@pytest.mark.parametrize("change", ["jit", "roots", "forget"])
@JIT
def test_starting_otherwise_compiles_again_from_the_same_values(jit, change):
    model = Model()
    compiler = started(model, jit)
    called(compiler, model.scale, 3.0)
    compiler.write_back()
    before = model.traces
    if change == "forget":
        compiler.forget()
        assert not compiler.xla
    roots = [model, tf.Module()] if change == "roots" else [model]
    compiler.start(roots, model.probe, jit != (change == "jit"))
    assert compiler.xla == (jit != (change == "jit"))
    assert called(compiler, model.scale, 2.0) == [18.0, 2.0]
    assert model.traces > before
    compiler.write_back()
    assert model.numbers() == [2, 6.0, 12.0, 5.0]


def test_before_a_start_calls_work_on_the_variables():
    model = Model()
    compiler = Compiler()
    compiler.load()
    assert called(compiler, model.scale, 2.0) == [6.0, 1.0]
    compiler.write_back()
    assert model.numbers() == [1, 2.0, 4.0, 2.0]


@JIT
def test_an_error_of_the_function_itself_is_raised(jit):
    model = Model()
    compiler = started(model, jit)

    def wrong(x):
        raise KeyError("not XLA's")

    for _ in range(2):
        with pytest.raises(KeyError, match="not XLA's"):
            called(compiler, wrong, 1.0)
    assert compiler.xla == jit
    assert called(compiler, model.scale, 2.0) == [6.0, 1.0]


def test_without_xla_the_stack_at_tracing_has_no_frame_of_the_engine():
    """From `main` to a gradient, each frame that a reader of a traceback must skip is one too many."""
    frames = []

    def function(x):
        frames.extend(Path(frame.filename) for frame in traceback.extract_stack())
        return [x + 1.0]

    compiler = Compiler()
    for x in (1.0, 2.0, 3.0):
        assert called(compiler, function, x) == [x + 1.0]
    engine = Path(polyrl.engine.__file__).parent
    assert Path(__file__) in frames
    assert [path for path in frames if engine in path.parents] == []


# Fallbacks. -------------------------------------------------------------------------------------------------------------


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
