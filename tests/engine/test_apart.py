"""What leaves the memory full of gaps runs in a thread of its own: XLA's compilations, and nothing else."""

from __future__ import annotations

import contextvars
import threading

import pytest
import tensorflow as tf
from engine_testing import Model

from polyrl.engine import apart as module
from polyrl.engine import compiler, xla
from polyrl.engine.apart import apart
from polyrl.engine.compiler import Compiler
from polyrl.engine.xla import Xla, XlaCall


def test_runs_in_a_thread_that_has_ended_afterwards():
    before = threading.active_count()
    thread = apart(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()
    assert threading.active_count() == before


def test_gives_what_the_function_returns_or_raises():
    assert apart(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        apart(divmod, 7, 0)


def test_has_the_context_of_its_caller():
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(3)
    assert apart(variable.get) == 3


@pytest.fixture
def calls(monkeypatch):
    """The functions that were called apart."""
    made = []

    def noting(function, *arguments):
        made.append(function)
        return module.apart(function, *arguments)

    monkeypatch.setattr(compiler, "apart", noting)
    monkeypatch.setattr(xla, "apart", noting)
    return made


@pytest.mark.parametrize("jit", [True, False])
def test_a_call_of_the_compiler_is_apart_when_xla_compiles_it(jit, calls):
    model, made = Model(), Compiler()
    made.start([model], model.probe, jit)
    for _ in range(3):
        made.call("scale", lambda: (model.scale, [tf.TensorSpec([], tf.float32)]))(tf.constant(2.0))
    assert len(calls) == jit


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("is_traced", [True, False])
def test_a_prediction_is_apart_when_xla_compiles_it(jit, is_traced, calls):
    call = XlaCall(lambda x: x * 2.0, Xla(jit, "doubles"))
    if is_traced:
        call.trace(tf.TensorSpec([], tf.float32))
    assert [float(call(tf.constant(number))) for number in (1.0, 2.0, 3.0)] == [2.0, 4.0, 6.0]
    assert len(calls) == jit


def test_a_prediction_that_is_traced_into_another_function_is_not(calls):
    call = XlaCall(lambda x: x * 2.0, Xla(True, "doubles"))
    assert float(tf.function(call, autograph=False)(tf.constant(1.5))) == 3.0
    assert not calls
