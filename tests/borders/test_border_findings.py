"""What the properties found, one by one."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from borders_testing import Failing, clear
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from polyrl import configs, ops
from polyrl.demos import DemoEpisode, Demonstrations, load, load_minari
from polyrl.envs.contract import Contract
from polyrl.models import DQNModel, Scope
from polyrl.networks import mlp
from polyrl.paths import resolved
from polyrl.policies.arguments import stateless_seed
from polyrl.summaries import SummaryOptions
from polyrl.validation import check_float, check_int

Q, ROW = np.zeros([2, 2], np.float32), np.zeros(2, np.float32)
SPAN = np.timedelta64(1, "s")


class One(gymnasium.Env):
    def __init__(self, space, value, reward=1.0):
        self.observation_space, self.action_space = space, Discrete(2)
        self._value, self._reward = value, reward

    def step(self, action):
        return self._value, self._reward, False, False, {}


def step(space, value, reward=1.0):
    return Contract(One(space, value, reward), 0).step(0)


def demonstrated(**changes):
    episode = DemoEpisode(np.zeros([3, 2], np.float32), np.array([0, 1]), np.ones(2), True, False)
    return Demonstrations([episode._replace(**changes)])


FLOATS = Box(-1, 1, [2], np.float32)
FOUND = {
    "a mask without rows or columns": (
        lambda: DQNModel("train", mlp([4]), num_states=2, num_actions=2)({"state": Q, "action_mask": []}),
        "action_mask",
    ),
    "a time span in an array in a list": (
        lambda: ops.ornstein_uhlenbeck(ROW, ROW, 0.1, 0.0, [np.array(SPAN), np.array(1)], 1.0),
        "sigma=.* must be a tensor or an array of numbers",
    ),
    "no atoms": (lambda: ops.project_distribution(Q, Q, []), "atoms"),
    "a support that float32 makes uneven": (lambda: ops.support(1e6, 1e6 + 10, 51), "too close together for float32"),
    "a mask that is one number": (
        lambda: DQNModel("train", mlp([4]), num_states=2, num_actions=2)({"state": Q, "action_mask": 0.0}),
        "action_mask",
    ),
    "a date that NumPy gives as an integer": (
        lambda: ops.support(np.array("0000-12-31T23:59:59", "datetime64[s]"), 1.0, 4),
        "min_value=.* must be a number",
    ),
    "a mask of one number": (lambda: ops.epsilon_greedy(Q, 0.1, [1, 2], True), "mask has shape"),
    "a tensor as a list of names": (lambda: SummaryOptions.validate(tf.constant("loss")), "summaries=.* must be 'all'"),
    "a rate that is divided by": (lambda: configs.FtrlConfig(0), "learning_rate=0.0 must be above 0"),
    "a rate of 0 in float32": (lambda: configs.FtrlConfig(1e-40), "learning_rate=1e-40 must be above 0 in float32"),
    "what cannot be copied": (lambda: configs.AdadeltaConfig({"": memoryview(b"1")}), "learning_rate=.* cannot be copied"),
    "an observation that fails": (lambda: step(FLOATS, Failing()), "expected numbers"),
    "out of a MultiDiscrete": (
        lambda: step(Dict(x=MultiDiscrete([3, 3])), {"x": np.array([1, 3])}),
        "is not one of MultiDiscrete",
    ),
    "out of a MultiBinary": (
        lambda: step(Dict(x=MultiBinary(2)), {"x": np.array([0, 2], np.int8)}),
        "is not one of MultiBinary",
    ),
    "a time span as reward": (lambda: step(FLOATS, ROW, SPAN), "expected one number"),
    "NumPy's complex reward": (lambda: step(FLOATS, ROW, np.complex64(1j)), "expected one number"),
    "a reward beyond floats": (lambda: step(FLOATS, ROW, 10**400), "expected one number"),
    "a time span as count": (lambda: check_int("size", SPAN, 1), "size=.* must be an integer"),
    "a time span as number": (lambda: check_float("discount", SPAN), "discount=.* must be a number"),
    "a number beyond floats": (lambda: check_float("discount", 10**400), "discount=.* must be finite"),
    "a seed that is none": (lambda: ops.uniform([2], False), "seed=False must be two integers"),
    "a shape that is none": (lambda: ops.normal(Failing(), [1, 2]), "shape=.* must be a list of integers"),
    "too large a shape": (lambda: ops.normal([2**31], [1, 2]), r"fewer than 2\*\*31"),
    "one atom": (lambda: ops.support(-1.0, 1.0, 1), "num_atoms=1 must be at least 2"),
    "fractional actions": (lambda: ops.select_values(Q, [0.7, 1.0]), "action has dtype float32; expected integers"),
    "actions out of range": (lambda: ops.select_values(Q, [0, 2]), "action holds 2; expected integers from 0 to 1"),
    "what TensorFlow cannot": (
        lambda: ops.td_loss(tf.constant(Q), [0, 1], ROW, tf.zeros([2], tf.float64), ROW, tf.subtract),
        "td_loss cannot be computed of",
    ),
    "a discount of None": (lambda: ops.n_step_return(Q, Q, Q, None), "gamma=None must be a number"),
    "another shape of noise": (lambda: ops.ornstein_uhlenbeck(ROW, Q[0, :1], 0.1, 0.0, 0.1, 1.0), "normal has shape"),
    "time spans as seed": (lambda: stateless_seed([SPAN, None]), "seed=.* must be an integer"),
    "time spans as numbers": (lambda: ops.td_loss(Q, [0, 1], [SPAN, None], ROW, ROW, max), "reward=.* is not made of numbers"),
    "a seed that fails": (lambda: stateless_seed(Failing()), "seed=.* must be an integer"),
    "a number as summaries": (lambda: SummaryOptions.validate(1), "summaries=1 must be 'all'"),
    "metrics' arguments": (lambda: configs.MetricConfig(arguments=False), "arguments=False must be a dict"),
    "a bool as beta": (lambda: configs.AdamConfig(beta_1=False), "beta_1=False must be a number"),
    "a beta of one": (lambda: configs.NadamConfig(beta_2=1), "beta_2=1.0 must lie in"),
    "a negative epsilon": (lambda: configs.AdamConfig(epsilon=-1.0), "epsilon=-1.0 must lie in"),
    "a text as flag": (lambda: configs.AdamConfig(amsgrad="no"), "amsgrad='no' must be True or False"),
    "a rate beyond float32": (lambda: configs.SGDConfig(1e300), r"learning_rate=1e\+300 must lie in"),
    "no decay steps": (lambda: configs.CosineDecayConfig(0.1, 0), "decay_steps=0 must be at least 1"),
    "more steps than int64": (lambda: configs.CosineDecayConfig(0.1, 2**63), r"decay_steps=\d+ must be below"),
    "a URL as path": (lambda: resolved("path", "gs://bucket/x"), "path='gs://bucket/x' is a URL"),
    "a name of 5000 letters": (lambda: resolved("path", "a" * 5_000), "path='a*' has a name that is too long"),
    "episodes that are none": (lambda: Demonstrations(3), "expected a list of episodes, got 3"),
    "observations that fail": (lambda: demonstrated(observations=Failing()), "expected one array of observations, got <"),
    "missing values": (lambda: demonstrated(rewards=np.ma.masked_equal([1.0, 2.0], 2.0)), "rewards, got a masked array"),
    "a flag that fails": (lambda: demonstrated(terminated=Failing()), "expected terminated to be True or False"),
    "rows as flag": (lambda: demonstrated(truncated=[[1], [1, 2]]), "expected truncated to be True or False"),
    "no source": (lambda: load(None), "source=None must be a path"),
    "a number as data set": (lambda: load_minari(3), "dataset_id=3 must be the name of a dataset"),
    "a rate below zero": (lambda: configs.CosineDecayConfig(-0.1, 5), "initial_learning_rate=-0.1 must lie in"),
}


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found_is_refused_by_name(case):
    call, words = FOUND[case]
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        call()
    assert clear(caught.value) is None


STATE = np.ones([3, 4], np.float32)


@pytest.mark.parametrize(
    ("graph_fn", "words"),
    [
        (lambda mode, x: tf.Variable(STATE), "computed from its inputs; got .*Variable"),
        (lambda mode, x: tf.strings.as_string(x), "of real numbers; got string"),
        (lambda mode, x: x[:, :0], r"got \(None, 0\)"),
        (lambda mode, x: x[:1], "got 1 of 3 states"),
        (lambda mode, x: tf.transpose(x), r"got \(4, None\)"),
    ],
)
def test_a_torso_of_another_kind_is_refused(graph_fn, words):
    with Scope().active():
        model = DQNModel("infer", graph_fn, 4, 2, summaries=[])
    with pytest.raises((TypeError, ValueError), match=f"graph_fn must return one row .*{words}"):
        model(STATE)


def test_features_of_other_shapes_than_the_network_was_built_for_are_refused():
    with Scope().active():
        model = DQNModel("infer", mlp([4]), 4, 2, summaries=[])
    model(STATE)
    with pytest.raises(ValueError, match=r"was built for features of the shapes .*4\)}, got {'state': \(3,\)}"):
        model(np.zeros(3, np.int32))
    with pytest.raises(TypeError, match="features have the key 1"):
        model({"state": STATE, 1: STATE})
