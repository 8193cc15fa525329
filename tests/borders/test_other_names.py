"""Mistakes of people who know other libraries, or begin: each message says what is to be done here."""

from __future__ import annotations

import datetime
import enum
import logging
import warnings

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ScheduleEnv

from polyrl import configs, policies
from polyrl._quiet import leave_out_cast_warnings
from polyrl.envs import GymEnvironment, factory
from polyrl.envs.checking import check_environment
from polyrl.errors import NonFiniteError
from polyrl.estimators import Predictor, RunConfig
from polyrl.estimators.hooks import EvaluationHook
from polyrl.models import DQNModel
from polyrl.networks import mlp

layers = tf_keras.layers
STATE = np.zeros([2, 4], np.float32)
LABELS = {"action": [0, 1], "reward": [0.0, 1.0], "done": [0.0, 1.0], "next_state": STATE}


class Colour(enum.Enum):
    RED = 1


def agent(tmp_path, **arguments):
    return make_agent(q_model_fn(), model_dir=tmp_path / "run", **arguments)


NAMES = {
    "total_timesteps": (lambda a: a.train("CartPole-v1", total_timesteps=10), TypeError, "'total_timesteps'. Use timesteps."),
    "learning_starts": (lambda a: a.train("CartPole-v1", learning_starts=10), TypeError, "Use first_update."),
    "input_fn": (lambda a: a.train("CartPole-v1", input_fn=len), TypeError, "Give the environment as the first argument"),
    "misspelt": (lambda a: a.train("CartPole-v1", timestep=10), TypeError, "Did you mean 'timesteps'"),
    "positional": (lambda a: a.train("CartPole-v1", 1000), TypeError, "the environment alone by position, and got 1000"),
    "learn": (lambda a: a.learn(1000), AttributeError, r"no attribute 'learn'. Use train\(env, timesteps=...\)"),
    "save": (lambda a: a.save("x"), AttributeError, "A run saves itself in its model_dir"),
    "load of the class": (lambda a: type(a).load("x"), AttributeError, "type object 'Agent' has no attribute 'load'. Agent"),
    "load": (lambda a: a.load("x"), AttributeError, "resumes the run in model_dir"),
    "evalute": (lambda a: a.evalute, AttributeError, "Did you mean 'evaluate'"),
    "eval_freq": (lambda _: EvaluationHook("CartPole-v1", eval_freq=3), TypeError, "Use every_timesteps"),
    "epsilon": (lambda _: configs.ConstantExplorationConfig(epsilon=0.1), TypeError, "the value of ConstantExploration"),
    "verbose": (lambda _: RunConfig(verbose=1), TypeError, "Use progress"),
    "device": (lambda _: RunConfig(device="cpu"), TypeError, "TensorFlow chooses"),
    "fraction": (lambda _: DQNModel("train", mlp([8]), exploration_fraction=0.1), TypeError, "Use exploration_config"),
    "n_step_update": (lambda _: DQNModel("train", mlp([8]), n_step_update=3), TypeError, "belongs to the memory"),
    "render": (lambda _: GymEnvironment("CartPole-v1", render=True), TypeError, "Use render_mode='human'"),
    "from a name": (lambda _: configs.OptimizerConfig.from_dict("adam"), TypeError, "values='adam' must be a dict"),
    "from lr": (
        lambda _: configs.OptimizerConfig.from_dict({"identifier": "adam", "lr": 1}),
        ValueError,
        "no field 'lr'.*Use learning_rate",
    ),
    "nesterov": (lambda _: configs.SGDConfig(nesterov=True), ValueError, "nesterov=True has no effect with momentum=0.0"),
    **{
        f"epsilon {kind.__name__} {value}": (
            lambda _, kind=kind, value=value: kind(epsilon=value),
            ValueError,
            f"epsilon={value} must lie in",
        )
        for kind in (configs.AdamConfig, configs.RMSpropConfig, configs.AdadeltaConfig)
        for value in (0.0, 1e-50)
    },
    "a model": (
        lambda tmp: make_agent(DQNModel("train", mlp([8]), num_states=4, num_actions=2)),
        TypeError,
        "model_fn is a DQNModel, which has one mode; give a function",
    ),
    "terminated": (lambda _: model()(STATE, {**LABELS, "terminated": [0, 1]}), ValueError, "is called 'done' here"),
    "rows of a feature": (
        lambda _: model()({"state": STATE, "k": np.zeros([1, 2])}, LABELS),
        ValueError,
        r"features\['k'\] has shape \(1, 2\); expected a row for each of 2 states",
    ),
    "a class": (lambda _: model(layers.Dense), TypeError, r"is a class; give one of its objects, as Dense\(...\)"),
}


def model(graph_fn=None):
    return DQNModel("train", graph_fn or mlp([8]), num_states=4, num_actions=2)


@pytest.mark.parametrize("name", NAMES)
def test_the_message_says_what_to_use(name, tmp_path):
    call, kind, words = NAMES[name]
    with pytest.raises(kind, match=words):
        call(agent(tmp_path))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (tf.float32, "use its name, x.name"),
        (np.dtype("float32"), "use its name, x.name"),
        (Colour.RED, "use its value, x.value"),
        (np.datetime64("2020"), r"use str\(x\)"),
        (datetime.timedelta(1), r"use str\(x\)"),
    ],
    ids=str,
)
def test_a_hyper_parameter_of_another_kind_has_a_remedy(value, remedy, tmp_path):
    with pytest.raises(TypeError, match=rf"params\['x'\]=.*{remedy}"):
        agent(tmp_path, params={"x": value})


# Graph functions. -------------------------------------------------------------------------------------------------------


class OfDict(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(8)

    def call(self, inputs):
        return self.dense(inputs["state"])


def branching(mode, inputs):
    hidden = layers.Dense(8)(inputs["state"])
    return hidden if tf.reduce_sum(hidden) > 0 else -hidden


def of_another_shape(mode, inputs):
    return tf_keras.Sequential([tf_keras.Input([7]), layers.Dense(8)])(inputs["state"])


def with_a_variable(mode, inputs):
    factor = tf.Variable(tf.ones([4]))
    return layers.Dense(8)(layers.Lambda(lambda x: x * factor)(inputs["state"]))


GRAPHS = {
    "numpy": (lambda mode, inputs: np.tanh(inputs["state"]), "raised TypeError.*in place of NumPy's functions"),
    "if": (branching, "raised TypeError.*`tf.where` in place of `if`"),
    "shape": (
        of_another_shape,
        r"graph_fn, called with {'state': 'float32 \(None, 4\)'}, raised ValueError: Input 0 of layer",
    ),
    "embedding": (
        lambda mode, inputs: layers.Flatten()(layers.Embedding(9, 2)(inputs["state"])),
        r"an Embedding, floats \(float32 \(None, 4\)\), which would be cut to integers",
    ),
    "model": (OfDict(), r"is called with the state itself, not a dict, float32 \(None, 4\), and raised TypeError: "),
    "variable": (with_a_variable, "depend on variables that the network does not track"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_function_that_fails_is_told_why(name, caplog):
    graph_fn, words = GRAPHS[name]
    with caplog.at_level(logging.WARNING, "tensorflow"), pytest.raises(ValueError, match=words) as caught:
        model(graph_fn)({"state": STATE}, LABELS)
    assert not caplog.records
    assert "in user code" not in str(caught.value)


# Environments. ----------------------------------------------------------------------------------------------------------


class Informed(gymnasium.Wrapper):
    """Its info holds an object, the same one in each reset and step."""

    OBJECT = object()

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed, options=options)
        return observation, {**info, "simulator": self.OBJECT}

    def step(self, action):
        *result, info = super().step(action)
        return (*result, {**info, "simulator": self.OBJECT})


def test_an_object_in_info_is_the_environments_own():
    check_environment(GymEnvironment(lambda: Informed(gymnasium.make("CartPole-v1"))))


@pytest.mark.parametrize(
    ("env_id", "words"),
    [("CartPole-v0", "is not the newest version, which is 'CartPole-v1'"), ("CartPole", "names no version; the newest")],
)
def test_an_old_version_and_none_are_told(env_id, words):
    factory._warn_once.cache_clear()
    with pytest.warns(UserWarning, match=words):
        GymEnvironment(env_id)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_environment(env_id)  # Once.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GymEnvironment("CartPole-v1")


class Huge(ScheduleEnv):
    def step(self, action):
        observation, _, *rest = super().step(action)
        return (observation, 1e300, *rest)


def test_a_reward_beyond_float32_is_shown_as_it_is_and_numpy_says_nothing(tmp_path):
    with warnings.catch_warnings():  # pytest's own filters come before those of the import.
        warnings.simplefilter("error")
        leave_out_cast_warnings()
        with pytest.raises(NonFiniteError, match=r"non-finite reward at its step 1: 1e\+300"):
            agent(tmp_path).train(Huge(), timesteps=20)


@pytest.mark.slow
def test_a_masked_array_is_not_a_state(tmp_path):
    trained = agent(tmp_path)
    trained.train(ScheduleEnv(), timesteps=20, first_update=10)
    with pytest.raises(TypeError, match=r"got a masked array; fill it, x.filled\(0\)"):
        trained.act(np.ma.masked_array(np.zeros(4, np.float32), mask=[1, 0, 0, 0]))


# Divergence. ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e30, 1e10])
def test_a_run_that_has_diverged_is_told_so(tmp_path, rate):
    """Its action values are NaN, and their largest is none of them."""
    fn = q_model_fn(
        optimizer_config=configs.SGDConfig(rate),
        exploration_config=configs.GreedyExplorationConfig(),
        clip_gradients=None,
        num_actions=2,
    )
    diverging = make_agent(fn, model_dir=tmp_path / "run")
    with pytest.raises(NonFiniteError, match=r"training has diverged|The loss is|infinity"):
        diverging.train("CartPole-v1", timesteps=200, first_update=10)


# Predictors. ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_predictors_params_are_those_of_the_training_and_those_given(tmp_path):
    seen = []

    def model_fn(features, labels, mode, params):
        seen.append(params.to_dict())
        return q_model_fn()(features, labels, mode)

    trained = make_agent(model_fn, model_dir=tmp_path / "run", params={"rate": 0.5, "units": 3})
    trained.train(ScheduleEnv(), timesteps=20, first_update=10)
    with pytest.raises(ValueError, match=r"params\['ratte'\] is not one of those.*Did you mean 'rate'"):
        Predictor.from_model_dir(trained.model_dir, model_fn, params={"ratte": 1.0})
    Predictor.from_model_dir(trained.model_dir, model_fn, params={"rate": 0.25})
    assert seen[-1] == {"rate": 0.25, "units": 3}


# Policies. --------------------------------------------------------------------------------------------------------------


def test_a_step_type_that_does_not_exist_is_refused():
    policy = policies.QPolicy(
        policies.time_step_spec(policies.TensorSpec([2], tf.float32)),
        policies.BoundedTensorSpec([], tf.int64, 0, 1),
        lambda observation, step_type=None, network_state=(): (observation, network_state),
    )
    step = policies.TimeStep(tf.constant([1, 7]), tf.zeros([2]), tf.ones([2]), tf.zeros([2, 2]))
    with pytest.raises(ValueError, match=r"step_type: expected 0 \(first\), 1 \(mid\) or 2 \(last\); got 7 in row 1"):
        policy.action(step)
