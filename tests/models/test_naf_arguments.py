"""NAF: how it acts at a temperature, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from naf_models import HIGH, LOW, ROWS, K, forward, naf

from polyrl.configs import GreedyExplorationConfig, MeanSquaredErrorConfig, SGDConfig
from polyrl.envs.compiled import compiled_environment
from polyrl.estimators import Agent
from polyrl.models import BaseQModel, DDQNModel, DQNModel, NAFModel, Scope
from polyrl.networks import mlp
from polyrl.policies import TimeStep
from polyrl.replay import UniformReplay

# The policy of PREDICT mode. --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1e-4, 4e-4])
def test_a_temperature_draws_normal_actions_of_its_covariance(scope, networks, lively, batch_of, temperature):
    """So small that the bounds are far off: covariance `T P^-1`, in units of half the range."""
    features, labels = batch_of()
    naf("train", scope)(features, labels)
    lively()
    networks.online.labelled_variables()["mean/kernel"].assign(tf.zeros([8, K]))
    networks.online.labelled_variables()["scale/kernel"].assign(tf.zeros([8, 3]))
    networks.online.labelled_variables()["scale/bias"].assign([0.5, 0.7, -0.5])
    rows = 20_000
    predictions = naf("infer", scope, temperature=temperature)(
        {"state": tf.repeat(features["state"][:1], rows, 0)}
    ).predictions
    noise = (predictions["results"].numpy() - predictions["mean"].numpy()) / ((np.array(HIGH) - LOW) / 2)
    _, _, triangle = forward(networks.online, features["state"][:1])
    covariance = temperature * np.linalg.inv(triangle[0] @ triangle[0].T)
    white = np.linalg.solve(np.linalg.cholesky(covariance), noise.T.astype(np.float64))
    np.testing.assert_allclose(white @ white.T / rows, np.eye(K), atol=5 * np.sqrt(2 / rows) + 2e-3)


def test_actions_at_a_temperature_keep_to_the_bounds(batch):
    actions = naf("infer", temperature=100.0)(batch(size=500)[0]).predictions["results"].numpy()
    np.testing.assert_array_equal(actions.min(axis=0), LOW)
    np.testing.assert_array_equal(actions.max(axis=0), HIGH)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_temperature_is_the_business_of_infer_alone(batch, mode):
    model = naf(mode, temperature=100.0, exploration_config=GreedyExplorationConfig())
    predictions = model(batch(size=50)[0]).predictions
    np.testing.assert_array_equal(predictions["results"], predictions["mean"])


# What is refused. -------------------------------------------------------------------------------------------------------

WRONG = [
    ({"is_continuous": False}, ValueError, "is_continuous=False: NAFModel has continuous actions"),
    ({"dueling": "mean"}, ValueError, "dueling='mean' must be left out"),
    ({"dueling": False}, ValueError, "dueling=False must be left out"),
    ({"action_low": 2.0, "action_high": 2.0}, ValueError, "action_low=2.0 must be below action_high=2.0"),
    ({"action_low": [-1.0, 5.0], "action_high": [1.0, 4.0]}, ValueError, "action_low"),
    ({"action_low": [-1.0] * 3}, ValueError, "action_low.* must be one number, or 2"),
    ({"action_high": []}, ValueError, "action_high"),
    ({"action_high": math.inf}, ValueError, "action_high"),
    ({"action_high": 1e300}, ValueError, "must be below action_high=.* by no more than float32 holds"),
    ({"action_low": -3e38, "action_high": 3e38}, ValueError, "by no more than float32 holds"),
    ({"action_low": math.nan}, ValueError, "action_low"),
    ({"action_low": "low"}, TypeError, "action_low='low'"),
    ({"action_low": None}, TypeError, "action_low=None"),
    ({"action_low": [[-1.0], [1.0, 2.0]]}, TypeError, "action_low"),
    ({"temperature": -1.0}, ValueError, "temperature"),
    ({"use_expert_demo": True}, ValueError, "use_expert_demo"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), WRONG, ids=str)
def test_a_wrong_argument_is_refused_by_name(arguments, error, words):
    """B8: `is_continuous=False` among them."""
    with pytest.raises(error, match=words):
        naf(**arguments)


def test_no_actions_are_refused():
    with pytest.raises(ValueError, match="num_actions=0"):
        naf(k=0)


@pytest.mark.parametrize("model_class", [DQNModel, DDQNModel])
def test_a_model_of_discrete_actions_refuses_to_be_continuous(model_class):
    """A11."""
    with pytest.raises(ValueError, match="is_continuous=True"):
        model_class("train", mlp([4]), 3, 2, is_continuous=True)


def test_the_arguments_are_in_the_order_of_the_base():
    """B7: no loss is requested, and all comes in the same place."""
    with Scope().active():
        model = NAFModel("train", mlp([4]), 3, 2, MeanSquaredErrorConfig(), SGDConfig(0.1), None, 0.5)
    assert (model.loss_config, model.discount) == (MeanSquaredErrorConfig(), 0.5)
    assert NAFModel("train", mlp([4]), 3, 2).loss_config == BaseQModel("train", mlp([4]), 3, 2).loss_config


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 3), (ROWS, 1), (5, K), (ROWS, K, 1)], ids=str)
def test_actions_of_another_shape_are_refused(batch_of, shape):
    features, labels = batch_of(action=np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=r"labels\['action'\]: expected 2 numbers for each of the 6 states, got shape "):
        naf()(features, labels)


@pytest.mark.default_cases(4)
@pytest.mark.parametrize(
    ("build", "env", "error", "words"),
    [
        (
            lambda m: NAFModel(m, mlp([4]), 4, 1),
            "CartPole-v1",
            TypeError,
            r"gives continuous actions.*one of 2 discrete actions; use a discrete",
        ),
        (lambda m: DQNModel(m, mlp([4]), 3, 2), "Pendulum-v1", TypeError, r"among 2 discrete actions.*NAFModel"),
        (lambda m: NAFModel(m, mlp([4]), 3, 1), "Pendulum-v1", ValueError, r"num_actions=1, action_low=\(-2.0,\)"),
        (
            lambda m: NAFModel(m, mlp([4]), 3, 2, action_low=-2, action_high=2),
            "Pendulum-v1",
            ValueError,
            r"actions are 2 in .*num_actions=1",
        ),
    ],
    ids=["naf_discrete", "dqn_box", "bounds", "number"],
)
@pytest.mark.parametrize("way", ["train", "compiled"])
def test_an_environment_that_takes_other_actions_is_refused_before_anything_is_written(
    tmp_path, build, env, error, words, way
):
    """A11: with what would do."""

    def model_fn(features, labels, mode):
        return build(mode)(features, labels)

    if way == "compiled":
        env = compiled_environment(env)
    agent = Agent(model_fn, UniformReplay(100, 4), tmp_path / "run")
    with pytest.raises(error, match=words):
        agent.train(env, first_update=4, timesteps=8)
    assert not (tmp_path / "run").exists()


def test_the_policy_gives_the_models_actions(scope, batch_of):
    features, _ = batch_of()
    spec = naf("infer", scope)(features)
    step = TimeStep.restart(features, batch_size=ROWS)
    np.testing.assert_array_equal(spec.extra_ops["policy"].action(step).action, spec.predictions["results"])
