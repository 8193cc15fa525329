"""`TensorVectorEnv`: an in-graph environment as a gymnasium vector environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from vector_testing import NearGoal, Walk, drive, same

from polyrl.envs import EnvDriver, open_env
from polyrl.envs.compiled import CartPole, Catch, MountainCar, Pendulum, TensorVectorEnv

# Steps. -----------------------------------------------------------------------------------------------------------------


# How the episodes of `Walk` can end, terminated and truncated, under some limits of steps.
KINDS = {
    None: {(True, False)},
    1: {(False, True), (True, True)},
    6: {(True, False), (False, True), (True, True)},
}


@pytest.mark.slow
@pytest.mark.parametrize("limit", KINDS)
def test_environments_are_reset_in_the_step_that_ends_their_episodes(limit):
    """Each step compared with a record of what each episode should be."""
    env = Walk()
    env.max_episode_steps = limit
    vector = TensorVectorEnv(env, 5)
    vector.action_space.seed(1)
    observation, _ = vector.reset(seed=2)
    ends, counts = observation[:, 1].astype(int), np.zeros(5, int)
    seen = set()
    for _ in range(60):
        actions = vector.action_space.sample()
        observation, reward, terminated, truncated, info = vector.step(actions)
        counts += 1
        np.testing.assert_array_equal(reward, counts)
        np.testing.assert_array_equal(terminated, counts == ends)
        np.testing.assert_array_equal(truncated, counts == limit)
        is_ended = terminated | truncated
        assert ("final_obs" in info) == bool(is_ended.any())
        if is_ended.any():
            np.testing.assert_array_equal(info["_final_obs"], is_ended)
        for index in range(5):
            last = [counts[index], ends[index], actions[index]]
            if is_ended[index]:
                assert info["final_obs"][index].tolist() == last
                assert observation[index, [0, 2]].tolist() == [0, 0]
                ends[index], counts[index] = observation[index, 1], 0
                seen.add((bool(terminated[index]), bool(truncated[index])))
            else:
                assert observation[index].tolist() == last
                assert "final_obs" not in info or info["final_obs"][index] is None
    assert seen == KINDS[limit]


@pytest.mark.slow
def test_outputs_are_those_of_gymnasiums_vectors():
    """Types, shapes and dtypes, of steps that end an episode and of others."""
    ours = TensorVectorEnv(CartPole(), 2)
    theirs = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    for name in ("observation_space", "action_space", "single_observation_space", "single_action_space", "num_envs"):
        assert getattr(ours, name) == getattr(theirs, name), name
    finals = 0
    for one, other in zip(drive(ours, 0, 40), drive(theirs, 0, 40), strict=True):
        for part, like in zip(one[:4], other[:4], strict=True):
            assert getattr(part, "dtype", None) == getattr(like, "dtype", None)
            assert getattr(part, "shape", None) == getattr(like, "shape", None)
        for info in (one[4], other[4]):
            if "final_obs" in info:
                finals += 1
                rows = info["final_obs"]
                assert (rows.dtype, rows.shape) == (object, (2,))
                for row, there in zip(rows, info["_final_obs"], strict=True):
                    assert (row is not None) == there
                    assert row is None or (row.dtype, row.shape) == (np.float32, (4,))
    assert finals > 2


@pytest.mark.slow
def test_truncation_is_that_of_gymnasium():
    """A car that never gets out of its valley."""
    ours = TensorVectorEnv(MountainCar(), 2)
    theirs = SyncVectorEnv([lambda: gymnasium.make("MountainCar-v0")] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    for vector in (ours, theirs):
        vector.reset(seed=0)
        flags = [vector.step(np.ones(2, np.int64))[2:4] for _ in range(410)]
        assert [index for index, (_, truncated) in enumerate(flags) if truncated.all()] == [199, 399]
        assert not any(terminated.any() for terminated, _ in flags)
        assert sum(truncated.sum() for _, truncated in flags) == 4


def test_continuous_actions():
    vector = TensorVectorEnv(Pendulum(), 2)
    vector.reset(seed=0)
    rows = [vector.step(np.array([[-2.0], [2.0]]))[0] for _ in range(3)]
    assert rows[-1][0, 2] < rows[-1][1, 2]
    assert np.any(np.ptp(rows, axis=0))


def test_an_episode_that_terminates_in_its_last_step_has_the_flags_of_gymnasium():
    """Both of them."""
    theirs = gymnasium.make("MountainCar-v0", max_episode_steps=1)
    theirs.reset(seed=0)
    theirs.unwrapped.state = (0.49, 0.05)
    expected = theirs.step(2)[2:4]
    assert expected == (True, True)
    ours = TensorVectorEnv(NearGoal(), 1)
    ours.reset(seed=0)
    assert tuple(bool(flag[0]) for flag in ours.step(np.array([2]))[2:4]) == expected


def test_open_env_opens_an_in_graph_environment():
    with open_env(CartPole(num_envs=3)) as vector:
        assert isinstance(vector, TensorVectorEnv)
        assert vector.num_envs == 3
    assert vector.closed
    with open_env(CartPole(num_envs=3), num_envs=2) as vector:
        assert vector.num_envs == 2


@pytest.mark.slow
def test_driver_states_have_the_dtype_of_the_space():
    driver = EnvDriver(TensorVectorEnv(Walk(), 2))
    assert driver.reset([0, 1]).dtype == np.uint8
    assert driver.action_spec.maximum == 3
    driver = EnvDriver(TensorVectorEnv(Catch(), 2))
    assert driver.reset([0, 1]).shape == (2, 10, 5)


# What is refused. -------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("actions", [[0], [0, 1, 0], [[0, 1]], [0, 2], [-1, 0], [0.5, 1.0]])
def test_wrong_actions_are_refused(actions):
    vector = TensorVectorEnv(CartPole(), 2)
    vector.reset(seed=0)
    with pytest.raises(ValueError, match="actions"):
        vector.step(np.array(actions))


def test_wrong_seeds_and_options_are_refused():
    vector = TensorVectorEnv(CartPole(), 2)
    with pytest.raises(ValueError, match="one seed for each of the 2"):
        vector.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="negative"):
        vector.reset(seed=-1)
    with pytest.raises(ValueError, match="options"):
        vector.reset(options={"low": 0})


def test_a_step_before_the_first_reset_is_refused():
    with pytest.raises(gymnasium.error.ResetNeeded):
        TensorVectorEnv(CartPole(), 2).step(np.zeros(2, np.int64))


class Foreign(Walk):
    """XLA cannot run its step, which calls Python."""

    def step(self, state, action, seed):
        action = tf.ensure_shape(tf.py_function(lambda given: given, [action], tf.int32), action.shape)
        return super().step(state, action, seed)


@pytest.mark.slow
def test_what_xla_cannot_compile_steps_without_it_and_says_so(caplog):
    steps, plain = drive(TensorVectorEnv(Foreign(), 3), 2, 20), drive(TensorVectorEnv(Walk(), 3), 2, 20)
    assert same(steps, plain)
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == [
        "XLA cannot compile the steps of Foreign, which continue without it, slower: it does not support the operation "
        "EagerPyFunc."
    ]
