"""`CheckpointHook`: the rhythm of checkpoints, and which are kept."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace

import pytest
from hook_testing import BATCH, checkpoints, schedule
from tiny_envs import vector

from polyrl.estimators.hooks import CheckpointHook, Hook


def naive_checkpoints(timesteps: int, num_envs: int, every: int) -> list[int]:
    """After each iteration that passes a multiple of `every`, and at the end."""
    written, t = [], 0
    while t < timesteps:
        before, t = t, t + num_envs
        if any(step % every == 0 for step in range(before + 1, t + 1)) or t >= timesteps:
            written.append(t)
    return written


# Checkpoints. -----------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(3)
@pytest.mark.parametrize(("num_envs", "every"), [(1, 1), (1, 5), (3, 5), (3, 2), (2, 30)])
def test_checkpoints_come_in_the_rhythm_of_environment_steps(agent, num_envs, every):
    trained = agent(save_checkpoints_timesteps=every, keep_checkpoint_max=100)
    trained.train(vector(*(schedule() for _ in range(num_envs))), first_update=BATCH, timesteps=22)
    assert checkpoints(trained) == naive_checkpoints(22, num_envs, every)


def test_a_resumed_run_keeps_the_rhythm(agent):
    for timesteps in (3, 4, 8):
        trained = agent(save_checkpoints_timesteps=5, keep_checkpoint_max=100)
        trained.train(schedule(), first_update=BATCH, timesteps=timesteps)
    assert checkpoints(trained) == [3, 5, 7, 10, 15]


def test_what_other_hooks_take_does_not_put_checkpoints_off():
    """They run between the request and the writing."""
    requested = []
    run = SimpleNamespace(timestep=0, checkpoint_seconds=0.0, request_checkpoint=lambda: requested.append(run.timestep))
    hook = CheckpointHook(1, None, max_share=0.01)
    hook.begin(run)
    for run.timestep in (1, 2):
        hook.after_act(run)
        time.sleep(0.02)  # An evaluation, say; a hundredth of the time would be two seconds.
        hook.after_checkpoint(run, None)
    assert requested == [1, 2]


def test_checkpoints_that_take_long_are_put_off_and_it_is_told_once(caplog):
    caplog.set_level(logging.INFO, "polyrl")
    requested = []
    run = SimpleNamespace(timestep=0, checkpoint_seconds=60.0, request_checkpoint=lambda: requested.append(run.timestep))
    hook = CheckpointHook(1, None, max_share=0.01)
    hook.begin(run)
    hook.after_act(run)
    assert not caplog.messages
    for run.timestep in (1, 2, 3):
        hook.after_act(run)
        hook.after_checkpoint(run, None)
    assert requested == [1]
    assert caplog.messages == [
        "Checkpoints come less often than every 1 steps: the last took 60 s, and they may take 1 % of the time (max_overhead)."
    ]


def test_checkpoints_by_the_clock(agent):
    """Zero seconds have always passed."""
    trained = agent(save_checkpoints_secs=0.0, keep_checkpoint_max=100)
    trained.train(schedule(), first_update=BATCH, timesteps=4)
    assert checkpoints(trained) == [1, 2, 3, 4]


def test_without_a_cadence_one_is_written_at_the_end(agent):
    trained = agent(save_checkpoints_timesteps=None, save_checkpoints_secs=None)
    trained.train(schedule(), first_update=BATCH, timesteps=9)
    assert checkpoints(trained) == [9]


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_the_newest_checkpoints_are_kept_at_any_time(agent, keep):
    seen = []

    class Count(Hook):
        def after_checkpoint(self, run, path):
            seen.append(checkpoints(trained))

    trained = agent(save_checkpoints_timesteps=2, keep_checkpoint_max=keep)
    trained.train(schedule(), first_update=BATCH, timesteps=10, hooks=[Count()])
    written = [2, 4, 6, 8, 10]
    assert seen[:5] == [written[max(0, n - keep) : n] for n in range(1, 6)]
    assert checkpoints(trained) == written[-keep:]


def test_a_hook_of_the_users_may_ask_for_checkpoints_too(agent):
    trained = agent(keep_checkpoint_max=9)
    trained.train(schedule(), first_update=BATCH, timesteps=7, hooks=[CheckpointHook(3, None)])
    assert checkpoints(trained) == [3, 6, 7]
