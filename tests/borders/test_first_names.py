"""Names and values that people bring along from other libraries, in their first hour: what they are called here."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from tiny_agents import make_agent, q_model_fn

from polyrl import configs
from polyrl.envs import GymEnvironment, compiled_environment
from polyrl.estimators import WarmStartSettings
from polyrl.experiments import RLExperiment
from polyrl.models import DQNModel, NAFModel
from polyrl.networks import mlp, recurrent

STATE = np.zeros([2, 4], np.float32)
LABELS = {"action": [0, 1], "reward": [0.0, 1.0], "done": [0.0, 1.0], "next_state": STATE}


@dataclasses.dataclass(frozen=True)
class OneArgument(configs.LossConfig):
    def build(self):
        return lambda error: error**2


@dataclasses.dataclass(frozen=True)
class Falling(configs.ScheduleConfig):
    def build(self):
        return lambda step: 1.0 - step


def metric(name):
    metrics = [configs.MetricConfig("Mean", name)]
    return DQNModel("train", mlp([8]), num_states=4, num_actions=2, eval_metrics_config=metrics)(STATE, LABELS)


def model():
    return DQNModel("train", mlp([8]), num_states=4, num_actions=2)


NAMES = {
    "seed of an environment": (lambda _: GymEnvironment("CartPole-v1", seed=8), TypeError, "Use Agent.config=RunConfig.seed"),
    "policy": (lambda _: DQNModel("train", mlp([8]), policy="MlpPolicy"), TypeError, "Use graph_fn"),
    "double of NAF": (lambda _: NAFModel("train", mlp([8]), double=True), TypeError, "of models of discrete actions"),
    "a number as head_units": (
        lambda _: DQNModel("train", mlp([8]), num_states=4, num_actions=2, head_units=64),
        TypeError,
        r"head_units=64 must be a sequence with the size of each layer, as \(64, 64\)\.$",
    ),
    "hidden_sizes": (lambda _: mlp(hidden_sizes=[8]), TypeError, r"mlp got an unexpected .*Use units, as \(64, 64\)"),
    "unit": (lambda _: recurrent(mlp([8]), unit=8), TypeError, "Did you mean 'units'"),
    "warm start": (lambda _: WarmStartSettings("x", vars_to_warmstart="y"), TypeError, "Did you mean 'vars_to_warm_start'"),
    "num_timesteps": (lambda a: RLExperiment(a, "CartPole-v1", eval_episode=1), TypeError, "Did you mean 'eval_episodes'"),
    "states": (
        lambda _: model()(STATE[:, :3], LABELS),
        ValueError,
        r"expected shape \[batch, 4\] by num_states, got \(2, 3\). For states as these build the model with num_states=3",
    ),
    "a metric of a misspelt value": (
        lambda _: metric("td_eror"),
        ValueError,
        "'Mean_td_eror' asks for 'td_eror', which the model does not give. Did you mean 'td_error'",
    ),
    "a loss of one argument": (
        lambda _: DQNModel("train", mlp([8]), num_states=4, num_actions=2, loss_config=OneArgument()),
        TypeError,
        r"OneArgument.build must return a function loss_fn\(target, prediction\)",
    ),
    "a schedule that builds a function": (
        lambda _: configs.AdamConfig(Falling()).build(),
        TypeError,
        "Falling.build returned a function; expected an object of tf-keras's, as a LearningRateSchedule",
    ),
    "linear": (lambda _: configs.DecayExplorationConfig(decay_type="linear"), ValueError, "polynomial_decay is linear"),
    "colums": (lambda _: compiled_environment("Catch", colums=4), TypeError, "Did you mean 'columns'"),
    "eval_steps": (lambda a: RLExperiment(a, "CartPole-v1", eval_steps=1), TypeError, "Use eval_episodes"),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_message_says_what_to_use(name, tmp_path):
    call, kind, words = NAMES[name]
    with pytest.raises(kind, match=words):
        call(make_agent(q_model_fn(), model_dir=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda features, labels, mode: None, True),
        (lambda features, labels, mode, params: None, False),
        (lambda features, labels, **others: None, True),
    ],
)
def test_hyper_parameters_that_the_model_does_not_get_are_told_to_be_noted_alone(caplog, function, told):
    with caplog.at_level(logging.WARNING, "polyrl"):
        make_agent(function, params={"learning_rate": 0.1})
    assert ["model_fn takes no argument 'params': they are noted" in text for text in caplog.messages] == [True] * told
