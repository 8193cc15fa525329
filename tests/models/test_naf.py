"""NAF: what it predicts, its loss, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from polyrl.configs import GreedyExplorationConfig, MeanSquaredErrorConfig, SGDConfig
from polyrl.envs.compiled import compiled_environment
from polyrl.estimators import Agent
from polyrl.models import BaseQModel, DDQNModel, DQNModel, NAFModel, QModelSpec, Scope
from polyrl.networks import mlp
from polyrl.policies import BoundedTensorSpec, TimeStep
from polyrl.replay import UniformReplay

K, ROWS, STATES = 2, 6, 4
LOW, HIGH = [-2.0, 0.0], [2.0, 10.0]
BOUNDS = {"action_low": LOW, "action_high": HIGH}
PLACES = {1: [[0]], 2: [[2], [1, 0]], 3: [[3], [5, 4], [2, 1, 0]]}
"""Of the free numbers in the triangle, see tests/ops/test_naf_ops.py."""


def naf(mode="train", scope=None, k=K, **arguments):
    given = {"summaries": [], **(BOUNDS if k == K else {}), **arguments}
    with (Scope() if scope is None else scope).active():
        return NAFModel(mode, mlp([8]), STATES, k, **given)


@pytest.fixture
def batch_of(batch):
    """Features and labels whose actions are numbers within the bounds."""

    def make(seed=0, size=ROWS, k=K, **replaced):
        low, high = (LOW, HIGH) if k == K else (-1.0, 1.0)
        action = np.random.default_rng(seed + 100).uniform(low, high, [size, k]).astype(np.float32)
        return batch(seed, size, **{"action": action, **replaced})

    return make


@pytest.fixture
def lively(scope, networks):
    """Gives both networks weights of a size that matters, each its own: they begin near zero and alike."""

    def wake(seed=3):
        rng = np.random.default_rng(seed)
        for network in (networks.online, networks.target):
            for variable in network.model.variables:
                variable.assign(rng.normal(size=variable.shape).astype(np.float32))

    return wake


def forward(network, state):
    """Mean in units of half the range, value and triangle, out of the weights alone, `k` from their shapes."""
    weights = {label: v.numpy().astype(np.float64) for label, v in network.labelled_variables().items()}

    def dense(x, name):
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    hidden = np.maximum(dense(np.asarray(state, np.float64), "dense"), 0.0)
    raw = dense(hidden, "mean")
    mean = raw / (1.0 + abs(raw))
    entries = dense(hidden, "scale")
    k = mean.shape[1]
    triangle = np.zeros([len(mean), k, k])
    for row in range(len(mean)):
        for i, places in enumerate(PLACES[k]):
            for j, place in enumerate(places):
                triangle[row, i, j] = math.exp(entries[row, place]) if i == j else entries[row, place]
    return mean, dense(hidden, "value")[:, 0], triangle


def advantages(network, state, action, low=LOW, high=HIGH):
    """`-1/2 |L^T (a - mean)|^2`, the action brought from its range to [-1, 1]."""
    mean, _, triangle = forward(network, state)
    result = []
    for row in range(len(mean)):
        unit = [2.0 * (a - lo) / (hi - lo) - 1.0 for a, lo, hi in zip(np.asarray(action)[row], low, high, strict=True)]
        difference = np.array(unit) - mean[row]
        result.append(-0.5 * sum((triangle[row][:, column] @ difference) ** 2 for column in range(len(difference))))
    return np.array(result)


def rescaled(mean, low=LOW, high=HIGH):
    return np.array(low) + (mean + 1.0) / 2.0 * (np.array(high) - np.array(low))


# Predictions. -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
def test_predictions_without_labels(scope, networks, lively, batch_of, mode):
    """B5: value, mean and triangle are all there in each mode, `infer` too; `q` is of the action in `results`."""
    features, labels = batch_of()
    naf("train", scope)(features, labels)
    lively()
    predictions = naf(mode, scope)(features).predictions
    shapes = {"results": (ROWS, K), "mean": (ROWS, K), "q": (ROWS,), "a": (ROWS,), "v": (ROWS,), "graph_results": (ROWS, 8)}
    assert {name: tuple(value.shape) for name, value in predictions.items()} == shapes
    assert all(value.dtype == tf.float32 for value in predictions.values())
    mean, value, _ = forward(networks.online, features["state"])
    np.testing.assert_allclose(predictions["mean"], rescaled(mean), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(predictions["v"], value, rtol=1e-4, atol=1e-4)
    expected = advantages(networks.online, features["state"], predictions["results"])
    np.testing.assert_allclose(predictions["a"], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(predictions["q"], value + expected, rtol=1e-3, atol=1e-3)


def test_the_mean_has_the_largest_value_of_all_actions(scope, lively, batch_of):
    features, labels = batch_of()
    model = naf("eval", scope)
    model(features, labels)
    naf("train", scope)(features, labels)
    lively()
    predictions = model(features).predictions
    np.testing.assert_array_equal(predictions["results"], predictions["mean"])
    np.testing.assert_allclose(predictions["a"], np.zeros(ROWS), atol=1e-5)
    np.testing.assert_allclose(predictions["q"], predictions["v"], rtol=1e-5, atol=1e-5)
    for seed in range(20):
        action = tf.constant(np.random.default_rng(seed).uniform(LOW, HIGH, [ROWS, K]), tf.float32)
        others = model(features, {**labels, "action": action}).predictions
        assert (others["q"].numpy() < predictions["v"].numpy()).all()


@pytest.mark.parametrize("k", PLACES)
def test_with_labels_the_value_is_that_of_their_action(scope, networks, lively, batch_of, k):
    """B1, B2: for one, two and three numbers."""
    features, labels = batch_of(k=k)
    naf("train", scope, k=k)(features, labels)
    lively()
    predictions = naf("eval", scope, k=k)(features, labels).predictions
    low, high = (LOW, HIGH) if k == K else ([-1.0] * k, [1.0] * k)
    _, value, _ = forward(networks.online, features["state"])
    expected = advantages(networks.online, features["state"], labels["action"], low, high)
    assert np.unique(expected.round(4)).size == ROWS
    np.testing.assert_allclose(predictions["a"], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(predictions["q"], value + expected, rtol=1e-3, atol=1e-3)
    assert predictions["td_error"].shape == predictions["losses"].shape == (ROWS,)


@pytest.mark.parametrize(("low", "high"), [(LOW, HIGH), (-3.0, 0.5), ([-1e-3, 5.0], 7.0), (-0.1, 0.7)])
def test_the_mean_keeps_to_the_bounds_of_each_dimension(scope, networks, batch, low, high):
    """B6: whatever the network gives, and to the last bit."""
    model = naf("eval", scope, action_low=low, action_high=high)
    features = batch(size=400)[0]
    model(features)
    bias = networks.online.labelled_variables()["mean/bias"]
    lows, highs = np.broadcast_to(low, [K]).astype(np.float32), np.broadcast_to(high, [K]).astype(np.float32)
    for push, end in ((-1e9, lows), (1e9, highs), (0.0, (lows.astype(np.float64) + highs) / 2)):
        bias.assign(tf.fill([K], push))
        mean = model(features).predictions["mean"].numpy()
        assert (mean >= lows).all()
        assert (mean <= highs).all()
        np.testing.assert_allclose(mean, np.broadcast_to(end, mean.shape), atol=0.02 * (highs - lows).max())


def test_at_first_all_actions_are_near_the_middle(batch):
    predictions = naf("eval")(batch(size=100)[0]).predictions
    np.testing.assert_allclose(predictions["mean"], np.broadcast_to([0.0, 5.0], [100, K]), atol=0.2)


def test_the_spec_of_its_actions():
    model = naf()
    expected = BoundedTensorSpec((K,), tf.float32, LOW, HIGH, name="action")
    assert model.action_spec == expected
    assert naf(action_low=-1, action_high=1).action_spec.minimum == (-1.0, -1.0)
    given = {"action_low": np.array(LOW, np.float32), "action_high": np.array(HIGH)}  # As a Box has them.
    assert naf(**given).action_spec == expected


def test_one_graph_function_builds_all_heads():
    """B5: and the target network has them too, since it is built by the same function."""
    with Scope().active():
        model = NAFModel("train", lambda mode, inputs: 2.0 * inputs["state"], STATES, 3, summaries=[])
    spec = model._build_graph_fn()("train", {"state": tf.ones([5, STATES])})
    assert isinstance(spec, QModelSpec)
    assert (spec.a.shape, spec.v.shape, spec.q.shape, spec.scale.shape) == ((5, 3), (5, 1), (5,), (5, 6))


# Learning. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_target_graph", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_loss_is_that_of_numpy_with_networks_that_differ(scope, networks, lively, batch_of, use_target_graph, seed):
    """B4, B9 (A2, A3): row by row against `r + gamma (1 - done) V_target(s')`, of the labels' next states."""
    features, labels = batch_of(seed)
    arguments = {"discount": 0.9, "loss_config": MeanSquaredErrorConfig()}
    naf("train", scope, **arguments)(features, labels)
    lively(seed)
    spec = naf("train", scope, use_target_graph=use_target_graph, **arguments)(features, labels)
    _, value, _ = forward(networks.online, features["state"])
    bootstrap = networks.target if use_target_graph else networks.online
    _, following, _ = forward(bootstrap, labels["next_state"])
    prediction = value + advantages(networks.online, features["state"], labels["action"])
    errors = []
    for row in range(ROWS):
        gamma = 0.0 if labels["done"][row] else 0.9
        errors.append(float(labels["reward"][row]) + gamma * following[row] - prediction[row])
    assert 0 < float(tf.reduce_sum(labels["done"])) < ROWS
    np.testing.assert_allclose(spec.predictions["td_error"], errors, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(spec.predictions["losses"], np.square(errors), rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(spec.loss, np.mean(np.square(errors)), rtol=2e-3)
    np.testing.assert_allclose(spec.extra_ops["priorities"], np.abs(errors), rtol=1e-3, atol=1e-3)


def test_importance_weights_weigh_the_rows(scope, lively, batch_of):
    features, labels = batch_of(weights=np.arange(ROWS, dtype=np.float32))
    naf("train", scope)(features, labels)
    lively()
    spec = naf("train", scope)(features, labels)
    np.testing.assert_allclose(spec.loss, np.mean(spec.predictions["losses"] * np.arange(ROWS)), rtol=1e-5)


def test_an_update_trains_all_heads_of_the_online_network_and_nothing_of_the_target(scope, networks, lively, batch_of, equal):
    """B9 (A2): the target network is none of the loss's business."""
    features, labels = batch_of()
    model = naf("train", scope, optimizer_config=SGDConfig(0.1), target_update_frequency=2)
    model(features, labels)
    lively()
    online, target = networks.weights(), networks.weights("target")
    model(features, labels).train_op()
    assert equal(networks.weights("target"), target)
    for label, variable, before in zip(networks.online.labelled_variables(), networks.weights(), online, strict=True):
        assert not np.array_equal(variable, before), label
    model(features, labels).train_op()
    assert equal(networks.weights("target"), networks.weights())


def test_many_updates_on_one_batch_bring_the_values_to_their_targets(batch_of):
    features, labels = batch_of(done=np.ones(ROWS, np.float32))
    model = naf(optimizer_config=SGDConfig(0.05), clip_gradients=None)
    step = tf.function(lambda: (model(features, labels).train_op(), model(features, labels).loss)[1], autograph=False)
    losses = [float(step()) for _ in range(300)]
    assert losses[-1] < 0.2 * losses[0]


def test_windows_of_several_steps_are_reduced(scope, lively, batch_of):
    """By hand: 3 steps, none of which ends."""
    features, labels = batch_of()
    reward = np.random.default_rng(1).normal(size=[ROWS, 3]).astype(np.float32)
    window = {**labels, "reward": tf.constant(reward), "done": tf.zeros([ROWS, 3])}
    model = naf("train", scope, discount=0.9)
    model(features, labels)
    lively()
    total = reward[:, 0] + 0.9 * reward[:, 1] + 0.81 * reward[:, 2]
    single = {**labels, "reward": tf.constant(total), "done": tf.zeros([ROWS]), "discount": tf.fill([ROWS], 0.9**3)}
    found, expected = (model(features, given).predictions["td_error"] for given in (window, single))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


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
    """B7: no loss is asked for, and all comes in the same place."""
    with Scope().active():
        model = NAFModel("train", mlp([4]), 3, 2, MeanSquaredErrorConfig(), SGDConfig(0.1), None, 0.5)
    assert (model.loss_config, model.discount) == (MeanSquaredErrorConfig(), 0.5)
    assert NAFModel("train", mlp([4]), 3, 2).loss_config == BaseQModel("train", mlp([4]), 3, 2).loss_config


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 3), (ROWS, 1), (5, K), (ROWS, K, 1)], ids=str)
def test_actions_of_another_shape_are_refused(batch_of, shape):
    features, labels = batch_of(action=np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=r"labels\['action'\] has shape .* 2 numbers for each of the 6 states"):
        naf()(features, labels)


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
            r"gives 2 in .*num_actions=1",
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
