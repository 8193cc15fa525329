"""Runs of recurrent models: what is stored, evaluated, predicted, exported and resumed."""

from __future__ import annotations

import dataclasses

import gymnasium
import masked_envs  # noqa: F401  Registers them.
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete
from tiny_agents import weights

from polyrl.configs import DecayExplorationConfig
from polyrl.envs import GymEnvironment, num_states_and_actions
from polyrl.envs.compiled import CartPole, MemoryChain
from polyrl.estimators import Agent, Predictor, RunConfig
from polyrl.models import DQNModel, R2D2Model, Scope
from polyrl.networks import RunningNormalization, mlp, recurrent
from polyrl.networks.unrolling import Unroll, unrolling
from polyrl.policies import TimeStep
from polyrl.replay import PrioritizedSequenceReplay, SequenceReplay, UniformReplay

UNITS = 6
SLOW = pytest.mark.slow


def model_fn(features, labels, mode, model_class=DQNModel, states=4, cell="lstm", **arguments):
    exploration = DecayExplorationConfig(decay_steps=1_000)
    given = {"exploration_config": exploration, "burn_in": 2, "summaries": [], **arguments}
    return model_class(mode, recurrent(mlp([8]), UNITS, cell), states, 2, **given)(features, labels)


def agent(path, memory=None, function=model_fn, **config):
    memory = SequenceReplay(2_000, 32, sequence_length=8, n_step=2) if memory is None else memory
    settings = {"progress": False, "jit": "off", "save_checkpoints_timesteps": 400, "max_overhead": None, **config}
    return Agent(function, memory, path, RunConfig(**settings))


def environment(where):
    return CartPole(num_envs=4) if where == "graph" else GymEnvironment("CartPole-v1", 4)


SCHEDULE = {"first_update": 100, "update_frequency": 8}


@pytest.mark.slow
@pytest.mark.parametrize("where", ["graph", pytest.param("python", marks=SLOW)])
def test_what_is_stored_is_what_the_network_remembered_before_each_step(tmp_path, where):
    """Without an update in between, walking through the stored states again comes to the same."""
    memory = SequenceReplay(400, 40, sequence_length=10)
    learner = agent(tmp_path, memory)
    learner.train(environment(where), first_update=400, max_timesteps=200)
    columns = {name: np.asarray(values)[:200].reshape(50, 4, -1) for name, values in memory.columns.items()}
    network = learner._scope.parts["Model/online"]
    state = np.zeros([4, 2 * UNITS], np.float32)
    for t in range(50):
        np.testing.assert_allclose(columns["network_state"][t], state, rtol=1e-4, atol=1e-6)
        with unrolling(Unroll(tf.constant(state))) as forward:
            network({"state": tf.constant(columns["state"][t])})
        ended = columns["done"][t] + columns["truncated"][t] > 0
        state = np.where(ended, 0.0, forward.states.numpy()).astype(np.float32)
    assert (columns["done"] > 0).any()


MEMORIES = {
    "uniform": lambda: SequenceReplay(2_000, 32, sequence_length=8, n_step=2),
    "prioritized": lambda: PrioritizedSequenceReplay(2_000, 32, sequence_length=8),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "jit", "memory", "model_class"),
    [
        ("python", "off", "uniform", DQNModel),
        pytest.param("graph", "off", "prioritized", R2D2Model, marks=SLOW),
        pytest.param("graph", "on", "prioritized", R2D2Model, marks=SLOW),
        pytest.param("python", "on", "prioritized", R2D2Model, marks=SLOW),
        pytest.param("python", "on", "uniform", DQNModel, marks=SLOW),
    ],
)
def test_a_run_that_is_resumed_is_the_run_that_was_not_interrupted(tmp_path, where, jit, memory, model_class):
    def function(features, labels, mode):
        return model_fn(features, labels, mode, model_class)

    whole = agent(tmp_path / "whole", MEMORIES[memory](), function, jit=jit)
    whole.train(environment(where), **SCHEDULE, max_timesteps=800)
    for timesteps in (400, 800):
        parts = agent(tmp_path / "parts", MEMORIES[memory](), function, jit=jit)
        parts.train(environment(where), **SCHEDULE, max_timesteps=timesteps)
    for name, values in weights(whole).items():
        np.testing.assert_array_equal(weights(parts)[name], values, err_msg=name)
    stored, of_parts = whole.memory.columns, parts.memory.columns
    for name, values in stored.items():  # Of what has been stored.
        np.testing.assert_array_equal(np.asarray(of_parts[name])[:800], np.asarray(values)[:800], err_msg=name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One that has learned a little of a chain whose first state has to be remembered, and its directory."""

    def function(features, labels, mode):
        return model_fn(features, labels, mode, states=3, summaries=["activations", "loss"])

    learner = agent(tmp_path_factory.mktemp("trained"), function=function)
    learner.train(MemoryChain(num_envs=4), **SCHEDULE, max_timesteps=800)
    return learner, function


@pytest.mark.slow
def test_an_evaluation_remembers_each_episode_by_itself(trained):
    """As a walk by the policy does, whatever the number of episodes side by side."""
    learner, _ = trained
    policy, env = learner.predictor().policy, MemoryChain(num_envs=1)
    rows = list(learner.predict(env, episodes=3))
    state = policy.get_initial_state(1)
    for row in rows:
        step = TimeStep.restart({"state": row["state"][np.newaxis]}, batch_size=1)
        step = step._replace(step_type=tf.constant([min(row["timestep"], 1)]))
        chosen = policy.action(step, state)
        state = chosen.state
        assert int(chosen.action[0]) == row["results"]
        assert "network_state" not in row
    assert sum(row["done"] for row in rows) == 3
    few, many = (learner.evaluate(env, episodes)["mean_ep_length"] for episodes in (1, 8))
    assert few == many == 6.0


@pytest.mark.slow
def test_an_export_hands_on_what_is_remembered(trained, tmp_path):
    learner, _ = trained
    predictor = learner.predictor()
    predictor.export(tmp_path)
    loaded = tf.saved_model.load(str(tmp_path))
    policy, rng = predictor.policy, np.random.default_rng(0)
    own, served = policy.get_initial_state(2), loaded.signatures["get_initial_state"](batch_size=tf.constant(2))
    for t in range(4):
        states, types = rng.uniform(-1, 1, [2, 3]).astype(np.float32), tf.constant([min(t, 1), 0])
        step = TimeStep.restart({"state": states}, batch_size=2)._replace(step_type=types)
        chosen = policy.action(step, own, seed=[0, 0])
        given = {"observation_state": tf.constant(states), "step_type": types, "seed": tf.constant([0, 0])}
        served = loaded.signatures["action"](**given, policy_state=served["policy_state"])
        own = chosen.state
        np.testing.assert_array_equal(served["action"], chosen.action)
        np.testing.assert_allclose(served["policy_state"], own, rtol=1e-5)


@SLOW
def test_a_predictor_of_the_directory_does_the_same(trained):
    learner, function = trained
    env = MemoryChain(num_envs=1)
    other = Predictor.from_model_dir(learner.model_dir, function, config=RunConfig(jit="off"))
    assert other.evaluate(env, 10) == learner.predictor().evaluate(env, 10)


@pytest.mark.slow
def test_one_state_alone_is_refused_as_it_says_too_little(trained):
    learner, _ = trained
    with pytest.raises(TypeError, match="what it remembers has to be handed on"):
        learner.predictor().act(np.zeros(3, np.float32))


def test_single_transitions_are_refused_before_anything_is_stored(tmp_path):
    memory = UniformReplay(100, 10)
    with pytest.raises(ValueError, match="use SequenceReplay"):
        agent(tmp_path, memory).train(environment("python"), timesteps=100)


def no_memory(features, labels, mode):
    """Leaves out what has to be handed on."""
    spec = model_fn(features, labels, mode, burn_in=0)
    kept = {name: value for name, value in spec.predictions.items() if name in ("results", "q")}
    return dataclasses.replace(spec, predictions=kept) if labels is None else spec


def another_learns(features, labels, mode):
    """One without memory acts, and a recurrent one learns."""
    if labels is not None and mode == "train":
        return model_fn(features, labels, mode, burn_in=0, name="Other")
    return DQNModel(mode, mlp([8]), 4, 2, name="Model")(features, labels)


@pytest.mark.slow
@pytest.mark.parametrize("function", [no_memory, another_learns])
def test_a_network_whose_memory_is_not_handed_on_is_refused(tmp_path, function):
    with pytest.raises(ValueError, match="have no 'network_state': nothing would be remembered"):
        agent(tmp_path, UniformReplay(100, 10), function).train(environment("python"), timesteps=100)


@pytest.mark.slow
@pytest.mark.parametrize("where", [pytest.param("graph", marks=SLOW), "python"])
def test_an_environment_that_is_refused_changes_nothing_for_the_one_before(tmp_path, where):
    learner = agent(tmp_path)
    learner.train(environment(where), **SCHEDULE, timesteps=200)
    other = CartPole(num_envs=2) if where == "graph" else GymEnvironment("CartPole-v1", 2)
    with pytest.raises(ValueError, match="num_envs is now 2, was 4"):
        learner.train(other, timesteps=100)
    learner.train(environment(where), **SCHEDULE, timesteps=100)
    assert learner.predictor().counters["global_timestep"] == 300


@pytest.mark.slow
def test_sequences_that_are_not_whole_yet_hold_nothing_that_did_not_happen(tmp_path):
    """A layer that normalises meets the states there are."""

    class Constant(gymnasium.Env):
        observation_space, action_space = Box(0.0, 9.0, (2,), np.float32), Discrete(2)

        def reset(self, *, seed=None, options=None):
            return np.full(2, 5.0, np.float32), {}

        def step(self, action):
            return np.full(2, 5.0, np.float32), 1.0, False, False, {}

    def function(features, labels, mode):
        torso = recurrent(mlp([4], normalize_inputs=True), 3)
        return DQNModel(mode, torso, 2, 2, summaries=[])(features, labels)

    learner = agent(tmp_path, SequenceReplay(4_000, 64, sequence_length=32), function, check_env=False)
    learner.train(GymEnvironment(Constant, 4), first_update=32, update_frequency=8, timesteps=100)
    (layer,) = [m for m in learner._scope.parts["Model/online"].model.submodules if isinstance(m, RunningNormalization)]
    np.testing.assert_allclose(layer.mean, [5.0, 5.0], rtol=1e-6)
    np.testing.assert_allclose(layer.variance, 0.0, atol=1e-9)


@pytest.mark.slow
def test_masks_may_be_learned_from_before_a_sequence_is_whole(tmp_path):
    def function(features, labels, mode):
        return DQNModel(mode, recurrent(mlp([8]), 4), *spaces, summaries=[])(features, labels)

    env = GymEnvironment("polyrl/TinyTempting-v0", 4)
    spaces = num_states_and_actions(env)
    learner = agent(tmp_path, SequenceReplay(4_000, 64, sequence_length=32), function)
    learner.train(env, first_update=16, update_frequency=8, timesteps=100)
    assert learner.predictor().counters["global_step"] > 5


@pytest.mark.slow
def test_overlap_is_refused(tmp_path):
    with pytest.raises(ValueError, match="overlap=True"):
        agent(tmp_path, overlap=True).train(environment("python"), timesteps=100)


def test_an_observation_may_not_be_called_like_it():
    with Scope().active():
        model = DQNModel("eval", mlp([4]), 2, 2)
    features = {"state": tf.zeros([3, 2]), "network_state": tf.zeros([3, 5])}
    np.testing.assert_array_equal(model(features).predictions["q"], model({"state": tf.zeros([3, 2])}).predictions["q"])
