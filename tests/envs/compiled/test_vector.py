"""`TensorVectorEnv`: an in-graph environment as one of gymnasium's vectors, and `GraphDriver`'s meaning of the same steps."""

from __future__ import annotations

from typing import NamedTuple

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from polyrl.envs import EnvDriver, Episode, Transitions, open_env
from polyrl.envs.compiled import (
    CartPole,
    Catch,
    CompiledEnvironment,
    GridWorld,
    MountainCar,
    Pendulum,
    StepOutput,
    TensorVectorEnv,
    compiled_environment,
)
from polyrl.envs.compiled.mountain_car import MountainCarState
from polyrl.envs.compiled.registry import ENVIRONMENTS
from polyrl.estimators.graph_driver import GraphDriver
from polyrl.models.scope import Scope


class WalkState(NamedTuple):
    """Steps so far, at which of them the episode terminates, and the last action; int32 `[N]` each."""

    count: tf.Tensor
    end: tf.Tensor
    action: tf.Tensor


class Walk(CompiledEnvironment):
    """Terminates after 1 to 9 steps, as drawn by the seed; the reward is the number of the step."""

    observation_space = Box(0, 255, [3], np.uint8)
    action_space = Discrete(4)
    max_episode_steps = 6

    def reset(self, num_envs, seed):
        end = tf.random.stateless_uniform([num_envs], seed, 1, 10, tf.int32, alg="philox")
        return WalkState(tf.zeros_like(end), end, tf.zeros_like(end))

    def step(self, state, action, seed):
        state = WalkState(state.count + 1, state.end, action)
        return StepOutput(state, tf.cast(state.count, tf.float32), state.count >= state.end)

    def observe(self, state):
        return tf.cast(tf.stack(state, axis=1), tf.uint8)


class NearGoal(MountainCar):
    """One step from the goal, which is the last one allowed."""

    max_episode_steps = 1

    def reset(self, num_envs, seed):
        return MountainCarState(tf.fill([num_envs], 0.49), tf.fill([num_envs], 0.05))


def drive(vector, seed, steps, actions_seed=0):
    """All that comes of random actions: `(observation, reward, terminated, truncated, info)` of each step."""
    vector.action_space.seed(actions_seed)
    first, info = vector.reset(seed=seed)
    return [(first, None, None, None, info)] + [vector.step(vector.action_space.sample()) for _ in range(steps)]


def same(given, asked) -> bool:
    return all(np.array_equal(one[0], other[0]) for one, other in zip(given, asked, strict=True))


# Seeds. -----------------------------------------------------------------------------------------------------------------


LONG = ("CartPole-v1", "MountainCar-v0", "Pendulum-v1")


@pytest.mark.parametrize(
    "env_id", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in ENVIRONMENTS]
)
def test_the_same_seed_gives_the_same_episodes(env_id):
    vectors = [TensorVectorEnv(compiled_environment(env_id), 3) for _ in range(2)]
    one, other = (drive(vector, 5, 12) for vector in vectors)
    for row, expected in zip(one, other, strict=True):
        for part, like in zip(row[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(part, like)
    # And from the same instance again.
    assert same(drive(vectors[0], 5, 12), one)


def test_a_step_gives_the_same_bits_each_time():
    """A plain graph of Acrobot adds up three tensors in another order in one call of 200."""
    vector = TensorVectorEnv(compiled_environment("Acrobot-v1"), 256)
    actions = np.arange(256) % 3
    results = set()
    for _ in range(1_000):
        vector.reset(seed=5)
        results.add(vector.step(actions)[0].tobytes())
    assert len(results) == 1


def test_other_seeds_give_other_episodes():
    runs = [drive(TensorVectorEnv(CartPole(), 3), seed, 3) for seed in (0, 1, [0, 1, 3], [0, 0, 0])]
    for index, run in enumerate(runs):
        assert not any(np.array_equal(run[0][0], other[0][0]) for other in runs[:index])


def test_one_seed_stands_for_one_after_the_other():
    assert same(drive(TensorVectorEnv(CartPole(), 3), 7, 30), drive(TensorVectorEnv(CartPole(), 3), [7, 8, 9], 30))


def test_environments_differ_even_with_one_seed_for_all():
    first, _ = TensorVectorEnv(CartPole(), 3).reset(seed=[4, 4, 4])
    assert len(np.unique(first[:, 0])) == 3


def test_no_two_episodes_are_alike():
    """The random streams go on from episode to episode, from step to step, and over resets without a seed."""
    vector = TensorVectorEnv(CartPole(), 4)
    starts = [vector.reset(seed=0)[0]]
    for _ in range(5):
        starts.append(vector.reset()[0])
    for _ in range(200):
        observation, _, terminated, truncated, _ = vector.step(np.zeros(4, np.int64))
        starts.append(observation[terminated | truncated])
    rows = np.concatenate(starts)
    assert len(rows) > 60
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_each_step_draws_chance_anew():
    """In a corridor, moved by slips alone: all walkers go both ways, and none as another."""
    vector = TensorVectorEnv(GridWorld(grid=("." * 41, "." * 20 + "S" + "." * 19 + "G", "." * 41), slip=1.0), 8)
    boards = [vector.reset(seed=0)[0]]
    boards += [vector.step(np.zeros(8, np.int64))[0] for _ in range(30)]
    columns = np.argmax(np.sum(boards, axis=2), axis=2)
    moves = np.diff(columns, axis=0)
    assert all({-1, 0, 1} == set(walker) for walker in moves.T)
    assert len({tuple(walker) for walker in moves.T}) == 8


def test_a_seed_begins_the_streams_anew_and_none_goes_on():
    vector = TensorVectorEnv(CartPole(), 2)
    first, again = vector.reset(seed=3)[0], vector.reset()[0]
    assert np.any(first != again)
    np.testing.assert_array_equal(vector.reset(seed=3)[0], first)
    np.testing.assert_array_equal(vector.reset()[0], again)


def test_without_a_seed_each_instance_has_its_own_episodes():
    assert np.any(TensorVectorEnv(CartPole(), 2).reset()[0] != TensorVectorEnv(CartPole(), 2).reset()[0])


@pytest.mark.parametrize("seed", [2**31 - 1, 2**40, 2**70])
def test_large_seeds_count_in_full(seed):
    """`Agent` gives seeds of 31 bits; gymnasium's may be of any size."""
    vector = TensorVectorEnv(CartPole(), 1)
    assert np.any(vector.reset(seed=[seed])[0] != vector.reset(seed=[seed - 2**20])[0])


# Steps. -----------------------------------------------------------------------------------------------------------------


# How the episodes of `Walk` can end, terminated and truncated, under some limits of steps.
KINDS = {
    None: {(True, False)},
    1: {(False, True), (True, True)},
    6: {(True, False), (False, True), (True, True)},
}


@pytest.mark.parametrize("limit", KINDS)
def test_episodes_end_and_begin_in_the_same_step(limit):
    """Each step beside a record of what each episode should be."""
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
        over = terminated | truncated
        assert ("final_obs" in info) == bool(over.any())
        if over.any():
            np.testing.assert_array_equal(info["_final_obs"], over)
        for index in range(5):
            last = [counts[index], ends[index], actions[index]]
            if over[index]:
                assert info["final_obs"][index].tolist() == last
                assert observation[index, [0, 2]].tolist() == [0, 0]
                ends[index], counts[index] = observation[index, 1], 0
                seen.add((bool(terminated[index]), bool(truncated[index])))
            else:
                assert observation[index].tolist() == last
                assert "final_obs" not in info or info["final_obs"][index] is None
    assert seen == KINDS[limit]


def test_outputs_are_those_of_gymnasiums_vectors():
    """Kinds, shapes and dtypes, of steps with and without an end."""
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


def test_an_action_of_numbers():
    vector = TensorVectorEnv(Pendulum(), 2)
    vector.reset(seed=0)
    rows = [vector.step(np.array([[-2.0], [2.0]]))[0] for _ in range(3)]
    assert rows[-1][0, 2] < rows[-1][1, 2]
    assert np.any(np.ptp(rows, axis=0))


# The last step allowed. -------------------------------------------------------------------------------------------------


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


def test_both_drivers_take_it_as_terminated():
    """What is learned from it: done, and not truncated, whichever loop trains."""
    driver = EnvDriver(TensorVectorEnv(NearGoal(), 1))
    driver.reset([0])
    transitions, episodes = driver.step(np.array([2]))
    assert episodes == [Episode(-1.0, 1, 0, truncated=False)]
    graph = GraphDriver(NearGoal(1), Scope(0))
    graph.reset()
    inside, log = graph.step(tf.constant([2]))
    assert log.numpy().tolist() == [[1.0, -1.0, 1.0, 0.0, 1.0]]
    for name, one, other in zip(transitions._fields, transitions, inside, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert (transitions.done.tolist(), transitions.truncated.tolist()) == ([1.0], [0.0])


@pytest.mark.parametrize("limit", [None, 4, 6])
def test_both_drivers_end_episodes_alike(limit):
    """Each driver's transitions and episodes follow from the states; they draw other random numbers."""
    env = Walk(4)
    env.max_episode_steps = limit
    scope = Scope(0)
    outside, graph = EnvDriver(TensorVectorEnv(env, 4)), GraphDriver(env, scope)
    outside.reset([0, 1, 2, 3])
    graph.reset()
    kinds = set()
    for index in range(40):
        actions = np.full(4, index % 4)
        transitions, episodes = outside.step(actions)
        found = {episode.env: (episode.reward, episode.length, episode.truncated) for episode in episodes}
        kinds |= check_walk(transitions, found, limit)
        inside, log = graph.step(tf.constant(actions, tf.int32))
        scope.global_timestep.assign_add(4)  # Its clock.
        rows = log.numpy()
        found = {n: (float(rows[n, 1]), int(rows[n, 2]), bool(rows[n, 3])) for n in range(4) if rows[n, 0]}
        kinds |= check_walk(Transitions(*(part.numpy() for part in inside)), found, limit)
    assert kinds == ({False} if limit is None else {False, True})


def check_walk(transitions, episodes, limit) -> set[bool]:
    """What `Walk` must have given, row by row; which kinds of end there were, truncated or not."""
    kinds = set()
    for index in range(len(transitions.reward)):
        count, end = (int(number) for number in transitions.next_state[index, :2])
        assert transitions.state[index, :2].tolist() == [count - 1, end]
        assert transitions.reward[index] == count
        terminated = count == end
        truncated = count == limit and not terminated
        assert (transitions.done[index], transitions.truncated[index]) == (terminated, truncated)
        assert (index in episodes) == (terminated or truncated)
        if index in episodes:
            assert episodes[index] == (count * (count + 1) / 2, count, truncated)
            kinds.add(truncated)
    return kinds


def test_open_env_opens_an_in_graph_environment():
    vector, owned = open_env(CartPole(num_envs=3))
    assert owned
    assert isinstance(vector, TensorVectorEnv)
    assert vector.num_envs == 3
    assert open_env(CartPole(num_envs=3), num_envs=2)[0].num_envs == 2
    vector.close()


def test_driver_states_have_the_dtype_of_the_space():
    driver = EnvDriver(TensorVectorEnv(Walk(), 2))
    assert driver.reset([0, 1]).dtype == np.uint8
    assert driver.action_spec.maximum == 3
    driver = EnvDriver(TensorVectorEnv(Catch(), 2))
    assert driver.reset([0, 1]).shape == (2, 10, 5)


# What is refused. -------------------------------------------------------------------------------------------------------


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
