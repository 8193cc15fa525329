"""What a checkpoint must share with the run that resumes from it: seed, hyper-parameters, layers, optimizer, memory."""

from __future__ import annotations

import re
import shutil

import gymnasium
import numpy as np
import pytest
import tf_keras
from checkpoint_testing import BATCH, schedule, state_of
from gymnasium.spaces import Box, Dict, Discrete
from tiny_agents import make_agent, q_model_fn

from polyrl.configs import AdagradConfig, AdamConfig, SGDConfig
from polyrl.errors import CheckpointMismatchError
from polyrl.models import DQNModel
from polyrl.networks import embedding_mlp, mlp

OPTIMIZERS = {"adam": AdamConfig(), "sgd": SGDConfig(learning_rate=0.1)}


@pytest.fixture(scope="module")
def q_runs(tmp_path_factory):
    """Directories of two trained DQNs with dueling heads, by their optimizer."""
    root = tmp_path_factory.mktemp("q_runs")
    for name, optimizer in OPTIMIZERS.items():
        agent = make_agent(q_model_fn(optimizer_config=optimizer), model_dir=root / name)
        agent.train(schedule(), first_update=BATCH, timesteps=8)
    return root


@pytest.fixture
def copied(q_runs, tmp_path):
    """Begins with a copy of one of them; tells what it holds."""

    def copy(optimizer="adam"):
        shutil.copytree(q_runs / optimizer, tmp_path / "run")
        return state_of(tmp_path / "run")

    return copy


def refused(agent, tmp_path, before, model_fn=None, **arguments) -> str:
    """The message of the refusal, which leaves the directory and the environment as they were."""
    env = schedule()
    with pytest.raises(CheckpointMismatchError) as error:
        agent(model_fn, **arguments).train(env, first_update=BATCH, timesteps=2)
    assert state_of(tmp_path / "run") == before
    assert all(single.steps == 0 for single in env.envs)
    return str(error.value)


# What does not fit. -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [None, 1_000])
def test_another_seed_is_refused(agent, trained, tmp_path, every):
    """Between two multiples of `every` the actions since the last one would be taken again: from another reset, they fail."""
    before = trained(seed=3, save_checkpoints_timesteps=every)
    message = refused(agent, tmp_path, before, seed=4, save_checkpoints_timesteps=every)
    assert "seed=3" in message
    assert "seed=4" in message


def test_other_params_are_refused_with_each_difference_and_no_more(agent, trained, tmp_path):
    before = trained(params={"same": 1, "rate": 0.1, "units": [8, 8], "gone": "x"})
    message = refused(agent, tmp_path, before, params={"same": 1, "rate": 0.2, "units": [8, 9], "new": True})
    for line in ("rate: 0.1 there, 0.2 now", "units: [8, 8] there, [8, 9] now", "there only: gone=x", "now only: new=True"):
        assert line in message
    assert "same" not in message.splitlines()[1:-1]
    assert not any(line.strip().startswith("same:") for line in message.splitlines())


def test_params_of_another_program_are_not_listed_whole(agent, trained, tmp_path):
    """Forty lines were shown for the run of another script."""
    before = trained(params={f"own_{number}": number for number in range(30)})
    message = refused(agent, tmp_path, before, params={f"other_{number}": None for number in range(30)})
    assert "there only: own_0=0, own_1=1, own_10=10, own_11=11, own_12=12, own_13=13, and 24 more" in message
    assert len(message.splitlines()) <= 4


def test_params_of_a_run_that_had_none_are_refused(agent, trained, tmp_path):
    before = trained()
    assert "rate" in refused(agent, tmp_path, before, params={"rate": 0.2})


def test_params_left_out_are_refused(agent, trained, tmp_path):
    before = trained(params={"rate": 0.2})
    assert "there only: rate=0.2" in refused(agent, tmp_path, before)


def test_the_same_params_fit_also_as_tuples_and_nested(agent, trained):
    params = {"sizes": (8, 8), "inner": {"rate": 0.1}}
    trained(params=params)
    agent(params=params).train(schedule(), first_update=BATCH, timesteps=2)


@pytest.mark.slow
def test_another_size_of_a_layer_is_refused_with_its_name_and_both_shapes(agent, copied, tmp_path):
    before = copied()
    message = refused(agent, tmp_path, before, q_model_fn(units=16))
    for words in ("'Model/online/dense/", "(4, 8)", "(4, 16)"):
        assert words in message


@pytest.mark.slow
def test_another_activation_is_refused_also_where_a_model_is_only_read(agent, trained, tmp_path):
    """Its variables have the same names and shapes."""

    def model_fn(activation):
        def build(features, labels, mode):
            return DQNModel(mode, mlp([8], activation), 4, 3, summaries=[])(features, labels)

        return build

    before = trained(model_fn("relu"))
    words = r"with another network, Model/online: layer 1 \(Dense\): activation=relu there, tanh now"
    assert re.search(words, refused(agent, tmp_path, before, model_fn("tanh")))
    with pytest.raises(CheckpointMismatchError, match=words):
        agent(model_fn("tanh")).predictor()


@pytest.mark.slow
def test_another_constant_in_graph_fn_is_refused(agent, trained, tmp_path):
    """As of a graph function that draws one, in a new process."""

    def model_fn(scale):
        def graph_fn(mode, inputs):
            return tf_keras.layers.Dense(8)(inputs["state"] * scale)

        def build(features, labels, mode):
            return DQNModel(mode, graph_fn, 4, 3, summaries=[])(features, labels)

        return build

    before = trained(model_fn(2.0))
    words = "with another network, Model/online: layer 1 .TFOpLambda.: constants=.*2.0.* there, .*3.0.* now"
    assert re.search(words, refused(agent, tmp_path, before, model_fn(3.0)))


def test_a_missing_head_is_refused_with_its_name(agent, copied, tmp_path):
    before = copied()
    assert "Model.dueling=mean there, None now" in refused(agent, tmp_path, before, q_model_fn(dueling=None))


@pytest.mark.slow
def test_an_additional_head_is_refused_with_its_name(agent, trained, tmp_path):
    before = trained(q_model_fn(dueling=None))
    assert "Model.dueling=None there, mean now" in refused(agent, tmp_path, before, q_model_fn(dueling="mean"))


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(
    ("there", "now"),
    [
        ("adam", SGDConfig()),
        ("sgd", AdamConfig()),
        ("sgd", AdagradConfig(learning_rate=0.1)),  # As many slots of the same shapes, with another meaning.
    ],
    ids=["adam_to_sgd", "sgd_to_adam", "sgd_to_adagrad"],
)
def test_another_optimizer_is_refused(agent, copied, tmp_path, there, now):
    before = copied(there)
    assert "optimizer" in refused(agent, tmp_path, before, q_model_fn(optimizer_config=now))


def test_another_learning_rate_is_refused_with_both(agent, copied, tmp_path):
    """The checkpoint brings back the old one: a config that says another misleads whoever reads it."""
    before = copied("sgd")
    message = refused(agent, tmp_path, before, q_model_fn(optimizer_config=SGDConfig(learning_rate=0.25)))
    assert "Model.optimizer_config.learning_rate=0.1 there, 0.25 now" in message


def test_another_size_of_the_memory_is_refused(agent, trained, tmp_path):
    before = trained(size=100)
    assert "another memory: size=100 there, 50 now." in refused(agent, tmp_path, before, size=50)


# Another environment. ---------------------------------------------------------------------------------------------------


class Numbered(gymnasium.Env):
    """Six discrete states and two actions, from some numbers on."""

    def __init__(self, first=0, first_action=0):
        self.observation_space, self.action_space = Discrete(6, start=first), Discrete(2, start=first_action)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return int(self.observation_space.start), {}

    def step(self, action):
        return int(self.observation_space.start) + 1, 1.0, True, False, {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("there", "now", "words"),
    [
        ({"first": 5}, {}, r"trained in another environment, whose states differ: start=5 there, 0 now"),
        ({}, {"first_action": -1}, r"whose lowest action differs: first_action=0 there, -1 now"),
    ],
)
def test_other_states_or_actions_are_refused(tmp_path, there, now, words):
    def model_fn(features, labels, mode):
        return DQNModel(mode, embedding_mlp(6, 2, [4]), 6, 2, summaries=[])(features, labels)

    make_agent(model_fn, model_dir=tmp_path).train(Numbered(**there), first_update=4, timesteps=8)
    with pytest.raises(CheckpointMismatchError, match=words):
        make_agent(model_fn, model_dir=tmp_path).train(Numbered(**now), first_update=4, timesteps=8)
    assert make_agent(model_fn, model_dir=tmp_path).train(Numbered(**there), first_update=4, timesteps=8).global_timestep == 16


class Parts(gymnasium.Env):
    """Two actions; a state of one part, or of those that are named, and perhaps a mask of the actions."""

    action_space = Discrete(2)

    def __init__(self, *parts, masked=False):
        box = Box(0, 1, (2,), np.float32)
        self.observation_space = Dict(dict.fromkeys(parts, box)) if parts else box
        self._info = {"action_mask": np.ones(2, np.int8)} if masked else {}

    def _observed(self):
        zeros = np.zeros(2, np.float32)
        return dict.fromkeys(self.observation_space, zeros) if isinstance(self.observation_space, Dict) else zeros

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observed(), self._info

    def step(self, action):
        return self._observed(), 1.0, True, False, self._info


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(
    ("there", "now", "words"),
    [
        (Parts(masked=True), Parts(), r"whose states differ: action_mask={'shape': \[2\], 'dtype': 'bool'} there, none now"),
        (Parts(), Parts(masked=True), r"whose states differ: no action_mask there, {'shape': \[2\], 'dtype': 'bool'} now"),
        (Parts("state", "time"), Parts("state"), "whose states differ: time=.* there, none now"),
        (Parts("state"), Parts("state", "time"), "whose states differ: no time there, .* now"),
        (Parts("state", "time"), Parts("state", "speed"), "no speed there, .* now; time=.* there, none now"),
    ],
    ids=["masked", "unmasked", "fewer", "more", "others"],
)
def test_states_of_other_parts_are_refused_and_no_file_is_called_damaged(agent, there, now, words):
    agent().train(there, first_update=4, timesteps=8)
    with pytest.raises(CheckpointMismatchError, match=words):
        agent().train(now, first_update=4, timesteps=8)
    assert agent().train(there, first_update=4, timesteps=8).global_timestep == 16
