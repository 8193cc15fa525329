"""Hooks that a model hands over in its spec have an effect or are refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tiny_agents import counting_model_fn
from tiny_envs import ScheduleEnv

from polyrl.estimators.hooks import Hook


class Counting(Hook):
    def __init__(self):
        self.updates = 0

    def after_update(self, run: Any) -> None:
        self.updates += 1


def with_hooks(**hooks: Any) -> Any:
    """The counting model, with hooks in each spec that has a loss."""

    def model_fn(features, labels, mode):
        spec = counting_model_fn(features, labels, mode)
        return dataclasses.replace(spec, **hooks) if labels is not None else spec

    return model_fn


def test_training_hooks_of_the_spec_run(agent):
    hook = Counting()
    result = agent(with_hooks(training_hooks=[hook])).train(ScheduleEnv(), first_update=4, timesteps=10)
    assert hook.updates == result.global_step == 6


def test_a_training_hook_that_is_none_is_refused_before_anything_is_written(agent, tmp_path):
    with pytest.raises(TypeError, match="training_hooks: 'no hook' must be a Hook"):
        agent(with_hooks(training_hooks=["no hook"])).train(ScheduleEnv(), first_update=4, timesteps=10)
    assert not (tmp_path / "run").exists()


def test_evaluation_hooks_of_the_spec_are_refused(agent):
    made = agent(with_hooks(evaluation_hooks=[Counting()]))
    made.train(ScheduleEnv(), first_update=4, timesteps=10)
    with pytest.raises(ValueError, match="evaluation_hooks"):
        made.evaluate(ScheduleEnv(), episodes=1)


def test_every_hook_is_closed_though_one_of_them_fails_to(agent):
    closed = []

    class Closing(Hook):
        def __init__(self, name: str, fails: bool):
            self.name, self.fails = name, fails

        def close(self) -> None:
            closed.append(self.name)
            if self.fails:
                raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        agent().train(ScheduleEnv(), first_update=4, timesteps=5, hooks=[Closing("first", True), Closing("second", False)])
    assert closed == ["first", "second"]


def test_parameters_of_a_run_that_failed_before_its_first_checkpoint_bind_nobody(agent):
    class Failing(Hook):
        def after_act(self, run: Any) -> None:
            raise ArithmeticError("no number")

    with pytest.raises(ArithmeticError):
        agent(params={"learning_rate": 1.0}).train(ScheduleEnv(), first_update=4, timesteps=5, hooks=[Failing()])
    assert agent(params={"learning_rate": 0.1}).train(ScheduleEnv(), first_update=4, timesteps=5).global_timestep == 5
