"""Experiments small enough for a test."""

from __future__ import annotations

import pytest
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

from polyrl.experiments import RLExperiment

BATCH = 4


@pytest.fixture
def experiment(tmp_path):
    """Makes experiments on one `model_dir`: three-step episodes, evaluations every five steps."""

    def make(model_fn=None, env=None, keep_checkpoint_max=100, save_checkpoints_timesteps=None, **arguments) -> RLExperiment:
        agent = make_agent(
            model_fn,
            model_dir=tmp_path / "run",
            keep_checkpoint_max=keep_checkpoint_max,
            save_checkpoints_timesteps=save_checkpoints_timesteps,
        )
        settings = {
            "first_update": BATCH,
            "eval_episodes": 2,
            "eval_frequency": 5,
            "eval_episodes_while_training": 1,
            "infer_episodes": 2,
            "throttle_secs": 0.0,
        }
        return RLExperiment(agent, ScheduleEnv() if env is None else env, **{**settings, **arguments})

    return make
