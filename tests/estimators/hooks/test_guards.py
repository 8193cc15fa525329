"""`NanHook`: a loss, weights or an environment that are not finite end the run, and spoil no checkpoint."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hook_testing import BATCH, schedule
from masked_envs import TemptingEnv
from tiny_agents import counting_model_fn, make_agent, q_model_fn
from tiny_envs import Bad, ScheduleEnv, vector
from tiny_hooks import Recorder

from polyrl.configs import AdamConfig, ExplorationConfig, HuberLossConfig, MeanSquaredErrorConfig, ScheduleConfig
from polyrl.envs.compiled import CartPole
from polyrl.errors import NonFiniteError
from polyrl.estimators import Agent, EstimatorSpec
from polyrl.models.scope import current_scope


def breaking_model_fn(after: int, value: float):
    """As the counting model, but from update `after` on the loss is `value`."""

    def model_fn(features, labels, mode):
        spec = counting_model_fn(features, labels, mode)
        if spec.loss is None:
            return spec
        loss = tf.where(current_scope().global_step >= after - 1, value, spec.loss)
        return EstimatorSpec(mode, spec.predictions, loss, spec.train_op)

    return model_fn


def finite(agent: Agent) -> list[bool]:
    """For each checkpoint, oldest first, whether all its numbers are finite."""
    found = []
    for path in sorted(agent.checkpoints.directory.glob("ckpt-*")):
        reader = tf.train.load_checkpoint(str(path / "variables"))
        values = [reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "CHECKPOINTABLE" not in name]
        found.append(all(np.isfinite(value).all() for value in values if value.dtype.kind == "f"))
    return found


# What is not finite. -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_a_number_ends_the_run_and_says_where(agent, value):
    trained = agent(breaking_model_fn(6, value), save_checkpoints_timesteps=1)
    with pytest.raises(NonFiniteError, match=rf"loss is {value} at update 6 \(environment step 10, last actions \[0\]\)"):
        trained.train(schedule(), first_update=BATCH, timesteps=20)
    assert trained.checkpoints.latest().name == "ckpt-000000009"


def test_the_guard_runs_before_hooks_that_write(agent):
    recorder = Recorder()
    with pytest.raises(NonFiniteError):
        agent(breaking_model_fn(1, float("nan"))).train(schedule(), first_update=BATCH, timesteps=9, hooks=[recorder])
    assert recorder.log[-2:] == [("after_act", 4, 0, 1), ("close",)]


def test_a_loss_that_breaks_in_one_of_several_updates_is_seen(agent):
    env = vector(*(schedule() for _ in range(8)))
    with pytest.raises(NonFiniteError, match="environment step 16"):
        agent(breaking_model_fn(2, float("nan"))).train(env, first_update=8, timesteps=64)


def rewarding(reward: float) -> ScheduleEnv:
    """One-step episodes with that reward."""
    env = schedule((1,))
    env.reward = lambda number, t: reward
    return env


@pytest.mark.slow
def test_an_overflow_of_the_loss_leaves_the_last_good_checkpoint_loadable(agent):
    """Four rewards of 1e38 are more than float32 holds."""
    trained = agent(q_model_fn(loss_config=HuberLossConfig()), size=8, save_checkpoints_timesteps=1, keep_checkpoint_max=2)
    trained.train(schedule(), first_update=BATCH, timesteps=6)
    with pytest.raises(NonFiniteError, match=r"loss is inf at update \d+ \(environment step \d+, last actions \[\d\]\)"):
        trained.train(rewarding(1e38), first_update=BATCH, timesteps=30)
    assert finite(trained) == [True, True]
    assert agent(q_model_fn()).evaluate(schedule(), episodes=1)["global_timestep"] >= 6


@pytest.mark.parametrize(
    ("loss", "reward"),
    [pytest.param(MeanSquaredErrorConfig(), 8e18, marks=pytest.mark.slow), (HuberLossConfig(), 3e38)],
    ids=["mean_squared_error", "huber"],
)
def test_weights_that_are_not_numbers_are_never_checkpointed(agent, loss, reward):
    """The loss is just finite, its gradient is not: the loss tells of broken weights one update too late."""
    trained = agent(q_model_fn(loss_config=loss), save_checkpoints_timesteps=1, keep_checkpoint_max=1)
    trained.train(schedule(), first_update=BATCH, timesteps=8)
    with pytest.raises(NonFiniteError):
        trained.train(rewarding(reward), first_update=BATCH, timesteps=40)
    assert finite(trained) == [True]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["observation", "reward"])
def test_a_broken_environment_leaves_the_memory_and_the_checkpoints_clean(agent, where):
    trained = agent(q_model_fn(), save_checkpoints_timesteps=1, keep_checkpoint_max=100, exact_resume=False)
    with pytest.raises(NonFiniteError, match=rf"Environment 0 .*{where} at its step 8.*last action"):
        trained.train(schedule(bad=Bad(where, 2, 2)), first_update=BATCH, timesteps=20)
    assert finite(trained) == [True] * 7
    assert int(trained.memory.stored().numpy()) == 7


@dataclasses.dataclass(frozen=True)
class Failing(ExplorationConfig):
    """A schedule of the user's own, which is not a number from some step on."""

    IDENTIFIER: ClassVar[str] = "failing"
    bad: str = "nan"

    def rate(self, timestep):
        return tf.where(timestep < 20, 0.5, float(self.bad))


@pytest.mark.slow
@pytest.mark.parametrize(
    "bad", ["nan", *(pytest.param(bad, marks=pytest.mark.slow) for bad in ("-0.5", "1.5", "inf", "-inf"))]
)
@pytest.mark.parametrize("env", [ScheduleEnv, pytest.param(lambda: CartPole(num_envs=2), id="in the graph")])
def test_an_exploration_rate_that_is_not_finite_ends_the_run(tmp_path, env, bad):
    actions = 2 if env is not ScheduleEnv else 3
    model_fn = q_model_fn(num_actions=actions, exploration_config=Failing(bad=bad))
    with pytest.raises(NonFiniteError, match="The exploration rate is NaN, infinite, below 0"):
        make_agent(model_fn, model_dir=tmp_path).train(env(), first_update=4, timesteps=400)


@dataclasses.dataclass(frozen=True)
class Falling(ScheduleConfig):
    """A learning rate of the user's own that is below zero from the 20th update on."""

    def build(self):
        return tf_keras.optimizers.schedules.PolynomialDecay(1e-3, 40, -1e-3)


@pytest.mark.slow
def test_a_learning_rate_below_zero_ends_the_run(tmp_path):
    """It trained uphill to the end."""
    model_fn = q_model_fn(optimizer_config=AdamConfig(Falling()), summaries="all")
    trained = make_agent(model_fn, model_dir=tmp_path, save_summary_timesteps=1, max_overhead=None)
    with pytest.raises(ValueError, match=r"The learning rate is -0.0001 at update 23: its schedule must not"):
        trained.train(ScheduleEnv(), first_update=4, timesteps=400)


@dataclasses.dataclass(frozen=True)
class Branching(ExplorationConfig):
    def rate(self, timestep):
        return 1.0 if timestep < 100 else 0.1


@dataclasses.dataclass(frozen=True)
class Excessive(ExplorationConfig):
    def rate(self, timestep):
        return 2.0


@dataclasses.dataclass(frozen=True)
class Without(ExplorationConfig):
    pass


@pytest.mark.parametrize("masked", [False, True])
def test_a_constant_rate_out_of_range_is_told_with_its_value(tmp_path, masked):
    """With a mask it was 'epsilon=nan must be in [0, 1]'."""
    env, spaces = (TemptingEnv(), {"num_states": 1, "num_actions": 4}) if masked else (ScheduleEnv(), {})
    with pytest.raises(ValueError, match=r"^The rate of Excessive is 2; expected a probability from 0 to 1\.$"):
        make_agent(q_model_fn(exploration_config=Excessive(), **spaces), model_dir=tmp_path).train(env, timesteps=8)


def test_a_schedule_without_a_rate_is_told_alone(tmp_path):
    """Below it stood that it is given a tensor."""
    with pytest.raises(NotImplementedError, match=r"^Without must define rate; .* do\.$") as caught:
        make_agent(q_model_fn(exploration_config=Without()), model_dir=tmp_path).train(ScheduleEnv(), timesteps=8)
    assert not hasattr(caught.value, "__notes__")


@dataclasses.dataclass(frozen=True)
class OfNumPy(ExplorationConfig):
    def rate(self, timestep):
        return np.exp(-timestep)


@pytest.mark.parametrize(("config", "error"), [(Branching, TypeError), (OfNumPy, NotImplementedError)])
def test_a_rate_that_takes_no_tensor_says_whose_it_is(tmp_path, config, error):
    with pytest.raises(error) as caught:
        make_agent(q_model_fn(exploration_config=config()), model_dir=tmp_path).train(ScheduleEnv(), timesteps=8)
    said = f"The rate of {config.__name__} raised this. It is given a tensor"
    assert any(note.startswith(said) for note in caught.value.__notes__)
