"""Runs that end before their first update, and are told of it."""

from __future__ import annotations

import pytest
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv, vector


@pytest.mark.parametrize(("timesteps", "warns"), [(8, True), (9, False)])
def test_a_run_that_ends_before_its_first_update_is_warned_of(timesteps, warns, caplog):
    result = make_agent().train(ScheduleEnv(), first_update=8, max_timesteps=timesteps)
    assert (result.global_step == 0) == warns
    assert any("This run learns nothing" in record.message for record in caplog.records) == warns


@pytest.mark.parametrize(
    ("schedule", "timesteps", "updates"),
    [((10, 1), 10, 6), ((15, 1), 12, 1), ((8, 16), 12, 1), ((16, 1), 9, 0), ((8, 24), 9, 0)],
)
def test_several_environments_go_on_to_the_end_of_their_step(schedule, timesteps, updates, caplog):
    """Eight of them take 16 steps where the budget is 9 to 16, and may learn beyond it."""
    envs = vector(*(ScheduleEnv(number, (3,)) for number in range(8)))
    first_update, frequency = schedule
    trained = make_agent().train(envs, first_update=first_update, update_frequency=frequency, max_timesteps=timesteps)
    assert trained.global_step == updates
    assert any("This run learns nothing" in record.message for record in caplog.records) == (updates == 0)


@pytest.mark.parametrize(("timesteps", "updates"), [(19, 0), (20, 1)])
def test_a_run_shorter_than_the_time_between_updates_is_warned_of(timesteps, updates, caplog):
    """It was not, and ended as if it had learned."""
    agent = make_agent()
    assert agent.train(ScheduleEnv(), first_update=8, update_frequency=20, max_timesteps=timesteps).global_step == updates
    told = [record.message for record in caplog.records if "This run learns nothing" in record.message]
    assert len(told) == 1 - updates
    assert all("update_frequency=20. Give a smaller update_frequency, or a larger budget." in text for text in told)
    agent.train(
        ScheduleEnv(), first_update=8, update_frequency=20, timesteps=1
    )  # A part of a run, not a run that learns nothing.
    assert len([record for record in caplog.records if "This run learns nothing" in record.message]) == len(told)
