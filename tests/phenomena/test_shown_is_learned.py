"""The batch whose panels are shown is the batch that is learned, and the weights are those before its update."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tiny_envs import ScheduleEnv, vector

from polyrl.envs.compiled import CartPole
from polyrl.estimators import Agent, EstimatorSpec, RunConfig
from polyrl.estimators.hooks import Hook
from polyrl.models.scope import current_scope
from polyrl.replay import PrioritizedReplay, UniformReplay
from polyrl.summaries import Summaries

BATCH, ROOM = 4, 1_000
MEMORIES = {"uniform": UniformReplay, "prioritized": PrioritizedReplay}
CADENCES = dict.fromkeys(["save_summary_timesteps", "save_checkpoints_timesteps", "max_overhead"])
SLOW = pytest.mark.slow


class Notes(tf.Module):
    """What each update learned from: the states `[ROOM, B, 4]`, the importance weights, and the weight before it."""

    def __init__(self) -> None:
        super().__init__()
        shapes = {"state": [ROOM, BATCH, 4], "weights": [ROOM, BATCH], "weight": [ROOM]}
        for name, shape in shapes.items():
            setattr(self, name, tf.Variable(tf.zeros(shape), trainable=False, name=name))
        self.present = tf.Variable(1.0, name="present")


def noting_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
    """Its one weight changes with each update, by the batch; the panels show batch and weight."""
    scope = current_scope()
    notes = scope.get("notes", Notes)
    state = features["state"]
    count = tf.cast(scope.global_timestep.read_value(), tf.int32)
    predictions = {"results": (tf.range(tf.shape(state)[0]) + count) % 2}
    if labels is None:
        return EstimatorSpec(mode, predictions)
    shown = {"state": state, "weights": labels.get("weights", tf.ones([BATCH])), "weight": notes.present.read_value()}

    def train_op() -> tf.Tensor:
        step = tf.reshape(scope.global_step.read_value(), [1, 1])
        for name, value in shown.items():
            getattr(notes, name).scatter_nd_update(step, value[tf.newaxis])
        notes.present.assign(0.5 * notes.present + tf.reduce_mean(tf.sin(state)))
        return scope.global_step.assign_add(1)

    summaries = Summaries({"weight": shown["weight"]}, {name: shown[name] for name in ("state", "weights")}, {})
    extra = {"summaries": summaries, "priorities": 0.1 + tf.abs(tf.sin(7.0 * tf.reduce_sum(state, axis=1)))}
    return EstimatorSpec(mode, predictions, tf.reduce_mean(state), train_op, extra_ops=extra)


class Look(Hook):
    """Asks for the panels each time that so many environment steps have passed."""

    def __init__(self, every: int):
        self._every, self._asked = every, 0
        self._steps = [0]
        self.shown: dict[int, Summaries] = {}
        self.advances = 0

    def after_act(self, run):
        self._steps.append(run.step)
        self.advances += 1
        if run.timestep // self._every > self._asked:
            self._asked = run.timestep // self._every
            run.request_summaries()

    def after_summaries(self, run, summaries):
        self.shown[self._steps[-2]] = summaries  # By the first update of the iteration that has just been.


def env_of(kind: str) -> Any:
    if kind == "graph":
        return CartPole(num_envs=3)
    envs = [ScheduleEnv(number, lengths=(4, 3, 6)) for number in range(3 if kind == "three" else 1)]
    return vector(*envs)


CASES = [
    ("one", "uniform", "off", 1),
    ("one", "prioritized", "off", 3),
    ("three", "prioritized", "off", 1),
    ("overlap", "prioritized", "off", 1),
    ("graph", "uniform", "off", 3),
    ("graph", "prioritized", "off", 7),
    *(pytest.param(kind, memory, "on", 3, marks=SLOW) for kind in ("three", "overlap", "graph") for memory in MEMORIES),
]


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(("kind", "memory", "jit", "frequency"), CASES)
def test_the_panels_are_those_of_the_first_update_of_an_iteration(tmp_path, kind, memory, jit, frequency):
    """They once described a second sample, of an update that was never done."""
    agent = Agent(
        noting_fn,
        MEMORIES[memory](60, BATCH),
        tmp_path,
        RunConfig(jit=jit, overlap=kind == "overlap", progress=False, **CADENCES),
    )
    look = Look(17)
    agent.train(
        env_of(kind), first_update=12, update_frequency=frequency, timesteps=2_700 if kind == "graph" else 240, hooks=[look]
    )
    notes = agent._scope.parts["notes"]
    assert len(look.shown) > (1 if kind == "graph" else 8)
    for step, summaries in look.shown.items():
        for name in ("state", "weights"):
            np.testing.assert_array_equal(summaries.histograms[name].numpy(), getattr(notes, name)[step].numpy(), err_msg=name)
        assert summaries.scalars["weight"].numpy() == notes.weight[step].numpy()
    # What is shown tells the updates apart: otherwise the comparison could not fail.
    states = notes.state.numpy()[: int(agent._scope.global_step)]
    assert len(np.unique(states.reshape(len(states), -1), axis=0)) > 0.8 * len(states)
    assert len(np.unique(notes.weight.numpy())) > 0.8 * len(states)
    assert memory == "uniform" or len(np.unique(notes.weights.numpy())) > 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one", *(pytest.param(kind, marks=SLOW) for kind in ("three", "overlap", "graph"))])
def test_to_be_shown_changes_nothing(tmp_path, kind):
    found = []
    for name in ("with", "without"):
        config = RunConfig(jit="off", overlap=kind == "overlap", progress=False, **CADENCES)
        agent = Agent(noting_fn, PrioritizedReplay(60, BATCH), tmp_path / name, config)
        hooks = [Look(17)] if name == "with" else []
        agent.train(env_of(kind), first_update=12, update_frequency=5, timesteps=1_200, hooks=hooks)
        found.append([variable.numpy() for variable in (*agent._scope.variables, *agent.memory.variables)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(("first_update", "frequency"), [(3_000, 1), (12, 3_000), (2_700, 700)])
def test_environments_in_the_graph_are_not_slowed_down_while_there_is_no_update(tmp_path, first_update, frequency):
    """Waiting for an update to show, the loop once made one step in each call."""
    config = RunConfig(jit="off", progress=False, **CADENCES)
    agent = Agent(noting_fn, UniformReplay(60, BATCH), tmp_path, config)
    look = Look(1_000)
    env = CartPole(num_envs=3)
    agent.train(env, first_update=first_update, update_frequency=frequency, max_timesteps=3_900, hooks=[look])
    assert len(look.shown) >= 1
    assert look.advances < 20
    notes = agent._scope.parts["notes"]
    for step, summaries in look.shown.items():
        np.testing.assert_array_equal(summaries.histograms["state"].numpy(), notes.state[step].numpy())
