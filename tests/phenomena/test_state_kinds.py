"""Discrete states, and states that are images, from the environment to the replay memory and to the actions."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv, vector

from polyrl.configs import AdamConfig, ConstantExplorationConfig
from polyrl.envs import EnvDriver, GymEnvironment, action_bounds, num_states_and_actions, open_env
from polyrl.envs.compiled import compiled_environment
from polyrl.models import DQNModel
from polyrl.networks import embedding_mlp, mlp

START = 7
LENGTH = 4


class NumberedChain(gymnasium.Env):
    """Rooms 7, 8, ..., 11: action 1 goes on, to a reward of 1 in the last one; action 0 takes 0.3 and ends at once."""

    observation_space = Discrete(LENGTH + 1, start=START)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._room = START
        return self._room, {}

    def step(self, action):
        if action == 0:
            return self._room, 0.3, True, False, {}
        self._room += 1
        ended = self._room == START + LENGTH
        return self._room, float(ended), ended, False, {}


gymnasium.register("polyrl/NumberedChain-v0", NumberedChain)


def chain_model_fn(features, labels, mode):
    arguments = {"dueling": None, "discount": 0.9, "optimizer_config": AdamConfig(0.05), "clip_gradients": None}
    arguments |= {"exploration_config": ConstantExplorationConfig(0.5), "target_update_frequency": 10, "summaries": []}
    model = DQNModel(mode, embedding_mlp(LENGTH + 1, 8, ()), LENGTH + 1, 2, clip_embed_gradients=1.0, **arguments)
    return model(features, labels)


@pytest.mark.parametrize("kind", ["single", "vector", "async"])
def test_numbers_of_states_are_counted_from_zero_also_the_last_of_an_episode(kind):
    env = {
        "single": NumberedChain(),
        "vector": gymnasium.vector.SyncVectorEnv([NumberedChain] * 2, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP),
        "async": GymEnvironment("polyrl/NumberedChain-v0", 2, vectorization_mode="async"),
    }[kind]
    with open_env(env) as opened:
        driver = EnvDriver(opened)
        assert driver.reset(list(range(driver.num_envs))).tolist() == [0] * driver.num_envs
        seen = []
        for _ in range(LENGTH):
            transitions, _ = driver.step(np.ones(driver.num_envs, np.int32))
            assert transitions.state.dtype == transitions.next_state.dtype == np.int32
            assert transitions.state.shape == (driver.num_envs,)
            seen.append((transitions.state[0], transitions.next_state[0], transitions.done[0]))
        assert seen == [(0, 1, 0), (1, 2, 0), (2, 3, 0), (3, 4, 1)]
        assert driver.state.tolist() == [0] * driver.num_envs


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_a_table_learns_the_values_of_a_chain_of_numbered_states(tmp_path, jit):
    """By hand: going on is worth 0.9^(rooms left), which beats 0.3 everywhere."""
    agent = make_agent(chain_model_fn, model_dir=tmp_path, size=2_000, batch_size=32, jit=jit)
    agent.train(vector(NumberedChain(), NumberedChain()), first_update=64, update_frequency=2, timesteps=2_000)
    q = agent._scope.parts["Model/online"]({"state": tf.range(LENGTH)}).q.numpy()
    expected = [[0.3, 0.9 ** (LENGTH - 1 - room)] for room in range(LENGTH)]
    np.testing.assert_allclose(q, expected, atol=0.05)
    assert agent.memory.columns["state"].dtype == tf.int32
    assert agent.evaluate(NumberedChain(), episodes=3)["mean_reward"] == 1.0
    steps = list(agent.predict(NumberedChain(), episodes=1))
    assert [(int(row["state"]), int(row["results"])) for row in steps] == [(START + room, 1) for room in range(LENGTH)]
    assert agent.act(START + 2) == 1
    assert agent.act([7, 8, 10]).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"state has shape \(1, 2\)"):
        agent.act([[7, 8]])


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (NumberedChain(), (5, 2)),
        (ScheduleEnv(), ((4,), 3)),
        ("FrozenLake-v1", (16, 4)),
        (GymEnvironment("Taxi-v4" if "Taxi-v4" in gymnasium.registry else "Taxi-v3", num_envs=3), (500, 6)),
        (compiled_environment("CartPole-v1", 8), ((4,), 2)),
    ],
    ids=["numbered", "vector", "lake", "taxi", "compiled"],
)
def test_the_sizes_of_a_model_follow_from_the_spaces(env, expected):
    assert num_states_and_actions(env) == expected
    if isinstance(env, gymnasium.Env):
        env.reset()  # Still open.


@pytest.mark.parametrize("env", ["Pendulum-v1", compiled_environment("Pendulum-v1", 3)], ids=["gymnasium", "compiled"])
def test_the_bounds_of_actions_follow_from_their_space(env):
    assert num_states_and_actions(env) == ((3,), 0)
    low, high = action_bounds(env)
    assert (low.tolist(), high.tolist(), low.dtype) == ([-2.0], [2.0], np.float32)


def test_discrete_actions_have_no_bounds():
    with pytest.raises(TypeError, match=r"Discrete\(2\) is discrete and has no bounds"):
        action_bounds("CartPole-v1")


def batch(state):
    rows = len(state)
    labels = {"action": np.zeros(rows, int), "reward": np.ones(rows), "done": np.zeros(rows), "next_state": state}
    return {"state": tf.constant(state)}, labels


@pytest.mark.parametrize("num_states", [5, (5,), ()])
def test_a_state_that_is_a_number_fits_the_number_of_states_and_the_shape_of_a_scalar(num_states):
    spec = DQNModel("train", embedding_mlp(5), num_states, 2, summaries=[])(*batch(np.array([0, 4, 2], np.int32)))
    assert spec.predictions["q"].shape == (3, 2)


@pytest.mark.parametrize(
    ("num_states", "state", "words"),
    [
        (5, np.zeros(3, np.float32), r"expected shape \[batch, 5\] by num_states"),
        ((5, 1), np.zeros(3, np.int32), r"expected shape \[batch, 5, 1\] by num_states"),
        ((), np.zeros([3, 1], np.int32), r"expected shape \[batch\] by num_states"),
    ],
)
def test_other_states_are_refused(num_states, state, words):
    with pytest.raises(ValueError, match=words):
        DQNModel("train", mlp([4]), num_states, 2)(*batch(state))


@pytest.mark.parametrize("state", [np.zeros([3, 1], np.int32), np.zeros(3, np.float32)], ids=["a column", "floats"])
def test_the_embedding_torso_takes_numbers_alone(state):
    with pytest.raises(ValueError, match="embedding_mlp expects state indices"):
        embedding_mlp(5)("train", tf_keras.Input(state.shape[1:], dtype=state.dtype))


@pytest.mark.parametrize("arguments", [{"num_states": 0}, {"num_states": 5, "dimension": 0}, {"num_states": 5, "units": [0]}])
def test_the_embedding_torso_refuses_sizes_below_one(arguments):
    with pytest.raises(ValueError, match="must be at least 1"):
        embedding_mlp(**arguments)


def test_the_embedding_torso_looks_rows_up():
    inputs = tf_keras.Input((), dtype=tf.int32)
    model = tf_keras.Model(inputs, embedding_mlp(5, 3, ())("train", inputs))
    (table,) = model.get_weights()
    assert table.shape == (5, 3)
    np.testing.assert_array_equal(model(np.array([4, 0, 4], np.int32)), table[[4, 0, 4]])


class Pictures(gymnasium.Env):
    """Noise of 256 shades; ends after five steps."""

    observation_space = Box(0, 255, (6, 6, 3), np.uint8)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self.np_random.integers(0, 256, (6, 6, 3), dtype=np.uint8), {}

    def step(self, action):
        self._t += 1
        return self.np_random.integers(0, 256, (6, 6, 3), dtype=np.uint8), 1.0, self._t == 5, False, {}


@pytest.mark.slow
@pytest.mark.parametrize("jit", [pytest.param("off", marks=pytest.mark.slow), "on"])
def test_images_stay_bytes_in_the_memory_and_in_what_the_model_gets(tmp_path, jit):
    """F3."""
    seen = []

    def graph_fn(mode, inputs):
        seen.append(inputs["state"].dtype)
        return tf_keras.layers.Dense(4)(tf_keras.layers.Flatten()(tf_keras.layers.Rescaling(1 / 255)(inputs["state"])))

    agent = make_agent(
        lambda features, labels, mode: DQNModel(mode, graph_fn, (6, 6, 3), 2)(features, labels), model_dir=tmp_path, jit=jit
    )
    agent.train(Pictures(), first_update=4, timesteps=12)
    state, next_state = agent.memory.columns["state"], agent.memory.columns["next_state"]
    assert state.dtype == next_state.dtype == tf.uint8
    assert state.shape[1:] == next_state.shape[1:] == (6, 6, 3)
    assert set(seen) == {tf.uint8}
    np.testing.assert_array_equal(state[1:4], next_state[0:3])
    assert state.numpy()[:12].max() > 200


class NumberedAndMasked(NumberedChain):
    """The chain with its room in a dict, which also says that nobody may leave the first room by action 0."""

    observation_space = Dict(state=NumberedChain.observation_space, action_mask=MultiBinary(2))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observation(), {}

    def step(self, action):
        assert (self._room, action) != (START, 0)
        _, *rest = super().step(action)
        return self._observation(), *rest

    def _observation(self):
        return {"state": self._room, "action_mask": np.array([self._room > START, True], np.int8)}


@pytest.mark.slow
def test_a_number_may_be_the_state_of_a_dict_with_a_mask():
    env = NumberedAndMasked()
    assert num_states_and_actions(env) == (LENGTH + 1, 2)
    agent = make_agent(chain_model_fn, batch_size=8)
    agent.train(env, first_update=8, timesteps=60)
    state, next_state = agent.memory.columns["state"].numpy()[:60], agent.memory.columns["next_state"].numpy()[:60]
    assert state.dtype == np.int32
    assert set(state) | set(next_state) <= set(range(LENGTH + 1))
    assert (next_state[state == 0] == 1).all()
