"""`frame_stack` is refused where states are no stacks of frames: the memory would return others than it was given."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from gymnasium.spaces import Box, Discrete

from polyrl.estimators import Agent, RunConfig
from polyrl.models import DQNModel
from polyrl.replay import UniformReplay

layers = tf_keras.layers

BATCH, STACK = 4, 3


class Frames(gymnasium.Env):
    """Shows `observe(t)`, `[2, 3]`; episodes have four steps."""

    action_space = Discrete(3)
    observation_space = Box(0, 255, (2, STACK), np.uint8)

    def __init__(self, observe):
        self._observe = observe

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._observe(0), {}

    def step(self, action):
        self._t += 1
        return self._observe(self._t), 1.0, self._t == 4, False, {}


def repeated(t: int) -> np.ndarray:
    return np.tile(np.maximum(np.arange(t - STACK + 1, t + 1), 0) + 1, [2, 1]).astype(np.uint8)


def padded(t: int) -> np.ndarray:
    return np.tile(np.maximum(np.arange(t - STACK + 1, t + 1) + 1, 0), [2, 1]).astype(np.uint8)


def graph_fn(mode, inputs):
    return layers.Flatten()(tf.cast(inputs["state"], tf.float32))


def model_fn(features, labels, mode):
    return DQNModel(mode, graph_fn, (2, STACK), 3, summaries=[])(features, labels)


def train(observe, **config):
    agent = Agent(model_fn, UniformReplay(60, BATCH, frame_stack=STACK), config=RunConfig(progress=False, jit="off", **config))
    return agent.train(Frames(observe), first_update=BATCH, timesteps=12)


OTHERS = {
    "a color image": lambda t: np.full([2, STACK], [[t, 40, 80]], np.uint8),
    "the newest frame first": lambda t: repeated(t)[:, ::-1],
    "padded with zeros": padded,
}


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [False, True])
def test_stacks_are_taken(overlap):
    assert train(repeated, overlap=overlap).global_timestep == 12


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_not_a_stack_is_refused(kind, overlap):
    with pytest.raises(ValueError, match="frame_stack=3 is for stacked frames on the last axis, the newest last"):
        train(OTHERS[kind], overlap=overlap)
