"""`GraphLoop` against a naive loop: rows, updates, episodes, budgets."""

from __future__ import annotations

import dataclasses

import ml_collections
import numpy as np
import pytest
from graph_testing import BATCH, UNLIMITED, Naive, Ring, check, noting_model_fn, train
from tiny_agents import counters

from polyrl.engine.compiler import Compiler
from polyrl.estimators import RunConfig
from polyrl.estimators.loops.graph_driver import GraphDriver
from polyrl.estimators.loops.graph_loop import GraphLoop
from polyrl.estimators.loops.learner import Learner
from polyrl.estimators.loops.loop import Remaining, UpdateSchedule
from polyrl.estimators.model_fn import bind
from polyrl.models.scope import Scope
from polyrl.replay import UniformReplay

# As a naive loop. -------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("num_envs", "limit", "first_update", "frequency"),
    [
        (1, 5, 4, 1),
        (1, None, 10, 3),
        (3, 5, 4, 1),  # Three updates in an iteration.
        (3, 4, 17, 2),  # One or two.
        (4, 5, 20, 10),  # One in two or three iterations.
        (5, 1, 5, 5),  # All episodes are over at once.
    ],
)
def test_actions_rows_updates_and_episodes_are_those_of_a_naive_loop(tmp_path, num_envs, limit, first_update, frequency, jit):
    agent, watch = train(
        tmp_path, Ring(num_envs, limit), jit, first_update=first_update, update_frequency=frequency, timesteps=120
    )
    naive = Naive(num_envs, limit, first_update, frequency).run(timesteps=120)
    check(agent, watch, naive)
    assert naive.step > 5
    assert {action for *_, action, _, _, _, _, _ in naive.rows} == {0, 1, 2}
    kinds = {truncated for *_, truncated in naive.episodes}
    assert kinds == ({False} if limit is None else {True, False} if limit > 1 else {True})


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("timesteps", [1, 2, 99, 100, 101, 230])
def test_a_budget_of_environment_steps_ends_exactly(tmp_path, timesteps):
    agent, watch = train(tmp_path, Ring(), first_update=BATCH, timesteps=timesteps)
    check(agent, watch, Naive(1, 5, BATCH, 1).run(timesteps=timesteps))
    assert counters(agent)[1] == timesteps


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("episodes", [1, 2, 13])
def test_a_budget_of_episodes_ends_in_mid_chunk_with_the_iteration_that_reaches_it(tmp_path, num_envs, episodes):
    agent, watch = train(tmp_path, Ring(num_envs), first_update=BATCH, episodes=episodes)
    naive = Naive(num_envs, 5, BATCH, 1).run(episodes=episodes)
    check(agent, watch, naive)
    assert episodes <= naive.episode < episodes + num_envs
    assert naive.timestep < 100


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("steps", [1, 7])
def test_a_budget_of_updates_ends_in_mid_chunk_with_the_iteration_that_reaches_it(tmp_path, num_envs, steps):
    """As with environments in Python, whose run ends there."""
    agent, watch = train(tmp_path, Ring(num_envs), first_update=BATCH, update_frequency=2, steps=steps)
    check(agent, watch, Naive(num_envs, 5, BATCH, 2).run(updates=steps))


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("steps", [1, 7])
def test_a_budget_of_updates_is_never_exceeded(tmp_path, num_envs, steps):
    agent, _ = train(tmp_path, Ring(num_envs), first_update=BATCH, steps=steps)
    assert counters(agent)[0] == steps


@pytest.mark.slow
def test_the_first_of_several_budgets_ends_the_run(tmp_path):
    agent, watch = train(tmp_path / "a", Ring(), first_update=BATCH, timesteps=50, episodes=3)
    check(agent, watch, Naive(1, 5, BATCH, 1).run(timesteps=50, episodes=3))
    assert counters(agent)[2] == 3
    agent, watch = train(tmp_path / "b", Ring(), first_update=BATCH, timesteps=9, episodes=30)
    assert counters(agent)[1] == 9


def test_nothing_is_learned_before_the_first_update(tmp_path):
    agent, watch = train(tmp_path, Ring(2), first_update=60, timesteps=60)
    check(agent, watch, Naive(2, 5, 60, 1).run(timesteps=60))
    assert counters(agent)[0] == 0


def new_loop(num_envs: int, schedule: UpdateSchedule, chunk: int):
    scope, memory = Scope(0), UniformReplay(2_000, BATCH)
    learner = Learner(bind(noting_model_fn, ml_collections.FrozenConfigDict(), RunConfig()), scope, memory)
    loop = GraphLoop(GraphDriver(Ring(num_envs), scope), learner, Compiler(), schedule, chunk)
    loop.build()
    loop.prepare(0, "off")
    loop.start(0)
    return loop, scope


# The loop by itself. ----------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(3)
@pytest.mark.parametrize(("num_envs", "chunk"), [(1, 100), (3, 10), (4, 1_000), (7, 1_000)])
def test_advances_report_what_they_did_and_end_at_multiples_of_the_chunk(num_envs, chunk):
    loop, scope = new_loop(num_envs, UpdateSchedule(10, 4), chunk)
    naive, timestep, episodes = Naive(num_envs, 5, 10, 4), 0, []
    size = max(-(-chunk // num_envs), 100) * num_envs
    sizes = []
    for timesteps, updates in [(25, UNLIMITED), *[(UNLIMITED, UNLIMITED)] * 2, (1, UNLIMITED), (UNLIMITED, 3)]:
        progress = loop.advance(timestep, Remaining(timesteps, updates, UNLIMITED))
        before = naive.step
        while naive.timestep < timestep + progress.timesteps:
            naive.iterate(updates - (naive.step - before))
        timestep += progress.timesteps
        sizes.append(progress.timesteps)
        episodes += [dataclasses.astuple(episode) for episode in progress.episodes]
        assert progress.updates == naive.step - before
        # The loss of update `k` is `k`.
        assert progress.loss == pytest.approx(np.mean(range(before, naive.step)) if naive.step > before else 0.0)
        last = naive.rows[-num_envs:]
        assert progress.actions.tolist() == [action for _, _, action, *_ in last]
    assert sizes[0] == -(-25 // num_envs) * num_envs
    assert sizes[0] + sizes[1] == size
    assert sizes[2:4] == [size, num_envs]
    assert progress.updates in range(3, 3 + num_envs)
    assert episodes == naive.episodes
    assert int(scope.global_timestep) == timestep


def test_an_advance_ends_with_the_iteration_of_the_last_episode():
    loop, _ = new_loop(3, UpdateSchedule(10, 4), 1_000)
    naive = Naive(3, 5, 10, 4)
    for episodes in (1, 4, 2):
        progress = loop.advance(naive.timestep, Remaining(UNLIMITED, UNLIMITED, episodes))
        before = naive.timestep
        naive.run(episodes=naive.episode + episodes)
        assert progress.timesteps == naive.timestep - before
        assert progress.timesteps > 0
    assert naive.timestep < 100
