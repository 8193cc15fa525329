"""What a `model_fn` returns: each field and each entry of `extra_ops` is used as it is given, or refused by its name."""

from __future__ import annotations

import math
import tempfile
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from borders_testing import ANYTHING, DTYPES, NUMBERS, arrays, attempt, drive, filled, quick, slow
from hypothesis import strategies as st
from test_acting_borders import SPACES, Constant

from polyrl.estimators import Agent, EstimatorSpec, RunConfig, extra_ops
from polyrl.estimators.hooks import Hook
from polyrl.models.scope import current_scope
from polyrl.policies import BoundedTensorSpec
from polyrl.replay import PrioritizedReplay
from polyrl.summaries import Summaries, SummaryOptions

ROWS = 4
RESULTS = {"results": tf.zeros([ROWS], tf.int32)}
LOSS = tf.constant(1.0)


def train_op() -> tf.Tensor:
    return tf.constant(1, tf.int64)


# The spec itself. -----------------------------------------------------------------------------------------------------------

GIVEN = {"mode": "train", "predictions": RESULTS, "loss": LOSS, "train_op": train_op}


def a_field_is_kept_or_refused(case: Any) -> None:
    name, value = case
    given = {**GIVEN, name: value}
    if name == "export_outputs":
        given = {"mode": "infer", "predictions": RESULTS, name: value}
    taken, spec = attempt(lambda: EstimatorSpec(**given), name)
    if not taken or value is None:
        return
    kept = getattr(spec, name)
    if name == "loss":
        assert kept.shape.rank == 0
        float(kept)
    elif name == "train_op":
        assert callable(kept)
    elif name == "predictions":
        assert all(isinstance(key, str) and isinstance(tensor, tf.Tensor) for key, tensor in kept.items())
    elif name == "eval_metric_ops":
        assert all(isinstance(key, str) and isinstance(metric, tf_keras.metrics.Metric) for key, metric in kept.items())
    elif name == "mode":
        assert kept == "train"
    elif name == "extra_ops":
        assert all(isinstance(key, str) for key in kept)


# What the agent reads of `extra_ops`. ---------------------------------------------------------------------------------------

READERS = {
    "action_spec": extra_ops.action_spec,
    "exploration_rate": extra_ops.exploration_rate,
    "policy": extra_ops.policy,
    "priorities": lambda spec: extra_ops.priorities(spec, ROWS),
    "summaries": extra_ops.summaries,
    "summary_options": extra_ops.summary_options,
    "support": extra_ops.support,
}


def an_entry_is_read_as_given_or_refused(case: Any) -> None:
    name, value = case
    spec = EstimatorSpec("train", {**RESULTS, "losses": tf.fill([ROWS], 7.0)}, extra_ops={name: value})
    taken, found = attempt(lambda: READERS[name](spec), f"extra_ops['{name}']")
    if not taken:
        return
    if name == "exploration_rate":
        expected = math.nan if value is None else float(tf.cast(tf.convert_to_tensor(value), tf.float32))
        expected = math.inf if value is not None and math.isnan(expected) else expected  # Told from no rate at all.
        np.testing.assert_array_equal(found.numpy(), np.float32(expected))
    elif name == "priorities":
        assert found.shape == [ROWS]
        with np.errstate(over="ignore"):
            expected = np.full(ROWS, 7.0) if value is None else tf.convert_to_tensor(value).numpy()
        np.testing.assert_array_equal(found.numpy(), expected)
    elif name == "summary_options":
        assert set(found) <= set(SummaryOptions.ALL)
    elif name == "support" and value is not None:
        assert found[0] < found[1]
        assert [*map(float, value), 1.0, math.inf] == list(found)  # Rewards are neither scaled nor clipped unless it says so.
    elif name == "summaries":
        found.write(tf.summary.create_noop_writer(), 0)
    elif value is not None:
        assert found is value


# A run with the predictions. ------------------------------------------------------------------------------------------------


def predictions_are_acted_by_or_refused(case: Any) -> None:
    """A whole short run with them: what is taken gives an action for each state, and a row of `predict`."""
    dtype, shape, batched, value, key = case

    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        rows, scope = tf.shape(features["state"])[:1], current_scope()
        results = tf.fill(tf.concat([rows, shape], 0) if batched else shape, tf.cast(value, dtype))
        if batched:
            results.set_shape([features["state"].shape[0], *shape])
        predictions = {"results": results, key: tf.identity(results)}
        if labels is None:
            return EstimatorSpec(mode, predictions)
        done = (lambda: scope.global_step.assign_add(1)) if mode == "train" else None
        return EstimatorSpec(mode, predictions, LOSS, done, extra_ops={"priorities": labels["reward"]})

    config = RunConfig(jit="off", progress=False, save_summary_timesteps=None, save_checkpoints_timesteps=None)
    agent = Agent(model_fn, PrioritizedReplay(20, 2), tempfile.mkdtemp(), config)
    env = Constant(SPACES["floats"])
    names = ("predictions['results']", "The model gave the actions")
    taken, _ = attempt(lambda: agent.train(env, first_update=2, timesteps=4), *names)
    one_for_each = batched if not shape else not batched and shape == [1]  # There is one environment.
    assert taken == (dtype in (tf.int32, tf.int64, tf.uint8) and one_for_each and value in (0, 1))
    if taken and not batched:
        assert not attempt(lambda: agent.act(np.ones([3, 3], np.float32)), *names)[0]
    elif taken:
        assert agent.act(np.ones([3, 3], np.float32)).tolist() == [value + 5] * 3
        taken, found = attempt(lambda: list(agent.predict(env, steps=1)), f"predictions['{key}']")
        assert taken == (key not in ("state", "reward"))
        assert not taken or found[0]["results"] == value + 5


# Cases. ---------------------------------------------------------------------------------------------------------------------

NEAR_SHAPES = st.sampled_from([(), (1,), (ROWS,), (ROWS, 1)])
TENSORS = st.sampled_from(DTYPES).flatmap(lambda dtype: filled(dtype, NEAR_SHAPES)).map(tf.constant)
GAPPY = st.sampled_from([tf.sparse.from_dense([1.0, 0.0]), tf.ragged.constant([[1], [1, 2]]), tf.IndexedSlices(LOSS, LOSS)])
KEYS = st.one_of(st.sampled_from(["results", "losses", "a"]), st.text(max_size=3), st.integers(0, 2), st.none())
DICTS = st.dictionaries(KEYS, st.one_of(TENSORS, TENSORS, GAPPY, ANYTHING, st.builds(tf_keras.metrics.Mean)), max_size=3)
CALLABLES = st.sampled_from([len, int, Hook, lambda: None, lambda x: x, lambda *x: x, train_op, tf.function(train_op)])
FIELDS = ["mode", "predictions", "loss", "train_op", "eval_metric_ops", "extra_ops", "export_outputs", "training_hooks"]
FIELD_VALUES = st.one_of(TENSORS, GAPPY, DICTS, st.dictionaries(KEYS, DICTS, max_size=2), CALLABLES, ANYTHING)

SPECS = st.sampled_from(
    [
        tf.TensorSpec([], tf.int32),
        BoundedTensorSpec((), tf.int32, 0, 2),
        BoundedTensorSpec((), tf.int32, 1, 2),
        BoundedTensorSpec((2,), tf.int32, 0, (1, 2)),
        BoundedTensorSpec((), tf.float32, 0.0, 1.0),
        BoundedTensorSpec((2,), tf.float32, 0.0, 1.0),
    ]
)
GROUPS = st.one_of(st.dictionaries(KEYS, st.one_of(TENSORS, NUMBERS, GAPPY), max_size=2), ANYTHING)
OPTIONS = st.lists(st.sampled_from([*SummaryOptions.ALL, "all", "Loss", 1]), max_size=3)
NEAR = {
    "action_spec": SPECS,
    "exploration_rate": NUMBERS,
    "policy": st.just(Constant),
    "priorities": st.one_of(TENSORS, arrays(st.sampled_from([(ROWS,), (1,), ()]))),
    "summaries": st.builds(Summaries, GROUPS, GROUPS, GROUPS),
    "summary_options": st.one_of(OPTIONS, OPTIONS.map(tuple), st.sampled_from(["all", "loss", "los"])),
    "support": st.one_of(st.lists(NUMBERS, min_size=3, max_size=3), st.tuples(NUMBERS, NUMBERS), arrays((3,))),
}
ENTRIES = st.sampled_from(list(READERS)).flatmap(
    lambda name: st.tuples(st.just(name), st.one_of(NEAR[name], NEAR[name], TENSORS, GAPPY, ANYTHING))
)
RUNS = st.tuples(
    st.sampled_from([tf.int32, tf.int64, tf.uint8, tf.float32, tf.bool, tf.complex64]),
    st.sampled_from([[], [], [1], [2, 1]]),
    st.sampled_from([True, True, False]),
    st.sampled_from([0, 1, 1, 7]),
    st.sampled_from(["a", "state", "reward", "q_values"]),
)
PROPERTIES = {
    "fields": (a_field_is_kept_or_refused, st.tuples(st.sampled_from(FIELDS), FIELD_VALUES), 120),
    "entries": (an_entry_is_read_as_given_or_refused, ENTRIES, 120),
    "predictions": (predictions_are_acted_by_or_refused, RUNS, 6),
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_what_a_model_fn_returns_is_used_or_refused(name):
    quick(*PROPERTIES[name])


@slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_what_a_model_fn_returns_is_used_or_refused_for_long(name):
    drive(*PROPERTIES[name][:2], seconds=30)
