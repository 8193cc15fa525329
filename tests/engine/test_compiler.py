"""`Compiler`: calls are compiled once, with XLA or without, and compute as on variables."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest
import tensorflow as tf
from engine_testing import Model, called, started

import polyrl.engine
from polyrl.engine.compiler import Compiler

NUMBER = tf.TensorSpec([], tf.float32)
JIT = pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])


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


@pytest.mark.default_cases(7)
@pytest.mark.parametrize("change", ["jit", "roots", "form", "forget"])
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
    compiler.start(roots, model.probe, jit != (change == "jit"), "another" if change == "form" else None)
    assert compiler.xla == (jit != (change == "jit"))
    assert called(compiler, model.scale, 2.0) == [18.0, 2.0]
    assert model.traces > before
    compiler.write_back()
    assert model.numbers() == [2, 6.0, 12.0, 5.0]


def test_many_compilers_do_not_make_tensorflow_warn_of_retracing(caplog):
    """As several runs in one process: TensorFlow takes one code that is traced in five calls in a row for a mistake."""
    for _ in range(8):
        compiler = Compiler()
        assert called(compiler, lambda x: [x + 1.0], 2.0) == [3.0]
    assert "retracing" not in caplog.text


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
