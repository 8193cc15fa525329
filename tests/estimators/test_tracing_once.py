"""How often a run calls `model_fn`: that is what a user waits for before it learns."""

from __future__ import annotations

import pytest
from tiny_agents import make_agent, q_model_fn

from polyrl.envs import GymEnvironment


def counted(calls):
    model_fn = q_model_fn("dqn", num_actions=2)

    def counting(features, labels, mode):
        calls.append("act" if labels is None else "learn")
        return model_fn(features, labels, mode)

    return counting


@pytest.mark.parametrize("arguments", [{}, {"update_frequency": 4, "updates_at_once": 4}], ids=["single", "burst"])
def test_without_xla_an_update_is_traced_once(tmp_path, arguments):
    calls = []
    agent = make_agent(counted(calls), model_dir=tmp_path / "run")
    agent.train("CartPole-v1", timesteps=24, first_update=8, **arguments)
    assert agent.get_variable_value("global_step") > 0
    assert calls.count("learn") == 1
    agent.train("CartPole-v1", timesteps=8, first_update=8, **arguments)
    assert calls.count("learn") == 1


def test_another_environment_traces_it_again(tmp_path):
    calls = []
    agent = make_agent(counted(calls), model_dir=tmp_path / "run")
    for num_envs, expected in ((1, 1), (2, 2)):
        agent.train(GymEnvironment("CartPole-v1", num_envs), timesteps=24, first_update=8)
        assert calls.count("learn") == expected
