"""`params`: what has one meaning becomes plain values, all else is refused by its key when the agent is made."""

from __future__ import annotations

import argparse
import copy
import json
import pickle

import ml_collections
import numpy as np
import pytest
import tensorflow as tf
from checkpoint_testing import BATCH, schedule

from polyrl.configs import AdamConfig, OptimizerConfig
from polyrl.estimators.checkpoints.params import frozen_params

PLAIN = [
    (np.int64(64), 64),
    (np.uint8(3), 3),
    (np.float64(0.1), 0.1),
    (np.float32(0.5), 0.5),
    (np.bool_(True), True),
    (np.str_("relu"), "relu"),
    (np.array(3), 3),
    (np.array([64, 32]), (64, 32)),
    (np.array([[0.5], [1.5]]), ((0.5,), (1.5,))),
    ((8, np.int32(8)), (8, 8)),
    ([8, [np.float64(0.5), None]], (8, (0.5, None))),
    (True, True),
    (None, None),
    (10**30, 10**30),
    ("Grüße", "Grüße"),
    ([], ()),
]


@pytest.mark.parametrize(("given", "plain"), PLAIN, ids=[repr(given) for given, _ in PLAIN])
def test_what_has_one_meaning_becomes_plain(agent, given, plain):
    kept = agent(params={"x": given, "inner": {"y": given}}).params
    for value in (kept.x, kept.inner.y):
        assert value == plain
        assert type(value) is type(plain)


def test_a_run_with_numpy_values_can_be_resumed(agent, tmp_path):
    numpy = {"units": np.random.default_rng(0).choice([32, 64]), "rate": np.float32(1e-3), "sizes": np.array([64, 64])}
    python = {"units": int(numpy["units"]), "rate": float(numpy["rate"]), "sizes": [64, 64]}
    agent(params=numpy).train(schedule(), first_update=BATCH, timesteps=6)
    assert json.loads((tmp_path / "run" / "params.json").read_text())["params"] == python
    for params in (numpy, python):
        agent(params=params).train(schedule(), first_update=BATCH, timesteps=2)


@pytest.mark.parametrize("kind", [ml_collections.ConfigDict, ml_collections.FrozenConfigDict])
def test_config_dicts_are_taken_whole_and_nested(agent, kind):
    given = {"units": 8, "inner": {"rate": 0.5}}
    for params in (kind(given), {"units": 8, "inner": kind({"rate": 0.5})}):
        assert agent(params=params).params.to_dict() == given


REFUSED = [
    (float("nan"), ValueError, "=nan must be finite"),
    (np.float32("nan"), ValueError, "=nan must be finite"),
    (float("inf"), ValueError, "=inf must be finite"),
    (np.array([1.0, np.nan]), ValueError, r"\[1\]=nan must be finite"),
    ({1: 0.5, 2: 0.1}, TypeError, "has the key 1; keys must be of type str, as '1'"),
    ({None: 1}, TypeError, "has the key None"),
    ({"a.b": 1}, ValueError, "has the key 'a.b'.*another name"),
    ({"": 1}, ValueError, "has the key ''"),
    ({"items": 1}, ValueError, r"has the key 'items'.*params\.<key>"),
    ([{"rate": 1}], TypeError, "must not hold dicts in a list"),
    (AdamConfig(), TypeError, r"AdamConfig\(.*build AdamConfig\(\.\.\.\) in model_fn.*from_dict"),
    ({1, 2}, TypeError, "a sorted list"),
    (tf.constant(1.0), TypeError, r"x\.numpy\(\)"),
    (argparse.Namespace(a=1), TypeError, r"vars\(x\)"),
    (b"bytes", TypeError, "must be a number"),
    (1j, TypeError, "must be a number"),
    (np.complex64(1j), TypeError, "must be a number"),
    (np.datetime64("2020-01-01"), TypeError, "must be a number"),
    (len, TypeError, "must be a number"),
    (tf.float32, TypeError, "must be a number"),
]


@pytest.mark.parametrize(("value", "error", "words"), REFUSED, ids=[repr(value) for value, _, _ in REFUSED])
def test_all_else_is_refused_by_its_key_when_the_agent_is_made(agent, tmp_path, value, error, words):
    with pytest.raises(error, match=rf"params\['clip'\].*{words}"):
        agent(params={"clip": value})
    with pytest.raises(error, match=rf"params\['deep'\]\['clip'\].*{words}"):
        agent(params={"deep": {"clip": value}})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("params", [3, "rate=1", [("rate", 1)], argparse.Namespace(rate=1)])
def test_params_that_are_not_a_dict_are_refused(agent, params):
    with pytest.raises(TypeError, match=r"params=.* must be a dict"):
        agent(params=params)


def test_a_config_can_be_given_as_its_dict(agent):
    """What the refusal of a config names."""
    params = agent(params={"optimizer": AdamConfig(learning_rate=0.5).to_dict()}).params
    assert OptimizerConfig.from_dict(params.optimizer.to_dict()) == AdamConfig(learning_rate=0.5)


def holding_themselves():
    direct: dict = {}
    direct["a"] = direct
    deep: dict = {"b": {}}
    deep["b"]["c"] = deep["b"]
    listed: list = [1]
    listed.append(listed)
    config = ml_collections.ConfigDict()
    config.d = config
    return {
        r"params\['a'\]": direct,
        r"params\['b'\]\['c'\]": deep,
        r"params\['l'\]\[1\]": {"l": listed},
        r"params\['d'\]": config,
    }


@pytest.mark.parametrize("path", holding_themselves())
def test_params_that_hold_themselves_are_refused_by_the_key(path):
    with pytest.raises(ValueError, match=f"^{path} is one of the dicts or lists that hold it"):
        frozen_params(holding_themselves()[path])


def test_params_may_hold_one_dict_twice():
    same = {"x": [1, 2]}
    assert frozen_params({"a": same, "b": same}).to_dict()["b"] == {"x": (1, 2)}


def test_a_name_that_is_not_there_is_told_with_those_that_are():
    params = frozen_params({"learning_rate": 0.1, "units": 3})
    words = r"params has no 'learning_rat'; it has \['learning_rate', 'units'\]. Did you mean 'learning_rate'"
    with pytest.raises(AttributeError, match=words):
        params.learning_rat  # noqa: B018  It is the access that fails.
    with pytest.raises(KeyError, match=words):
        params["learning_rat"]
    assert params.get("depth", 2) == 2
    assert not hasattr(params, "depth")
    assert copy.deepcopy(params) == pickle.loads(pickle.dumps(params)) == params
