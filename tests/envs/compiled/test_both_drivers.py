"""`EnvDriver` and `GraphDriver` give the same meaning to the steps of an in-graph environment."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from vector_testing import NearGoal, Walk

from polyrl.envs import EnvDriver, Episode, Transitions
from polyrl.envs.compiled import TensorVectorEnv
from polyrl.estimators.loops.graph_driver import GraphDriver
from polyrl.models.scope import Scope


def test_an_episode_that_terminates_in_its_last_allowed_step_counts_as_terminated():
    """What is learned from it: done, and not truncated, whichever loop trains."""
    driver = EnvDriver(TensorVectorEnv(NearGoal(), 1))
    driver.reset([0])
    transitions, episodes = driver.step(np.array([2]))
    assert episodes == [Episode(-1.0, 1, 0, truncated=False)]
    graph = GraphDriver(NearGoal(1), Scope(0))
    graph.reset()
    inside, log = graph.step(tf.constant([2]))
    told = {name: column.numpy().tolist() for name, column in log._asdict().items()}
    assert told == {"ended": [True], "truncated": [False], "episode_reward": [-1.0], "length": [1], "finite": [True]}
    for name, one, other in zip(transitions._fields, transitions, inside, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert (transitions.done.tolist(), transitions.truncated.tolist()) == ([1.0], [0.0])


@pytest.mark.slow
@pytest.mark.parametrize("limit", [None, 4, 6])
def test_both_drivers_end_episodes_alike(limit):
    """Each driver's transitions and episodes follow from the states; they draw different random numbers."""
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
        rows = zip(*(column.numpy().tolist() for column in (log.episode_reward, log.length, log.truncated)), strict=True)
        found = {n: row for n, row in enumerate(rows) if log.ended[n]}
        kinds |= check_walk(Transitions(*(part.numpy() for part in inside)), found, limit)
    assert kinds == ({False} if limit is None else {False, True})


def check_walk(transitions, episodes, limit) -> set[bool]:
    """Checks each row of `Walk`; returns which kinds of end there were, truncated or not."""
    kinds = set()
    for index in range(len(transitions.reward)):
        count, end = (int(value) for value in transitions.next_state[index, :2])
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
