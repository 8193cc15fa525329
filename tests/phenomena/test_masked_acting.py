"""Acting on states that are dicts with masks of legal actions."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from masked_envs import MaskedScheduleEnv, mask_of
from tiny_agents import ATOMS, KINDS, q_model_fn
from tiny_envs import vector

from polyrl.configs import AdamConfig, ConstantExplorationConfig, MeanSquaredErrorConfig
from polyrl.envs import GymEnvironment
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import Hook
from polyrl.experiments import RLExperiment
from polyrl.replay import PrioritizedReplay, UniformReplay

GAMMA = 0.9


SLOW = pytest.mark.slow


CADENCES = {"save_summary_timesteps": None, "save_checkpoints_timesteps": None, "max_overhead": None}


def agent_of(path, model_fn, memory=None, seed=0, **config) -> Agent:
    memory = UniformReplay(2_000, 32) if memory is None else memory
    return Agent(model_fn, memory, path, RunConfig(seed=seed, **{"jit": "off", **CADENCES, **config}))


def tempted(kind: str, **arguments):
    settings = {
        "optimizer_config": AdamConfig(0.01),
        "exploration_config": ConstantExplorationConfig(0.5),
        "target_update_frequency": 10,
        "clip_gradients": 10.0,
        "discount": GAMMA,
        **({"max_q_value": 2.0} if kind.startswith("c51") else {"loss_config": MeanSquaredErrorConfig()}),
    }
    return q_model_fn(kind, num_states=1, num_actions=4, **{**settings, **arguments})


def tempting(where: str, num_envs: int = 4) -> GymEnvironment:
    return GymEnvironment("polyrl/TinyTempting-v0", num_envs, where=where)


def with_goal(mode, inputs):
    """A torso that looks at every key."""
    assert inputs.keys() == {"state", "goal", "place"}
    place = tf_keras.layers.Embedding(300, 3)(inputs["place"])
    return tf_keras.layers.Dense(8, "tanh")(tf.concat([inputs["state"] / 10.0, inputs["goal"] / 10.0, place], axis=1))


def scheduled_model_fn(kind: str = "ddqn"):
    model_class, defaults = KINDS[kind]
    exploration = ConstantExplorationConfig(0.4)

    def model_fn(features, labels, mode):
        arguments = {"summaries": "all", "exploration_config": exploration, "target_update_frequency": 5, **defaults}
        return model_class(mode, with_goal, 3, 3, **arguments)(features, labels)

    return model_fn


class Calm(Hook):
    def __init__(self):
        self.actions = []

    def after_act(self, run):
        self.actions.append(run.actions.tolist())


def scheduled(where: str = "info", first: int = 0):
    """Two environments; one gives no mask of terminal states, the episodes of the other are truncated."""
    envs = [MaskedScheduleEnv(0, 4, "terminated", where, final=False, first=first)]
    return vector(*envs, MaskedScheduleEnv(1, 4, "truncated", where, first=first))


def run(path, jit, timesteps, memory=None, kind="ddqn", env=None, **config):
    memory = PrioritizedReplay(200, 8, n_step=3, beta_steps=100) if memory is None else memory
    agent, calm = agent_of(path, scheduled_model_fn(kind), memory, jit=jit, **config), Calm()
    agent.train(scheduled() if env is None else env, first_update=16, update_frequency=2, timesteps=timesteps, hooks=[calm])
    return agent, calm.actions


@pytest.fixture(scope="module", params=["off", pytest.param("on", marks=SLOW)])
def trained(request, tmp_path_factory):
    agent, _ = run(tmp_path_factory.mktemp("trained"), request.param, 40, UniformReplay(100, 8))
    return agent


def some_states(count: int) -> dict[str, np.ndarray]:
    masks = np.eye(3, dtype=np.int8)[np.arange(count) % 3]
    parts = {"state": np.zeros([count, 3]), "goal": np.ones([count, 2]), "place": np.arange(count)}
    return {**parts, "action_mask": masks}


# Acting. --------------------------------------------------------------------------------------------------------------------


def test_act_takes_dicts_one_by_one_or_as_batches(trained):
    states = some_states(7)
    np.testing.assert_array_equal(trained.act(states), np.arange(7) % 3)
    assert trained.act({key: values[4] for key, values in states.items()}) == 1


REFUSED_STATES = {
    "no dict": (lambda states: states["state"], TypeError, "must be a dict with the keys"),
    "no mask": (lambda states: {k: v for k, v in states.items() if k != "action_mask"}, ValueError, "expected"),
    "one more": (lambda states: {**states, "more": 1}, ValueError, "expected"),
    "a mix": (lambda states: {**states, "goal": states["goal"][0]}, ValueError, "in all of its keys"),
    "another shape": (lambda states: {**states, "goal": np.ones([7, 3])}, ValueError, r"state\['goal'\] has shape \(7, 3\)"),
    "nothing legal": (
        lambda states: {**states, "action_mask": states["action_mask"] * (np.arange(7) != 2)[:, None]},
        ValueError,
        r"no legal action in rows \[2\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED_STATES)
def test_act_refuses_other_states_by_name(trained, case):
    change, error, words = REFUSED_STATES[case]
    with pytest.raises(error, match=words):
        trained.act(change(some_states(7)))


def test_predictions_come_with_every_key_of_the_state(trained):
    steps = list(trained.predict(vector(MaskedScheduleEnv(5, 4)), steps=6))
    for index, step in enumerate(steps):
        episode, t = divmod(index, 4)
        np.testing.assert_array_equal(step["state"], [5, episode, t])
        np.testing.assert_array_equal(step["goal"], [-t, episode])
        np.testing.assert_array_equal(step["action_mask"], mask_of(5, episode, t))
        assert step["place"] == 10 * episode + t
        assert step["q"].shape == (3,)


def test_an_experiment_infers_with_masks_in_its_lines(tmp_path):
    import json

    agent = agent_of(tmp_path / "run", tempted("c51", **ATOMS))
    experiment = RLExperiment(
        agent,
        tempting("info"),
        train_timesteps=200,
        first_update=64,
        eval_episodes=5,
        infer_episodes=4,
        infer_output=tmp_path / "lines.jsonl",
    )
    experiment.train()
    assert np.isfinite(experiment.evaluate()["loss"])
    experiment.infer()
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    for line in lines:
        assert line["action_mask"][line["action"]] == 1
