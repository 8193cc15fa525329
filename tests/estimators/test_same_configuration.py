"""A run is not resumed with another configuration than it was trained with: the message shows the difference."""

from __future__ import annotations

import dataclasses
import re

import pytest
import tf_keras
from tiny_agents import q_model_fn
from tiny_envs import ScheduleEnv, vector

from polyrl.configs import AdamConfig, Config, ConstantExplorationConfig, ExplorationConfig, HuberLossConfig, ScheduleConfig
from polyrl.envs import GymEnvironment
from polyrl.errors import CheckpointMismatchError
from polyrl.estimators import Agent, RunConfig
from polyrl.replay import PrioritizedReplay, UniformReplay

HERE = {"first_update": 8, "update_frequency": 2}
CONFIG = RunConfig(jit="off", progress=False, save_summary_timesteps=None, check_env=False)


def train(model_dir, model=None, memory=None, kind=PrioritizedReplay, num_envs=2, **schedule):
    given = {"batch_size": 4, **(memory or {})}
    agent = Agent(q_model_fn(**(model or {})), kind(100, **given), model_dir, CONFIG)
    env = vector(*(ScheduleEnv(number) for number in range(num_envs)))
    return agent.train(env, timesteps=12, **{**HERE, **schedule})


SLOW = pytest.mark.slow


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"memory": {"batch_size": 2}}, "with another memory: batch_size=4 there, 2 now"),
        ({"memory": {"alpha": 0.5}}, "with another memory: alpha=0.6 there, 0.5 now"),
        pytest.param({"memory": {"beta": 0.5}}, "with another memory: beta=0.4 there, 0.5 now", marks=SLOW),
        pytest.param({"memory": {"n_step": 3}}, "with another memory: n_step=1 there, 3 now", marks=SLOW),
        ({"kind": UniformReplay}, "with another memory: prioritized=True there, False now"),
        ({"first_update": 10}, "by another schedule of updates: first_update=8 there, 10 now"),
        pytest.param({"update_frequency": 4}, "by another schedule of updates: frequency=2 there, 4 now", marks=SLOW),
        ({"model": {"clip_gradients": 3.0}}, "Model.clip_gradients="),
        ({"model": {"dueling": "max"}}, "Model.dueling=mean there, max now"),
        pytest.param({"model": {"discount": 0.5}}, "Model.discount=0.97 there, 0.5 now", marks=SLOW),
        pytest.param({"model": {"target_update_frequency": 9}}, "Model.target_update_frequency=5 there, 9 now", marks=SLOW),
        pytest.param({"model": {"loss_config": HuberLossConfig(delta=2.0)}}, "Model.loss_config", marks=SLOW),
        ({"model": {"exploration_config": ConstantExplorationConfig(0.5)}}, "Model.exploration_config"),
        ({"model": {"kind": "ddqn"}}, "Model.class=DQNModel there, DDQNModel now"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_configuration_is_refused(tmp_path, changed, words):
    train(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointMismatchError) as error:
        train(tmp_path, **changed)
    assert re.search(words, str(error.value)), error.value
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def own(base, name, **methods):
    """A config of the user's own, as two programs may have one of the same fields and of another name."""
    return dataclasses.dataclass(frozen=True)(type(name, (base,), methods))


def own_optimizer(rate):
    return AdamConfig(own(ScheduleConfig, rate, build=lambda self: tf_keras.optimizers.schedules.CosineDecay(1e-3, 10))())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (
            {"exploration_config": own(ExplorationConfig, "Slow", rate=lambda self, timestep: 0.9)()},
            {"exploration_config": own(ExplorationConfig, "Fast", rate=lambda self, timestep: 0.1)()},
            "Model.exploration_config.class=Slow there, Fast now",
        ),
        (
            {"exploration_config": ConstantExplorationConfig(0.5)},
            {"exploration_config": own(ConstantExplorationConfig, "Half")(0.5)},
            "Model.exploration_config.class=ConstantExplorationConfig there, Half now",
        ),
        (
            {"optimizer_config": own_optimizer("Falls")},
            {"optimizer_config": own_optimizer("Rises")},
            "Model.optimizer_config.learning_rate.class=Falls there, Rises now",
        ),
        (
            {"loss_config": HuberLossConfig()},
            {"loss_config": own(HuberLossConfig, "Own")()},
            "Model.loss_config.class=HuberLossConfig there, Own now",
        ),
    ],
    ids=["exploration", "a_subclass", "a_schedule_inside", "loss"],
)
def test_another_class_of_ones_own_with_the_same_fields_is_refused(tmp_path, before, now, words):
    """Those without an identifier were all alike, and a subclass was its parent."""
    train(tmp_path, before)
    train(tmp_path, {name: type(config)(**fields(config)) for name, config in before.items()})
    with pytest.raises(CheckpointMismatchError, match=re.escape(words)):
        train(tmp_path, now)


@pytest.mark.slow
@pytest.mark.parametrize("base", [ExplorationConfig, ConstantExplorationConfig])
def test_a_checkpoint_of_before_does_not_know_the_class_and_is_resumed(tmp_path, monkeypatch, base):
    given = {
        "exploration_config": own(base, "Slow", rate=lambda self, timestep: 0.9)(*([] if base is ExplorationConfig else [0.5]))
    }
    with monkeypatch.context() as before:
        before.setattr(Config, "described", Config.to_dict)
        train(tmp_path, given)
    assert train(tmp_path, given).global_timestep == 24


def fields(config):
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


@pytest.mark.slow
def test_another_number_of_environments_is_told(tmp_path, caplog):
    """As a warning where no progress is shown, which the level of most programs' logging lets through."""
    caplog.set_level("INFO", "polyrl")
    train(tmp_path)
    assert train(tmp_path, num_envs=3).global_timestep == 24
    (text,) = [r.getMessage() for r in caplog.records if "Resuming" in r.getMessage() and r.levelname == "WARNING"]
    assert "It is not the same run bit for bit: num_envs=2 before, 3 now." in text


@pytest.mark.slow
def test_another_environment_with_the_same_states_is_told(tmp_path, caplog):
    caplog.set_level("INFO", "polyrl")
    memory = {"batch_size": 4}

    def agent():
        return Agent(q_model_fn(num_actions=2), UniformReplay(100, **memory), tmp_path, CONFIG)

    agent().train(GymEnvironment("CartPole-v1", sutton_barto_reward=True), timesteps=12, **HERE)
    agent().train("CartPole-v0", timesteps=12, **HERE)
    (text,) = [r.getMessage() for r in caplog.records if "Resuming" in r.getMessage() and r.levelname == "WARNING"]
    assert "environment=CartPole-v1(sutton_barto_reward=True) before, CartPole-v0 now" in text
