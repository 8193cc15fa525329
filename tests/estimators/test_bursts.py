"""When updates are done: several at once, in bursts, from the very first step on; in Python and in the graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from graph_testing import BATCH, Naive, Ring, check, noting_model_fn, train
from tiny_agents import counters, make_agent, q_model_fn, weights
from tiny_envs import ScheduleEnv, vector

from polyrl.errors import CheckpointMismatchError
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.loops.loop import UpdateSchedule
from polyrl.replay import PrioritizedReplay, UniformReplay

SCHEDULES = [
    (0, 1, 1),  # From the first step on, when there is one row.
    (0, 1, 4),  # Several updates for each step.
    (2, 3, 2),  # Before there is a batch of rows.
    (20, 16, 8),  # Bursts.
    (15, 5, 7),
]


@pytest.mark.default_cases(3)
@pytest.mark.parametrize(("first_update", "frequency", "at_once"), SCHEDULES)
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_in_the_graph_updates_are_those_of_a_naive_loop(tmp_path, num_envs, jit, first_update, frequency, at_once):
    schedule = {"first_update": first_update, "update_frequency": frequency, "updates_at_once": at_once}
    agent, watch = train(tmp_path, Ring(num_envs), jit, **schedule, timesteps=60)
    check(agent, watch, Naive(num_envs, 5, first_update, frequency, at_once).run(timesteps=60))


@pytest.mark.default_cases(4)
@pytest.mark.parametrize(("first_update", "frequency", "at_once"), SCHEDULES)
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("overlap", [False, True])
def test_in_python_updates_are_those_of_a_naive_loop(num_envs, overlap, first_update, frequency, at_once):
    schedule = {"first_update": first_update, "update_frequency": frequency, "updates_at_once": at_once}
    agent = make_agent(noting_model_fn, batch_size=BATCH, overlap=overlap)
    agent.train(vector(*[ScheduleEnv() for _ in range(num_envs)]), **schedule, timesteps=60)
    naive = Naive(num_envs, 5, first_update, frequency, at_once).run(timesteps=60)
    assert counters(agent)[:2] == naive.counters[:2]
    when = agent._scope.parts["log"].when.numpy()[: naive.step]
    assert when.tolist() == naive.when


@pytest.mark.parametrize("env", ["python", "graph"])
def test_a_budget_of_updates_ends_within_a_burst(env):
    agent = make_agent(noting_model_fn, batch_size=BATCH)
    where = Ring() if env == "graph" else ScheduleEnv()
    agent.train(where, first_update=10, update_frequency=4, updates_at_once=5, steps=7)
    assert counters(agent)[:2] == (7, 16)


@pytest.mark.slow
def test_a_burst_is_as_many_updates_one_by_one(tmp_path):
    """The batches are those of their numbers, wherever they are drawn: from the same memory, the same weights."""
    together, apart = (make_agent(q_model_fn(), model_dir=tmp_path / name, seed=3) for name in ("together", "apart"))
    together.train(ScheduleEnv(), first_update=19, update_frequency=20, updates_at_once=6, timesteps=20)
    apart.train(ScheduleEnv(), first_update=20, timesteps=20)
    assert counters(together) == (6, 20, counters(apart)[2])
    for _ in range(6):
        tf.function(apart._learner.probe, autograph=False)()
    for name, values in weights(apart).items():
        np.testing.assert_allclose(weights(together)[name], values, rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [UniformReplay, PrioritizedReplay])
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("num_envs", [1, 2])
def test_the_first_update_may_come_with_the_first_step(tmp_path, memory, n_step, num_envs):
    model_fn = q_model_fn(summaries="all")
    agent = Agent(model_fn, memory(100, 32, n_step=n_step), tmp_path, RunConfig(progress=False, jit="off", max_overhead=None))
    result = agent.train(vector(*[ScheduleEnv() for _ in range(num_envs)]), first_update=0, timesteps=12)
    assert result.global_step == 12
    assert all(np.isfinite(values).all() for values in weights(agent).values())


def test_next_due_is_the_next_multiple_after_the_first_update():
    schedule = UpdateSchedule(10, 8, 3)
    assert [schedule.next_due(timestep) for timestep in (0, 8, 15, 16, 17)] == [16, 16, 16, 24, 24]
    assert [schedule.due(begin, begin + 8) for begin in (0, 8, 16)] == [0, 3, 3]


@pytest.mark.slow
def test_a_resumed_run_does_not_change_its_bursts(tmp_path):
    for at_once, timesteps in ((2, 20), (2, 30)):
        agent = make_agent(q_model_fn(), model_dir=tmp_path)
        agent.train(ScheduleEnv(), first_update=8, update_frequency=4, updates_at_once=at_once, max_timesteps=timesteps)
    with pytest.raises(CheckpointMismatchError, match="updates_at_once=2 there, 3 now"):
        make_agent(q_model_fn(), model_dir=tmp_path).train(
            ScheduleEnv(), first_update=8, update_frequency=4, updates_at_once=3, max_timesteps=40
        )


@pytest.mark.parametrize(("name", "value"), [("updates_at_once", 0), ("updates_at_once", -1), ("first_update", -1)])
def test_a_schedule_that_is_not_valid_is_refused(agent, name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        agent().train(ScheduleEnv(), **{name: value}, timesteps=10)


@pytest.mark.parametrize("value", [1.5, "2", None, True])
def test_a_number_of_updates_is_an_integer(agent, value):
    with pytest.raises(TypeError, match="updates_at_once"):
        agent().train(ScheduleEnv(), updates_at_once=value, timesteps=10)
