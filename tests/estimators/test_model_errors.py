"""An error in `model_fn`: the first line a person reads is theirs, from every method that calls it."""

from __future__ import annotations

import traceback

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from checkpoint_testing import BATCH, schedule
from tiny_agents import make_agent, q_model_fn

from polyrl.estimators import Agent, Predictor
from polyrl.estimators.model_errors import is_worded
from polyrl.models import DQNModel
from polyrl.networks import mlp


def of_model_fn(features, labels, mode):
    return features["stat"]


def of_an_argument(features, labels, mode):
    return DQNModel(mode, mlp([8]), 4, 3, discount=2.0)(features, labels)


def graph_fn(mode, inputs):
    return tf_keras.layers.Reshape([5])(inputs["state"])


def of_graph_fn(features, labels, mode):
    return DQNModel(mode, graph_fn, 4, 3)(features, labels)


def of_learning(features, labels, mode):
    if labels is not None:
        raise ZeroDivisionError("in the update")
    return q_model_fn()(features, labels, mode)


CASES = {
    of_model_fn: (KeyError, ["of_model_fn"], False),
    of_an_argument: (ValueError, ["of_an_argument", "check_float"], True),
    of_graph_fn: (ValueError, ["of_graph_fn", "graph_fn"], False),
    of_learning: (ZeroDivisionError, ["of_learning"], True),
}
CALLS = {
    "train": lambda agent: agent.train(schedule(), first_update=BATCH, timesteps=8),
    "evaluate": lambda agent: agent.evaluate(schedule(), 1),
    "predict": lambda agent: next(agent.predict(schedule())),
    "record": lambda agent: agent.record(schedule(), 1),
    "act": lambda agent: agent.act(np.zeros(4, np.float32)),
    "predictor": lambda agent: agent.predictor(),
    "from_model_dir": lambda agent: Predictor.from_model_dir(agent.model_dir, of_model_fn),
}


def below(error: BaseException, method: str) -> list[str]:
    """The functions in the traceback, below this module's call and what stands between: the method, and who called it."""
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return [name for name in names[2:] if name not in (method, "call")]


@pytest.mark.parametrize("model_fn", CASES, ids=lambda model_fn: model_fn.__name__)
def test_the_traceback_has_the_users_lines(model_fn):
    kind, names, worded = CASES[model_fn]
    with pytest.raises(kind) as caught:
        CALLS["train"](make_agent(model_fn))
    assert below(caught.value, "train") == names
    assert is_worded(caught.value) is worded


@pytest.mark.slow
@pytest.mark.parametrize("ask", [name for name in CALLS if name != "train"])
def test_so_it_does_where_a_checkpoint_is_read(dqn, ask):
    with pytest.raises(KeyError) as caught:
        CALLS[ask](make_agent(of_model_fn, model_dir=dqn))
    assert below(caught.value, ask) == ["of_model_fn"]


def test_the_filter_can_be_turned_off():
    tf.debugging.disable_traceback_filtering()
    try:
        with pytest.raises(KeyError) as caught:
            CALLS["train"](make_agent(of_model_fn))
    finally:
        tf.debugging.enable_traceback_filtering()
    assert "build" in below(caught.value, "train")


def test_other_errors_keep_their_traceback(agent):
    with pytest.raises(ValueError, match="first_update") as caught:
        agent().train(schedule(), first_update=-1)
    assert below(caught.value, "train") == ["update_schedule", "check_int"]
    assert is_worded(caught.value)


def test_an_error_inside_of_a_library_is_not_worded():
    with pytest.raises(TypeError) as caught:
        Agent.act(*[None] * 9)
    assert not is_worded(caught.value)
    with pytest.raises(tf.errors.InvalidArgumentError) as below_us:
        tf.reshape(tf.zeros([3]), [2])
    assert not is_worded(below_us.value)
