"""The profile of some updates."""

from __future__ import annotations

import pytest
from tensorflow.tsl.profiler.protobuf import xplane_pb2
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

from polyrl.estimators.hooks import Hook
from polyrl.estimators.hooks.profiler import ProfilerHook


def profiles(directory):
    return sorted(directory.rglob("*.xplane.pb"))


def steps(file):
    """The numbers of the steps in a profile, as its reader finds them."""
    space = xplane_pb2.XSpace.FromString(file.read_bytes())
    found = []
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            if plane.event_metadata[event.metadata_id].name == "train":
                stats = {plane.stat_metadata[stat.metadata_id].name: stat for stat in event.stats}
                assert "_r" in stats  # What marks the root of a step.
                found.append(stats["step_num"].int64_value)
    return sorted(found)


class Broken(Hook):
    def after_act(self, run):
        if run.step == 6:
            raise RuntimeError("broken")


@pytest.mark.slow
def test_it_profiles_between_two_updates_once(tmp_path):
    agent = make_agent(model_dir=tmp_path)
    agent.train(ScheduleEnv(lengths=(3,)), first_update=4, max_timesteps=8, hooks=[ProfilerHook(9, 12)])
    assert profiles(tmp_path) == []
    agent.train(ScheduleEnv(lengths=(3,)), first_update=4, max_timesteps=20, hooks=[ProfilerHook(9, 12)])
    (file,) = profiles(tmp_path)
    assert steps(file) == [9, 10, 11]
    agent.train(ScheduleEnv(lengths=(3,)), first_update=4, max_timesteps=30, hooks=[ProfilerHook(9, 12)])
    assert profiles(tmp_path) == [file]


def test_an_error_ends_it_too(tmp_path):
    with pytest.raises(RuntimeError, match="broken"):
        make_agent(model_dir=tmp_path).train(ScheduleEnv(lengths=(3,)), first_update=4, hooks=[ProfilerHook(3, 90), Broken()])
    assert len(profiles(tmp_path)) == 1


@pytest.mark.parametrize(("first", "last"), [(-1, 4), (4, 4), (5, 4)])
def test_an_empty_range_is_refused(first, last):
    with pytest.raises(ValueError, match="must be at least"):
        ProfilerHook(first, last)
