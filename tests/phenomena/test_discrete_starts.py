"""Discrete states and actions that do not start at 0: whoever acts for an environment speaks its language."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Dict, Discrete

from polyrl.estimators import Agent, Predictor, RunConfig
from polyrl.experiments.report import write_predictions
from polyrl.models import CategoricalDQNModel
from polyrl.networks import embedding_mlp
from polyrl.replay import UniformReplay


class Shifted(gymnasium.Env):
    """States 10 to 15, actions -1, 0, 1, of which 1 is rewarded."""

    action_space = Discrete(3, start=-1)

    def __init__(self, is_dict: bool = False):
        state = Discrete(6, start=10)
        self.observation_space = Dict({"state": state, "other": Discrete(3, start=5)}) if is_dict else state
        self._is_dict = is_dict
        self.taken: list[int] = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._observation(), {}

    def step(self, action):
        assert self.action_space.contains(np.int64(action))
        self.taken.append(int(action))
        self._t += 1
        return self._observation(), float(action == 1), self._t == 5, False, {}

    def _observation(self):
        state = 10 + self._t
        return {"state": state, "other": 5 + self._t % 3} if self._is_dict else state


def model_fn(features, labels, mode):
    torso = embedding_mlp(6, 8, [16])
    model = CategoricalDQNModel(mode, torso, 6, 3, num_atoms=11, min_q_value=0.0, max_q_value=5.0, discount=0.5)
    return model(features, labels)


@pytest.fixture(scope="module", params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["state", "dict"])
def trained(request, tmp_path_factory):
    agent = Agent(model_fn, UniformReplay(1_000, 16), tmp_path_factory.mktemp("run"), RunConfig(jit="off", progress=False))
    env = Shifted(request.param)
    agent.train(env, first_update=16, max_timesteps=600)
    assert set(env.taken) == {-1, 0, 1}
    assert agent.evaluate(Shifted(request.param), episodes=3)["mean_reward"] == 5.0
    return agent, request.param


def observed(is_dict: bool, *states: int):
    array = np.array(states)
    return {"state": array, "other": 5 + (array - 10) % 3} if is_dict else array


@pytest.mark.slow
def test_act_takes_the_environments_states_and_gives_its_actions(trained):
    agent, is_dict = trained
    assert agent.act(observed(is_dict, *range(10, 15))).tolist() == [1] * 5
    env, over, total = Shifted(is_dict), False, 0.0
    state, _ = env.reset()
    while not over:
        state, reward, over, _, _ = env.step(agent.act(state))
        total += reward
    assert total == 5.0


@pytest.mark.parametrize("wrong", [0, 5, 9, 16, 100, -1])
def test_act_refuses_states_that_do_not_exist(trained, wrong):
    agent, is_dict = trained
    state = {"state": wrong, "other": 5} if is_dict else wrong
    with pytest.raises(ValueError, match=rf"state.*: {wrong} is not one of the 6 states 10 to 15"):
        agent.act(state)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (10.5, ValueError, r"10\.5 is not a value of int64"),
        (float("nan"), ValueError, "nan is not a value of int64"),
        ("10", TypeError, "expected numbers"),
        (None, TypeError, "expected numbers"),
        ((10, {}), TypeError, r"is a tuple \(observation, info\), as env.reset\(\) returns it; pass the observation alone"),
    ],
    ids=str,
)
def test_act_refuses_what_is_not_a_state(trained, wrong, error, words):
    agent, is_dict = trained
    with pytest.raises(error, match=words):
        agent.act({"state": wrong, "other": 5} if is_dict and not isinstance(wrong, tuple) else wrong)


def test_predictions_are_in_the_environments_language(trained, tmp_path):
    agent, is_dict = trained
    steps = list(agent.predict(Shifted(is_dict), episodes=1))
    assert [int(step["state"]) for step in steps] == [10, 11, 12, 13, 14]
    assert [int(step["results"]) for step in steps] == [1] * 5
    assert [step["index"] for step in steps] == [2] * 5
    if is_dict:
        assert [int(step["other"]) for step in steps] == [5, 6, 7, 5, 6]
    write_predictions(steps, tmp_path / "lines.jsonl", tmp_path)
    first = json.loads((tmp_path / "lines.jsonl").read_text().splitlines()[0])
    assert first["action"] == 1
    assert first.get("other") == (5 if is_dict else None)  # Every key of the observation.


@pytest.mark.slow
def test_what_is_exported_speaks_it_too(trained, tmp_path):
    agent, is_dict = trained
    agent.predictor().export(tmp_path / "policy")
    act = tf.saved_model.load(str(tmp_path / "policy")).signatures["action"]
    states = observed(is_dict, 10, 12, 14)
    parts = states if is_dict else {"state": states}
    inputs = {f"observation_{key}": tf.constant(value, tf.int32) for key, value in parts.items()}
    assert act(seed=tf.constant([0, 0]), **inputs)["action"].numpy().tolist() == [1, 1, 1]


def test_from_the_directory_alone(trained):
    agent, is_dict = trained
    predictor = Predictor.from_model_dir(agent.model_dir, model_fn, config=RunConfig(jit="off"))
    assert predictor.act(observed(is_dict, 11)).tolist() == [1]


def test_an_environment_with_other_states_is_refused(trained):
    agent, is_dict = trained
    other = Shifted(is_dict)
    other.observation_space = Dict({"state": Discrete(6), "other": Discrete(3, start=5)}) if is_dict else Discrete(6)
    other._observation = lambda: {"state": other._t, "other": 5} if is_dict else other._t
    with pytest.raises(ValueError, match="as in training"):
        next(agent.predict(other))
