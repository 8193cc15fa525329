"""What a `graph_fn` may return: rows of floats that the network depends on; all else is refused by that name."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from borders_testing import ANYTHING, arrays, attempt, drive, quick, slow
from hypothesis import strategies as st

from polyrl.models import CategoricalDQNModel, DQNModel, NAFModel, Scope

STATE = np.ones([3, 4], np.float32)
layers = tf_keras.layers
FITS = {
    "dense": lambda x: layers.Dense(2)(x),
    "the state": lambda x: x,
    "half": lambda x: tf.cast(layers.Dense(2)(x), tf.float16),
    "whole numbers": lambda x: tf.cast(x, tf.int32),
}
FAILS = {
    "rank 1": lambda x: x[:, 0],
    "rank 3": lambda x: x[:, None],
    "scalar": lambda x: tf.reduce_sum(x),
    "a pair": lambda x: (x, x),
    "a list": lambda x: [layers.Dense(2)(x)],
    "a dict": lambda x: {"x": x},
    "a layer": lambda x: layers.Dense(2),
    "a variable": lambda x: tf.Variable(STATE),
    "strings": lambda x: tf.strings.as_string(x),
    "complex": lambda x: tf.cast(x, tf.complex64),
    "no columns": lambda x: x[:, :0],
    "one row": lambda x: x[:1],
    "rows of columns": lambda x: tf.transpose(x),
}
MADE = st.sampled_from([*FITS, *FAILS])
RETURNED = st.one_of(MADE.map(lambda name: (name, None)), ANYTHING.map(lambda x: ("", x)), arrays().map(lambda x: ("", x)))
CASES = st.tuples(st.sampled_from([DQNModel, CategoricalDQNModel, NAFModel]), RETURNED, st.booleans())


def what_is_returned_is_a_torso_or_refused(case: Any) -> None:
    kind, (name, value), bare = case
    change = {**FITS, **FAILS}.get(name, lambda x: value)

    def graph_fn(mode, inputs):
        return change(inputs if bare else inputs["state"])

    with Scope().active():
        model = kind("infer", graph_fn, 4, 2, summaries=[])
    taken, found = attempt(lambda: model(STATE if bare else {"state": STATE}), "graph_fn")
    assert taken == (name in FITS), f"{name} {value!r}: {found}"


def what_is_no_function_is_refused(case: Any) -> None:
    with Scope().active():
        taken, _ = attempt(lambda: DQNModel("infer", case, 4, 2, summaries=[]), "graph_fn")
    assert not taken or callable(case)


def test_what_a_graph_fn_returns_is_a_torso_or_refused():
    quick(what_is_returned_is_a_torso_or_refused, CASES, examples=20)


def test_a_graph_fn_is_a_function():
    quick(what_is_no_function_is_refused, ANYTHING)


@slow
def test_what_a_graph_fn_returns_is_a_torso_or_refused_for_long():
    drive(what_is_returned_is_a_torso_or_refused, CASES, seconds=55)
    drive(what_is_no_function_is_refused, ANYTHING, seconds=5)


PROPERTIES = {"returned": (what_is_returned_is_a_torso_or_refused, CASES), "given": (what_is_no_function_is_refused, ANYTHING)}
