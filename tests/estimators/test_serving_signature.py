"""`serving_default` of what `Predictor.export` writes: names, shapes, and the numbers of the model's own prediction."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete
from masked_envs import TemptingEnv
from predictor_testing import MODELS, states
from tiny_agents import make_agent, q_model_fn

from polyrl.estimators import Agent, RunConfig
from polyrl.models import DQNModel, R2D2Model
from polyrl.networks import embedding_mlp, mlp, recurrent
from polyrl.policies import StepType, TimeStep
from polyrl.replay import SequenceReplay

ROWS = 64


class SeenEnv(gymnasium.Env):
    """Shows random members of its observation space, in episodes of three steps."""

    def __init__(self, space: Any, actions: Discrete):
        self.observation_space, self.action_space = space, actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self._step = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self._step += 1
        return self.observation_space.sample(), 1.0, self._step == 3, False, {}


def exported(agent: Agent, env: Any, path: Any, **training: Any) -> tuple[Any, Any]:
    """The agent's predictor after a little training, and the signature of what it has exported."""
    agent.train(env, **{"first_update": 4, "max_timesteps": 30, **training})
    predictor = agent.predictor()
    predictor.export(path)
    return predictor, tf.saved_model.load(str(path)).signatures["serving_default"]


def numbers(outputs: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in outputs.items()}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("kind", MODELS)
def test_states_go_in_and_what_the_model_predicts_comes_out(directories: Any, kind: str, tmp_path: Any) -> None:
    predictor = make_agent(MODELS[kind], model_dir=directories[kind]).predictor()
    predictor.export(tmp_path / "saved")
    signature = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    given = states(kind, ROWS)
    found, expected = numbers(signature(state=tf.constant(given))), predictor.predictions(given)
    more = {"c51": {"probabilities": (ROWS, 3, 11), "support": (ROWS, 11)}}.get(kind, {})
    shapes = {"action": (ROWS, 2), "q": (ROWS,)} if kind == "naf" else {"action": (ROWS,), "q": (ROWS, 3)}
    assert {name: value.shape for name, value in found.items()} == shapes | more
    np.testing.assert_allclose(found["action"], expected["results"], rtol=1e-5)
    np.testing.assert_allclose(found["q"], expected["q"], rtol=1e-4, atol=1e-5)
    assert len(np.unique(found["action"], axis=0)) > 1
    given[1, 0] = np.inf
    with pytest.raises(tf.errors.InvalidArgumentError, match="state: expected finite numbers, got"):
        signature(state=tf.constant(given))


@pytest.mark.slow
def test_it_is_greedy_whatever_the_temperature(directories: Any, tmp_path: Any) -> None:
    greedy = make_agent(MODELS["dqn"], model_dir=directories["dqn"]).predictor()
    hot = make_agent(q_model_fn(temperature=50.0), model_dir=directories["dqn"]).predictor()
    hot.export(tmp_path / "saved")
    given = states("dqn", ROWS)
    assert hot.act(given).tolist() != greedy.act(given).tolist()
    signature = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    np.testing.assert_array_equal(signature(state=tf.constant(given))["action"], greedy.act(given))


@pytest.mark.slow
def test_discrete_states_and_actions_are_numbered_as_the_environment_does(tmp_path: Any) -> None:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        return DQNModel(mode, embedding_mlp(5, 8, [8]), 5, 3, summaries=[])(features, labels)

    env = SeenEnv(Discrete(5, start=10), Discrete(3, start=7))
    predictor, signature = exported(make_agent(model_fn, model_dir=tmp_path / "run"), env, tmp_path / "saved")
    found = numbers(signature(state=tf.range(10, 15)))
    np.testing.assert_array_equal(found["action"], predictor.act(np.arange(10, 15)))
    np.testing.assert_array_equal(found["action"], 7 + found["q"].argmax(axis=1))
    with pytest.raises(tf.errors.InvalidArgumentError, match="state: expected discrete states from 10 to 14, got"):
        signature(state=tf.constant([9]))


@pytest.mark.slow
def test_images(tmp_path: Any) -> None:
    env = SeenEnv(Box(0, 255, (5, 5, 2), np.uint8), Discrete(3))

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        return DQNModel(mode, mlp([8], flatten=True), (5, 5, 2), 3, summaries=[])(features, labels)

    predictor, signature = exported(make_agent(model_fn, model_dir=tmp_path / "run"), env, tmp_path / "saved")
    images = np.random.default_rng(0).integers(0, 256, [ROWS, 5, 5, 2], np.uint8)
    found = numbers(signature(state=tf.constant(images)))
    np.testing.assert_array_equal(found["action"], predictor.act(images))
    np.testing.assert_allclose(found["q"], predictor.predictions(images)["q"], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_state_that_is_a_dict_comes_key_by_key(tmp_path: Any) -> None:
    model_fn = q_model_fn(num_states=1, num_actions=4)
    predictor, signature = exported(make_agent(model_fn, model_dir=tmp_path / "run"), TemptingEnv(), tmp_path / "saved")
    dtype = predictor.policy.time_step_spec.observation["action_mask"].dtype.as_numpy_dtype
    mask = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]], dtype)
    given = {"state": np.linspace(-1, 1, 5, dtype=np.float32)[:, None], "action_mask": mask}
    found = numbers(signature(**{name: tf.constant(value) for name, value in given.items()}))
    np.testing.assert_array_equal(found["action"], predictor.act(given))
    np.testing.assert_array_equal(found["action"], np.where(given["action_mask"], found["q"], -np.inf).argmax(axis=1))


@pytest.mark.slow
def test_a_recurrent_model_is_told_what_it_remembers_from_zeros_on(tmp_path: Any) -> None:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        return R2D2Model(mode, recurrent(mlp([8]), 6, "lstm"), 4, 2, burn_in=2, summaries=[])(features, labels)

    memory = SequenceReplay(400, 4, sequence_length=4)
    agent = Agent(model_fn, memory, tmp_path / "run", RunConfig(progress=False, jit="off", save_summary_timesteps=None))
    predictor, signature = exported(agent, "CartPole-v1", tmp_path / "saved", first_update=20)
    sequence = np.random.default_rng(0).normal(size=[3, 5, 4]).astype(np.float32)
    policy = predictor.policy
    state, remembered = policy.get_initial_state(5), np.zeros([5, 12], np.float32)
    for t, states_now in enumerate(sequence):
        time_step = TimeStep.restart({"state": tf.constant(states_now)}, 5)
        time_step = time_step._replace(step_type=tf.fill([5], StepType.FIRST if t == 0 else StepType.MID))
        expected = policy.action(time_step, state)
        state = expected.state
        found = numbers(signature(state=tf.constant(states_now), policy_state=tf.constant(remembered)))
        remembered = found["policy_state"]
        assert sorted(found) == ["action", "policy_state", "q"]
        np.testing.assert_array_equal(found["action"], expected.action)
        np.testing.assert_allclose(remembered, state, rtol=1e-5, atol=1e-6)
    assert np.abs(remembered).max() > 0.0
