"""A `model_fn` returns the spec of the mode that it was called with."""

from __future__ import annotations

import pytest
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

from polyrl.models import DQNModel
from polyrl.networks import mlp


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_mode_that_is_written_into_model_fn_is_refused(mode):
    """Its evaluations would explore, or its training be greedy."""

    def model_fn(features, labels):
        return DQNModel(mode, mlp([8]), 4, 3, summaries=[])(features, labels)

    def train_and_evaluate():
        agent = make_agent(model_fn)
        agent.train(ScheduleEnv(), first_update=4, timesteps=8)
        agent.evaluate(ScheduleEnv(), episodes=1)

    with pytest.raises(ValueError, match=f"returned a spec of mode='{mode}': it must take an argument `mode`"):
        train_and_evaluate()
