"""`XlaCall`: compiled by XLA, or the same function without it."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tensorflow as tf

from polyrl.engine import xla
from polyrl.engine.compiler import Compiler
from polyrl.engine.xla import Xla, XlaCall, reason

SPEC = tf.TensorSpec([None, 2])


def doubled(x):
    return {"y": 2.0 * x}


def foreign(x):
    """XLA cannot run Python."""
    return {"y": tf.ensure_shape(tf.py_function(lambda x: 2.0 * x, [x], tf.float32), x.shape)}


def warnings_of(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("traced", [True, False])
def test_it_calls_the_function(caplog, jit, traced):
    call = XlaCall(doubled, Xla(jit, "numbers"))
    if traced:
        call.trace(SPEC)
        assert call.outputs["y"].shape.as_list() == [None, 2]
    np.testing.assert_array_equal(call(np.ones([3, 2], np.float32))["y"], np.full([3, 2], 2.0))
    assert not warnings_of(caplog)


@pytest.mark.parametrize("traced", [True, False])
def test_what_cannot_be_compiled_continues_without_xla_and_one_warning_for_its_kind(caplog, traced):
    xla = Xla(True, "the numbers")
    calls = [XlaCall(foreign, xla), XlaCall(foreign, xla), XlaCall(doubled, xla)]
    for call in calls if traced else []:
        call.trace(SPEC)
    for _ in range(2):
        for call in calls:
            np.testing.assert_array_equal(call(np.ones([3, 2], np.float32))["y"], np.full([3, 2], 2.0))
    assert warnings_of(caplog) == [
        "XLA cannot compile the numbers, which continue without it, slower: it does not support the operation EagerPyFunc."
    ]


def test_an_error_of_the_function_itself_is_raised(caplog):
    def checked(x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 1.0, message="too large")]):
            return tf.identity(x)

    call = XlaCall(checked, Xla(False, "numbers"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        call(np.ones([1, 2], np.float32))
    assert not warnings_of(caplog)


def test_a_function_whose_first_trace_failed_can_be_traced_again():
    broken = [True]

    def function(x):
        variable = tf.Variable(1.0) if broken[0] else 1.0  # TensorFlow has begun to create variables when this fails.
        if broken[0]:
            raise ValueError("not yet")
        return x * variable

    call = XlaCall(function, Xla(True, "numbers"))
    for _ in range(2):
        with pytest.raises(ValueError, match="not yet"):
            call.trace(SPEC)
    broken[0] = False
    call.trace(SPEC)
    np.testing.assert_array_equal(call(np.ones([1, 2], np.float32)), [[1.0, 1.0]])


def test_other_errors_give_their_first_line_as_the_reason():
    assert reason(ValueError("first\nsecond")) == "first"


@pytest.mark.parametrize(("held", "room"), [(900, False), (899, True), (2, True)])
def test_a_process_without_room_for_code_continues_without_xla(caplog, monkeypatch, tmp_path, held, room):
    files = tmp_path / "maps", tmp_path / "limit"
    files[0].write_text("an address and a file\n" * held)
    files[1].write_text("1000\n")
    monkeypatch.setattr(xla, "MAPPINGS", files)
    compiler = Compiler()
    compiler.start([tf.Module()], lambda: None, jit=True)
    assert Xla(True, "numbers").jit is compiler.xla is room
    assert [f"holds {held} of the 1,000 memory mappings" in text for text in warnings_of(caplog)] == [True] * 2 * (not room)


def test_where_the_system_tells_nothing_there_is_room(monkeypatch, tmp_path):
    monkeypatch.setattr(xla, "MAPPINGS", (tmp_path / "none", tmp_path / "none"))
    assert xla.has_room()
