"""`with_other_keys`: all parts of a Dict observation reach the dense layers, in the order of the keys."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.networks import SameInEveryMode, cnn, embedding_mlp, mlp, with_other_keys

ROWS = 3
PARTS = {
    "state": np.arange(6, dtype=np.float32).reshape(ROWS, 2),
    "goal": np.array([[0.5], [-1.0], [2.0]], np.float32),
    "kind": np.array([0, 2, 3], np.int32),
    "pair": np.array([[0, 1], [2, 2], [1, 0]], np.int32),
    "bytes": np.array([[[0, 255]], [[51, 102]], [[255, 255]]], np.uint8),
    "flag": np.array([True, False, True]),
}
KEYS = {"goal": None, "kind": 4, "pair": 3, "bytes": None, "flag": None}


def inputs(**parts):
    return {key: tf_keras.Input(value.shape[1:], dtype=value.dtype.name) for key, value in parts.items()}


def passed_on(mode, row):
    return row


def test_the_row_is_that_of_numpy():
    symbols = inputs(**PARTS)
    row = tf_keras.Model(symbols, with_other_keys(None, passed_on, KEYS)("train", symbols))(PARTS).numpy()
    expected = np.concatenate(
        [
            PARTS["state"],
            PARTS["goal"],
            np.eye(4)[PARTS["kind"]],
            np.eye(3)[PARTS["pair"]].reshape(ROWS, 6),
            PARTS["bytes"].reshape(ROWS, 2) / 255.0,
            PARTS["flag"][:, np.newaxis],
        ],
        axis=1,
    )
    np.testing.assert_allclose(row, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("below", "state"),
    [
        (cnn([2], ()), np.zeros([ROWS, 5, 5, 1], np.uint8)),
        (embedding_mlp(7, 3, ()), np.array([0, 6, 1], np.int32)),
        (mlp([4]), np.ones([ROWS, 2], np.float32)),
    ],
)
def test_each_key_has_an_effect_above_any_torso(below, state):
    parts = {**PARTS, "state": state}
    symbols = inputs(**parts)
    torso = with_other_keys(below, mlp([8], "tanh"), KEYS)
    assert isinstance(torso, SameInEveryMode)
    model = tf_keras.Model(symbols, torso("train", symbols))
    values = model(parts).numpy()
    assert values.shape == (ROWS, 8)
    for key in KEYS:
        other = {**parts, key: np.roll(parts[key], 1, axis=0)}
        assert np.abs(model(other).numpy() - values).max() > 1e-4, key


def test_the_mode_is_passed_on():
    seen = []

    def below(mode, parts):
        seen.append(mode)
        return tf.ones([ROWS, 1])

    def above(mode, row):
        seen.append(mode)
        return row

    torso = with_other_keys(below, above, {"goal": None})
    assert not isinstance(torso, SameInEveryMode)
    assert torso("eval", PARTS).shape == (ROWS, 2)
    assert seen == ["eval", "eval"]


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        ({}, ValueError, "must name keys of the observation beside the state"),
        ({"kind": 0}, ValueError, r"keys\['kind'\]=0 must be at least 1"),
        ({"kind": 2.5}, TypeError, r"keys\['kind'\]=2.5 must be an integer"),
    ],
)
def test_what_are_no_keys_is_refused(keys, error, words):
    with pytest.raises(error, match=words):
        with_other_keys(None, mlp([4]), keys)


@pytest.mark.parametrize("observation", [{"state": tf.ones([1, 2])}, tf.ones([1, 2])])
def test_a_key_that_is_not_there_is_named(observation):
    with pytest.raises(ValueError, match=r"reads the key '(goal|state)'; the observation has"):
        with_other_keys(None, mlp([4]), {"goal": None})("train", observation)
