"""What the agent reads of `extra_ops`, in a run: wrong entries are refused by name, before anything is stored."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tiny_envs import ScheduleEnv

from polyrl.estimators import Agent, EstimatorSpec, RunConfig
from polyrl.models.scope import current_scope
from polyrl.policies import BoundedTensorSpec
from polyrl.replay import PrioritizedReplay
from polyrl.summaries import Summaries

NAN = float("nan")


def agent(tmp_path, acting=None, learning=None, results=None, metrics=None, more=None):
    """Acts by action 0; the entries of `acting` are computed from the states, those of `learning` from a batch."""

    def model_fn(features, labels, mode):
        state, scope = features["state"], current_scope()
        action = tf.zeros_like(state[:, 0], tf.int32) if results is None else results(state)
        predictions = {"results": action, **(more or {})}
        if labels is None:
            return EstimatorSpec(mode, predictions, extra_ops=acting and acting(state))
        done = (lambda: scope.global_step.assign_add(1)) if mode == "train" else None
        extra = {"priorities": labels["reward"], **(learning(state) if learning else {})}
        loss = tf.reduce_mean(labels["reward"])
        return EstimatorSpec(mode, predictions, loss, done, extra_ops=extra, eval_metric_ops=metrics)

    cadences = dict.fromkeys(["save_summary_timesteps", "save_checkpoints_timesteps", "max_overhead"])
    return Agent(model_fn, PrioritizedReplay(20, 4), tmp_path, RunConfig(jit="off", progress=False, **cadences))


def trained(tmp_path, **entries):
    made = agent(tmp_path, **entries)
    made.train(ScheduleEnv(), first_update=4, timesteps=6)
    return made


SUMMARIES = {
    "a dict": lambda x: {"a": x},
    "a number": lambda x: 3,
    "a vector as scalar": lambda x: Summaries({"a": x[:, 0]}, {}, {}),
    "no images": lambda x: Summaries({}, {}, {"a": x}),
    "a text": lambda x: Summaries({"a": "text"}, {}, {}),
    "a number as tag": lambda x: Summaries({1: x[0, 0]}, {}, {}),
    "a list": lambda x: Summaries([x], {}, {}),
}
LEARNING = {
    "summary_options": ([["lss"], 3, ["loss", 1]], "must be 'all'|is unknown"),
    "support": (
        [(1, 2), "abc", (2.0, 1.0, 0.9), (0.0, NAN, 0.9), (0.0, 1.0, 2.0), (0.0, True, 1.0), [], {1, 2, 3}, np.ones([3, 1])],
        "three numbers|must lie in|must be finite|must have its lowest|must be a number",
    ),
    "priorities": (
        [1.0, [1.0], [1.0] * 3, [[1.0]] * 4, "a", ["a"] * 4, [True] * 4, [1j] * 4, [[1], [1, 2], [3], [4]], object()],
        "one priority for each row of the batch|real numbers",
    ),
    "summaries": (list(SUMMARIES), "must be|must hold"),
}
ACTING = {
    "exploration_rate": ([[1.0], "a", True, 1j, object()], "must be a scalar|real numbers"),
    "action_spec": (
        [
            3,
            tf.TensorSpec([], tf.int32),
            BoundedTensorSpec((), tf.float32, 0.0, 1.0),
            BoundedTensorSpec((), tf.int32, 1, 3),
            BoundedTensorSpec((2,), tf.int32, 0, 1),
        ],
        "must be a polyrl.policies.BoundedTensorSpec|must describe",
    ),
}


def cases(entries):
    return [(name, value, words) for name, (values, words) in entries.items() for value in values]


@pytest.mark.default_cases(15)
@pytest.mark.parametrize(("name", "value", "words"), cases(LEARNING))
def test_a_wrong_entry_of_learning_is_refused(name, value, words, tmp_path):
    made = agent(tmp_path, learning=lambda state: {name: SUMMARIES[value](state) if name == "summaries" else value})
    with pytest.raises((TypeError, ValueError), match=rf"extra_ops\['{name}'\].*({words})"):
        made.train(ScheduleEnv(), first_update=4, timesteps=6)
    assert int(made._scope.global_timestep.numpy()) == 0


@pytest.mark.parametrize(("name", "value", "words"), cases(ACTING))
def test_a_wrong_entry_of_acting_is_refused(name, value, words, tmp_path):
    with pytest.raises((TypeError, ValueError), match=rf"extra_ops\['{name}'\].*({words})"):
        trained(tmp_path, acting=lambda state: {name: value})


def test_a_policy_that_is_none_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"extra_ops\['policy'\] must be a polyrl.policies.BasePolicy, got 3"):
        trained(tmp_path, acting=lambda state: {"policy": 3}).predictor()


def test_none_is_as_nothing(tmp_path):
    made = trained(
        tmp_path,
        acting=lambda state: dict.fromkeys(["exploration_rate", "action_spec", "policy"]),
        learning=lambda state: dict.fromkeys(["priorities", "summaries", "summary_options", "support"]),
        more={"losses": tf.ones([4])},
    )
    assert made.act(np.ones(4, np.float32)) == 0


@pytest.mark.parametrize("results", [tf.constant(0), tf.zeros([5], tf.int32)])
def test_actions_that_are_not_one_for_each_state_are_refused(results, tmp_path):
    with pytest.raises(ValueError, match=r"predictions\['results'\] must hold one action for each state"):
        trained(tmp_path, results=lambda state: results)


def test_one_action_for_any_number_of_states_is_refused(tmp_path):
    made = trained(tmp_path, results=lambda state: tf.zeros([1], tf.int32))  # There is one environment.
    with pytest.raises(ValueError, match=r"one action for each state.* for any number of states"):
        made.act(np.ones([3, 4], np.float32))


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", ["state", "reward", "index"])
def test_a_prediction_that_a_row_would_not_show_is_refused(name, tmp_path):
    made = trained(tmp_path, more={name: tf.constant(1.0)})
    with pytest.raises(ValueError, match=rf"predictions\['{name}'\] would be lost"):
        next(made.predict(ScheduleEnv(), steps=1))


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", ["loss", "mean_reward", "global_step"])
def test_a_metric_by_the_name_of_a_result_is_refused(name, tmp_path):
    made = trained(tmp_path, metrics={name: tf_keras.metrics.Mean()})
    with pytest.raises(ValueError, match=rf"eval_metric_ops\['{name}'\] has the name of one of evaluate's own results"):
        made.evaluate(ScheduleEnv(), 1)
