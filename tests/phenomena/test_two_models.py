"""Two models of different names under one agent: one process, one checkpoint, nothing shared."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_agents import assert_equal, counters, make_agent, rows, weights
from tiny_envs import ScheduleEnv, vector

from polyrl.configs import AdamConfig, ConstantExplorationConfig, ExponentialDecayConfig
from polyrl.estimators import EstimatorSpec
from polyrl.models import CategoricalDQNModel, DQNModel, Scope
from polyrl.networks import mlp
from polyrl.summaries import Summaries

PERIOD = 2
RATE = ExponentialDecayConfig(0.1, decay_steps=1, decay_rate=0.5)


def two_models(mode, summaries=("loss",)):
    common = {"num_states": 4, "num_actions": 3, "summaries": list(summaries), "target_update_frequency": PERIOD}
    common |= {"optimizer_config": AdamConfig(0.01), "exploration_config": ConstantExplorationConfig(0.3)}
    return [
        DQNModel(mode, mlp([8]), name="actor", **common),
        CategoricalDQNModel(mode, mlp([8]), name="second", num_atoms=5, **common),
    ]


def model_fn(features, labels, mode):
    """The first acts; both learn from each batch."""
    first, second = (model(features, labels) for model in two_models(mode, ("loss", "variables", "learning_rate")))
    if labels is None:
        return first
    extra = dict(first.extra_ops)
    if mode == "train":
        both = [spec.extra_ops["summaries"] for spec in (first, second)]
        extra["summaries"] = Summaries(*({**one, **other} for one, other in zip(*both, strict=True)))

    def train_op():
        second.train_op()
        return first.train_op()

    train = train_op if mode == "train" else None
    return EstimatorSpec(mode, first.predictions, first.loss + second.loss, train, extra_ops=extra)


def schedule(first=0):
    return vector(*(ScheduleEnv(number, (4,), first=first) for number in range(2)))


def parts(agent, name):
    return {key: value for key, value in weights(agent).items() if key.startswith(f"{name}/")}


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_both_learn_and_one_checkpoint_brings_both_back_bit_for_bit(agent, tmp_path, jit):
    straight = agent(model_fn, model_dir=tmp_path / "straight", jit=jit)
    straight.train(schedule(), first_update=4, update_frequency=2, timesteps=32)
    first = agent(model_fn, jit=jit)
    first.train(schedule(), first_update=4, update_frequency=2, timesteps=16)
    resumed = agent(model_fn, jit=jit)
    resumed.train(schedule(first=2), first_update=4, update_frequency=2, timesteps=16)
    assert counters(resumed) == counters(straight) == (14, 32, 8)
    assert_equal(weights(resumed), weights(straight))
    assert_equal(rows(resumed), rows(straight))
    for name in ("actor", "second"):
        before, after = parts(first, name), parts(straight, name)
        assert before.keys() == after.keys()
        networks = [key for key in before if "/online/" in key or "/target/" in key]
        assert len(networks) == 12
        assert not [key for key in networks if np.array_equal(before[key], after[key])]
        # 14 updates with a copy at each second one: both targets have just been brought up to date.
        for key in after:
            if "/target/" in key:
                np.testing.assert_array_equal(after[key], after[key.replace("/target/", "/online/")])


@pytest.mark.slow
def test_no_variable_is_shared(agent):
    trained = agent(model_fn)
    trained.train(schedule(), first_update=4, timesteps=8)
    owners = {
        name: [part for key, part in trained._scope.parts.items() if key.startswith(f"{name}/")]
        for name in ("actor", "second")
    }
    found = []
    for owned in owners.values():
        held = [variable for part in owned if isinstance(part, tf.Module) for variable in part.variables]
        held += [variable for part in owned if not isinstance(part, tf.Module) for variable in part.variables]
        found.append({variable.ref() for variable in held})
    assert len(found[0]) > 10 < len(found[1])
    assert not found[0] & found[1]


@pytest.mark.slow
def test_their_tags_are_apart(tmp_path):
    agent = make_agent(model_fn, model_dir=tmp_path, save_summary_timesteps=8)
    agent.train(schedule(), first_update=4, timesteps=16)
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    tags = set(events.Tags()["tensors"])
    for panel in ("train/td_error", "train/q_mean", "train/learning_rate", "variables/dense/kernel", "variables/value/bias"):
        assert {panel, f"second/{panel}"} <= tags
    assert "second/train/return_distribution" in tags
    assert "train/return_distribution" not in tags


def random_batch(seed):
    rng = np.random.default_rng(seed)
    state, next_state = rng.normal(size=[2, 6, 4]).astype(np.float32)
    labels = {"action": rng.integers(0, 3, 6), "reward": rng.normal(size=6), "done": np.zeros(6), "next_state": next_state}
    return {"state": state}, labels


@pytest.mark.slow
def test_each_counts_its_own_updates_whatever_the_other_does():
    """Periods and schedules: of the first by `global_step`, of the second by a counter of its own."""
    scope = Scope()
    with scope.active():
        first = DQNModel("train", mlp([4]), 4, 3, name="first", target_update_frequency=2, summaries=["learning_rate"])
        second = DQNModel(
            "train",
            mlp([4]),
            4,
            3,
            name="second",
            optimizer_config=AdamConfig(RATE),
            target_update_frequency=2,
            summaries=["learning_rate"],
        )
    first(*random_batch(0))

    def is_synchronised(name):
        networks = [scope.parts[f"{name}/{role}"].model.variables for role in ("online", "target")]
        return all(np.array_equal(a, b) for a, b in zip(*networks, strict=True))

    for updates in range(1, 5):
        for seed in range(3):
            assert first(*random_batch(seed)).train_op() == 3 * (updates - 1) + seed + 1
            assert is_synchronised("first") == ((3 * (updates - 1) + seed + 1) % 2 == 0)
        spec = second(*random_batch(updates))
        rate = spec.extra_ops["summaries"].scalars["second/train/learning_rate"]
        np.testing.assert_allclose(rate, 0.1 * 0.5 ** (updates - 1), rtol=1e-6)
        assert spec.train_op() == updates
        assert is_synchronised("second") == (updates % 2 == 0)
    assert scope.global_step.numpy() == 12


def test_a_model_that_never_trains_does_not_hold_the_counter():
    """A frozen teacher, built first and only asked, leaves `global_step` and the plain tags to the one that learns."""
    scope = Scope()
    with scope.active():
        teacher = DQNModel("eval", mlp([4]), 4, 3, name="teacher")
        student = DQNModel("train", mlp([4]), 4, 3, name="student", summaries=["loss"])
    teacher(*random_batch(0))
    spec = student(*random_batch(0))
    assert spec.train_op() == 1
    assert scope.global_step.numpy() == 1
    assert "train/q_mean" in spec.extra_ops["summaries"].scalars
