"""Hooks: when each phase runs, what it sees, and which states of hooks come back."""

from __future__ import annotations

import numpy as np
import pytest
from hook_testing import BATCH, schedule
from tiny_agents import q_model_fn
from tiny_envs import vector
from tiny_hooks import Recorder

from polyrl.configs import DecayExplorationConfig
from polyrl.estimators.hooks import Hook

# The phases. ------------------------------------------------------------------------------------------------------------


def test_phases_run_in_the_documented_order(agent):
    recorder = Recorder()
    agent(save_checkpoints_timesteps=3).train(schedule(), first_update=BATCH, timesteps=6, hooks=[recorder])
    assert recorder.log == [
        ("begin", 0, 0, 0),
        ("after_act", 1, 0, 0),
        ("after_act", 2, 0, 0),
        ("after_episode", 3, 0, 1, 3),
        ("after_act", 3, 0, 1),
        ("after_checkpoint", 3, 0, 1, "ckpt-000000003"),
        ("after_act", 4, 0, 1),
        ("after_update", 5, 1, 1),
        ("after_act", 5, 1, 1),
        ("after_update", 6, 2, 2),
        ("after_episode", 6, 2, 2, 3),
        ("after_act", 6, 2, 2),
        ("after_checkpoint", 6, 2, 2, "ckpt-000000006"),
        ("end", 6, 2, 2),
        ("after_checkpoint", 6, 2, 2, "ckpt-000000006"),
        ("close",),
    ]


def test_hooks_run_in_the_order_given_phase_by_phase(agent):
    log = []
    agent().train(schedule(), first_update=BATCH, timesteps=1, hooks=[Recorder(log, "a."), Recorder(log, "b.")])
    names = [entry[0] for entry in log]
    phases = ("begin", "after_act", "end", "after_checkpoint", "close")
    assert names == [f"{name}.{phase}" for phase in phases for name in "ab"]


def test_one_call_for_each_episode_that_ended_in_an_iteration(agent):
    recorder = Recorder()
    env = vector(schedule((2,)), schedule((2,)), schedule((3,)))
    agent().train(env, first_update=BATCH, timesteps=9, hooks=[recorder])
    ended = [entry for entry in recorder.log if entry[0] == "after_episode"]
    assert ended == [("after_episode", 6, 2, 2, 2), ("after_episode", 6, 2, 2, 2), ("after_episode", 9, 5, 3, 3)]


def test_one_call_after_an_iteration_with_several_updates(agent):
    recorder = Recorder()
    agent().train(vector(schedule(), schedule(), schedule()), first_update=BATCH, timesteps=9, hooks=[recorder])
    updates = [entry[:3] for entry in recorder.log if entry[0] == "after_update"]
    assert updates == [("after_update", 6, 2), ("after_update", 9, 5)]


def test_the_run_shows_what_is_in_the_memory_and_the_last_episodes(agent):
    seen = []

    class Look(Hook):
        def after_act(self, run):
            seen.append((run.stored, [episode.reward for episode in run.episodes], run.actions.shape))

    agent(size=5).train(schedule(), first_update=BATCH, timesteps=7, hooks=[Look()])
    one, two = [6.0], [6.0, 6.0]
    assert [row[0] for row in seen] == [1, 2, 3, 4, 5, 5, 5]
    assert [row[1] for row in seen] == [[], [], one, one, one, two, two]
    assert {row[2] for row in seen} == {(1,)}


def test_the_loss_shown_is_that_of_the_updates(agent):
    """Each reward is the step's number, and the counting model's loss is their mean over the batch."""
    seen = []

    class Look(Hook):
        def after_update(self, run):
            seen.append(run.loss)

    agent().train(schedule((1,)), first_update=BATCH, timesteps=9, hooks=[Look()])
    assert seen == [1.0] * 5


@pytest.mark.slow
def test_the_exploration_rate_shown_is_that_of_the_timestep(agent):
    rates = []

    class Look(Hook):
        def after_act(self, run):
            rates.append(run.exploration_rate)

    config = DecayExplorationConfig(exploration_rate=1.0, min_exploration_rate=0.0, decay_steps=8)
    trained = agent(q_model_fn(exploration_config=config))
    for _ in range(2):  # The second one goes on from the first.
        trained.train(schedule(), first_update=BATCH, timesteps=3, hooks=[Look()])
    np.testing.assert_allclose(rates, [1 - t / 8 for t in range(1, 7)], rtol=1e-6)


class Memo(Hook):
    """Counts iterations over all runs."""

    def __init__(self):
        self.count, self.given = 0, None

    def begin(self, run):
        self.at_begin = self.count

    def after_act(self, run):
        self.count += 1

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.given = dict(state)
        self.count = state["count"]


# States of hooks. -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_states_of_hooks_come_back_before_the_resumed_run_begins(agent):
    first, second = Memo(), Memo()
    agent().train(schedule(), first_update=BATCH, timesteps=5, hooks=[first])
    agent().train(schedule(), first_update=BATCH, timesteps=3, hooks=[second])
    assert (first.given, second.given, second.at_begin, second.count) == (None, {"count": 5}, 5, 8)


def test_hooks_of_one_class_are_told_apart_by_their_order(agent):
    class Offset(Memo):
        def __init__(self, offset):
            super().__init__()
            self.count = offset

    agent().train(schedule(), first_update=BATCH, timesteps=2, hooks=[Offset(10), Memo(), Offset(20)])
    hooks = [Offset(0), Memo(), Offset(0), Offset(0)]
    agent().train(schedule(), first_update=BATCH, timesteps=1, hooks=hooks)
    assert [hook.given for hook in hooks] == [{"count": 12}, {"count": 2}, {"count": 22}, None]


def test_the_last_episodes_come_back_too(agent):
    seen = []

    class Look(Hook):
        def begin(self, run):
            seen.append([(episode.length, episode.reward) for episode in run.episodes])

    for _ in range(2):
        agent().train(schedule((2, 1)), first_update=BATCH, timesteps=6, hooks=[Look()])
    assert seen == [[], [(2, 3.0), (1, 1.0), (2, 3.0), (1, 1.0)]]
