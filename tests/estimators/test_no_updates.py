"""Runs that end before their first update, and are told of it."""

from __future__ import annotations

import pytest
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv


@pytest.mark.parametrize(("timesteps", "warns"), [(8, True), (9, False)])
def test_a_run_that_ends_before_its_first_update_is_warned_of(timesteps, warns, caplog):
    result = make_agent().train(ScheduleEnv(), first_update=8, max_timesteps=timesteps)
    assert (result.global_step == 0) == warns
    assert any("This run learns nothing" in record.message for record in caplog.records) == warns


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
