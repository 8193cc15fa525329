"""Masks of legal actions through a whole run: learning, the memory, resuming."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from gymnasium.spaces import Box
from masked_envs import TemptingEnv, mask_of
from masked_testing import GAMMA, agent_of, run, scheduled, tempted, tempting
from tiny_agents import KINDS, assert_equal, counters, q_model_fn, rows, weights
from tiny_envs import vector

from polyrl.envs import FrameStack
from polyrl.errors import CheckpointMismatchError
from polyrl.replay import PrioritizedReplay, UniformReplay

SLOW = pytest.mark.slow


RUNS = [
    pytest.param("dqn", "info", {}, marks=SLOW),
    pytest.param("ddqn", "observation", {}, marks=SLOW),
    ("c51", "info", {}),
    pytest.param("c51_double", "observation", {}, marks=SLOW),
    pytest.param("dqn", "observation", {"n_step": 2}, marks=SLOW),
    ("ddqn", "info", {"overlap": True}),
    pytest.param("ddqn", "info", {"prioritized": True, "jit": "on"}, marks=SLOW),
]


# Learning. --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=SLOW), pytest.param(2, marks=SLOW)])
@pytest.mark.parametrize(("kind", "where", "options"), RUNS, ids=lambda value: str(value) if value else None)
def test_what_tempts_but_is_illegal_is_not_bootstrapped_from(tmp_path, kind, where, options, seed):
    """The environment raises an error at any illegal action, of exploration, evaluation and prediction, too."""
    options = dict(options)
    memory_class = PrioritizedReplay if options.pop("prioritized", False) else UniformReplay
    memory = memory_class(2_000, 32, n_step=options.pop("n_step", 1))
    agent = agent_of(tmp_path, tempted(kind), memory, seed, **options)
    agent.train(tempting(where), first_update=64, update_frequency=4, steps=400)
    result = agent.evaluate(tempting(where), episodes=40)
    assert (result["min_reward"], result["max_reward"], result["mean_ep_length"]) == (0.5, 1.0, 1.0)
    steps = list(agent.predict(tempting(where), steps=20))
    for step in steps:
        assert step["action_mask"][step["results"]]
    np.testing.assert_allclose(steps[0]["q"], TemptingEnv.values(GAMMA), atol=0.05)


def test_who_does_not_mask_the_bootstrap_learns_the_wrong_values(tmp_path):
    """What the environment above is made for: it tells the two apart."""
    inner = tempted("dqn")

    def model_fn(features, labels, mode):
        if labels is not None:
            labels = {**labels, "next_action_mask": tf.ones_like(labels["next_action_mask"])}
        return inner(features, labels, mode)

    agent = agent_of(tmp_path, model_fn)
    agent.train(tempting("info"), first_update=64, update_frequency=4, steps=400)
    q = next(agent.predict(tempting("info")))["q"]
    assert q[1] == pytest.approx(GAMMA, abs=0.1)
    assert agent.evaluate(tempting("info"), episodes=40)["mean_ep_length"] > 1.0


def one_hot_taxi():
    taxi = gymnasium.make("Taxi-v4", max_episode_steps=50)
    return gymnasium.wrappers.TransformObservation(
        taxi, lambda state: np.eye(500, dtype=np.float32)[state], Box(0, 1, (500,), np.float32)
    )


@pytest.mark.slow
def test_taxi_is_never_driven_into_a_wall(tmp_path):
    """Its mask is in the infos; single instances are trained on and evaluated as they are."""
    env = one_hot_taxi()
    agent = agent_of(tmp_path, q_model_fn("dqn", num_states=500, num_actions=6))
    agent.train(env, first_update=64, update_frequency=8, timesteps=400)
    columns = rows(agent)
    assert columns["action_mask"].dtype == np.bool_
    for state, mask, action in zip(
        columns["state"][:400].argmax(axis=1), columns["action_mask"], columns["action"], strict=False
    ):
        np.testing.assert_array_equal(mask, env.unwrapped.action_mask(int(state)))
        assert mask[action]
    for step in agent.predict(one_hot_taxi(), steps=60):
        assert step["action_mask"][step["results"]]


# Dicts. ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("jit", "kind"), [("off", "ddqn"), pytest.param("on", "c51_double", marks=SLOW)])
def test_a_run_resumed_between_episodes_is_the_run_that_was_not_interrupted(tmp_path, jit, kind):
    """With another goal and masks, in a prioritized memory of windows: bit for bit. The third episode begins at step 16."""
    whole, actions = run(tmp_path / "whole", jit, 48, kind=kind)
    _, first = run(tmp_path / "parts", jit, 16, kind=kind)
    resumed, second = run(tmp_path / "parts", jit, 32, kind=kind, env=scheduled(first=2))
    assert first + second == actions
    assert counters(resumed) == counters(whole)
    assert_equal(weights(resumed), weights(whole))
    for one, other in zip(resumed.memory.variables, whole.memory.variables, strict=True):
        if "steps" not in one.name:  # The start of a run is not an end of an episode.
            np.testing.assert_array_equal(one, other, err_msg=one.name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddqn", "c51"])
@pytest.mark.parametrize("overlap", [False, True])
def test_a_run_with_xla_is_the_run_without(tmp_path, kind, overlap):
    (fast, seen), (plain, expected) = (
        run(tmp_path / jit, jit, 120, UniformReplay(100, 8), kind, overlap=overlap) for jit in ("on", "off")
    )
    assert fast._compiler.xla
    assert seen == expected
    assert_equal(rows(fast), rows(plain))
    for name, value in weights(fast).items():
        np.testing.assert_allclose(value, weights(plain)[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["observation", "info"])
def test_the_memory_holds_every_part_of_both_states(tmp_path, where):
    agent, _ = run(tmp_path, "off", 60, UniformReplay(100, 8), env=scheduled(where=where))
    columns = {name: column[:60] for name, column in rows(agent).items()}
    parts = {"state", "goal", "place", "action_mask"}
    assert columns.keys() == parts | {f"next_{part}" for part in parts} | {"action", "reward", "done", "truncated"}
    for row in range(60):
        number, episode, t = columns["state"][row].astype(int)
        assert columns["place"][row] == 10 * episode + t
        np.testing.assert_array_equal(columns["next_goal"][row], [-t - 1, episode])
        np.testing.assert_array_equal(columns["action_mask"][row], mask_of(number, episode, t))
        expected = np.ones(3) if columns["done"][row] else mask_of(number, episode, t + 1)
        np.testing.assert_array_equal(columns["next_action_mask"][row], expected)
        assert columns["action_mask"][row][columns["action"][row]]


@pytest.mark.slow
def test_without_dicts_and_masks_the_memory_has_no_further_columns(tmp_path):
    agent = agent_of(tmp_path, q_model_fn("dqn"), UniformReplay(50, 4))
    agent.train("polyrl/TinySchedule-v0", first_update=4, timesteps=10)
    assert rows(agent).keys() == {"state", "next_state", "action", "reward", "done", "truncated"}


@pytest.mark.slow
def test_a_run_with_masks_does_not_continue_without(tmp_path):
    agent = agent_of(tmp_path, tempted("dqn"))
    agent.train(tempting("info"), first_update=64, timesteps=80)

    class Unmasked(gymnasium.Wrapper):
        def reset(self, **arguments):
            return self.env.reset(**arguments)[0], {}

    unmasked = vector(*(Unmasked(TemptingEnv("info")) for _ in range(4)))
    with pytest.raises(CheckpointMismatchError, match="trained in another environment"):
        agent_of(tmp_path, tempted("dqn")).train(unmasked, first_update=64, timesteps=8)


@pytest.mark.slow
@pytest.mark.parametrize("n_step", [3, 1])
def test_frames_are_stored_once_and_masks_with_them(tmp_path, n_step):
    """Illegal actions are errors of the environment; the memory's own tests look at its rows."""

    class Frames(gymnasium.ObservationWrapper):
        def __init__(self):
            super().__init__(TemptingEnv("info"))
            self.observation_space = Box(0, 255, (3, 2), np.uint8)

        def observation(self, observation):
            return np.full([3, 2], 7, np.uint8)

    def flattened(mode, inputs):
        return tf_keras.layers.Dense(8)(tf_keras.layers.Flatten()(tf.cast(inputs["state"], tf.float32)))

    def model_fn(features, labels, mode):
        return KINDS["dqn"][0](mode, flattened, [3, 2, 2], 4, summaries=[])(features, labels)

    agent = agent_of(tmp_path, model_fn, UniformReplay(200, 16, frame_stack=2, n_step=n_step))
    agent.train(FrameStack(vector(Frames(), Frames()), 2), first_update=32, update_frequency=2, timesteps=120)
    assert counters(agent)[0] > 0
    assert agent.memory.columns["action_mask"].dtype == tf.bool
    agent.evaluate(FrameStack(vector(Frames(), Frames()), 2), episodes=10)
