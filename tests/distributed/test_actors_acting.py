"""The call in which an actor acts, with XLA and without: against the learner's own acting, state by state."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from actor_testing import ENVS, STEPS, begun_actor, give_other_weights
from tiny_agents import q_model_fn

from polyrl.configs import ConstantExplorationConfig, GreedyExplorationConfig
from polyrl.distributed.actor import PRIORITY
from polyrl.distributed.blocks import expand
from polyrl.distributed.weights import Weights
from polyrl.distributed.wire import pack, unpack
from polyrl.engine.tracing import traced
from polyrl.envs import GymEnvironment
from polyrl.models import DQNModel
from polyrl.models.features import NETWORK_STATE
from polyrl.networks import mlp, recurrent
from polyrl.replay import PrioritizedReplay, SequenceReplay

ENV = GymEnvironment("CartPole-v1", num_envs=ENVS)
both = pytest.mark.parametrize("jit", ["on", "off"])


def greedy(features, labels, mode):
    model = DQNModel(mode, mlp([8]), (4,), 2, exploration_config=GreedyExplorationConfig())
    return model(features, labels)


def remembering(features, labels, mode):
    torso = recurrent(mlp([8]), units=4)
    return DQNModel(mode, torso, (4,), 2, exploration_config=GreedyExplorationConfig())(features, labels)


def blocks(actor, count: int) -> dict[str, np.ndarray]:
    parts = [expand(unpack(actor.collect()[1])[0]) for _ in range(count)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def is_compiled(actor) -> bool:
    return actor._act._compiler.xla


@both
@pytest.mark.parametrize("model_fn", [greedy, remembering])
def test_actions_are_those_of_the_learner(model_fn, jit: str) -> None:
    """Also what a recurrent network remembers, which begins anew with each episode; and other weights are taken at once."""
    recurs = model_fn is remembering
    memory = SequenceReplay(100, 4, sequence_length=4) if recurs else None
    actor, learner = begun_actor(ENV, model_fn, memory, steps=30, jit=jit)
    assert is_compiled(actor) is (jit == "on")
    act, chosen, ends = traced(learner.act), [], 0.0
    for seed in range(4):
        give_other_weights(actor, learner, seed)
        actor.collect()  # Its first actions were chosen with the weights before.
        ended = np.ones(ENVS, bool)
        found = blocks(actor, 2)
        if recurs:  # What the network remembered before the first state of these blocks.
            learner.recurrence.after.assign(found[NETWORK_STATE][0])
            ended[:] = False
        for step in range(60):
            wanted, _ = act(tf.constant(found["state"][step]), tf.constant(ended))
            np.testing.assert_array_equal(found["action"][step], wanted)
            if recurs:
                np.testing.assert_allclose(found[NETWORK_STATE][step], learner.recurrence.before.numpy(), atol=1e-6)
            ended = found["done"][step] + found["truncated"][step] > 0
        chosen.append(found["action"])
        ends += found["done"].sum()
    assert ends > 10
    assert set(np.ravel(chosen)) == {0, 1}


@both
def test_steps_are_counted_once_and_weights_do_not_take_them_back(jit: str) -> None:
    actor, learner = begun_actor(ENV, greedy, jit=jit)
    for block in (1, 2):
        actor.collect()
        actor.set_weights(pack(Weights(learner.scope).read(), {"version": block}))
        assert int(actor._scope.global_timestep.numpy()) == block * STEPS * ENVS


@both
def test_exploring_never_repeats_itself(jit: str) -> None:
    """Random numbers follow from the steps, which XLA keeps in a vector of its own: each step has others."""
    model_fn = q_model_fn(num_actions=2, exploration_config=ConstantExplorationConfig(1.0))
    actor, learner = begun_actor(ENV, model_fn, steps=40, jit=jit)
    first = blocks(actor, 1)["action"]
    actor.set_weights(pack(Weights(learner.scope).read(), {"version": 1}))
    second = blocks(actor, 1)["action"]
    assert not np.array_equal(first, second)
    assert len({tuple(row) for row in first.T}) == ENVS


@pytest.mark.parametrize("noisy", [False, True])
def test_with_xla_it_acts_as_without(noisy: bool) -> None:
    """Also the noise of actions, which follows from the steps that were counted; first priorities see their number, too."""
    found = []
    for jit in ("on", "off"):
        exploration = ConstantExplorationConfig(0.5)
        model_fn = q_model_fn(num_actions=2, noisy=noisy, exploration_config=exploration)
        actor, learner = begun_actor(ENV, model_fn, PrioritizedReplay(200, 4), steps=40, jit=jit)
        give_other_weights(actor, learner)
        actor.collect()
        sent = dict(unpack(actor.collect()[1])[0])
        found.append((sent.pop(PRIORITY), expand(sent)))
        assert int(actor._scope.global_timestep.numpy()) == 2 * 40 * ENVS
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    for name, values in found[0][1].items():
        np.testing.assert_array_equal(values, found[1][1][name], err_msg=name)


class Boards(gymnasium.Env):
    """Noise of 10 x 10 x 4."""

    observation_space = gymnasium.spaces.Box(0, 1, (10, 10, 4), np.bool_)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._board(), {}

    def step(self, action):
        return self._board(), 0.0, False, False, {}

    def _board(self):
        return self.np_random.integers(0, 2, (10, 10, 4)).astype(np.bool_)


def convolving(features, labels, mode):
    def torso(mode, inputs):
        boards = tf.cast(inputs["state"], tf.float32)
        return tf_keras.layers.Flatten()(tf_keras.layers.Conv2D(2, 3)(boards))

    return DQNModel(mode, torso, (10, 10, 4), 2, exploration_config=GreedyExplorationConfig())(features, labels)


def test_xla_is_left_out_where_it_is_slow_unless_it_is_asked_for() -> None:
    env = GymEnvironment(Boards, num_envs=ENVS)
    for model_fn, where, jit, wanted in [
        (convolving, env, "auto", False),
        (convolving, env, "on", True),
        (greedy, ENV, "auto", True),
        (greedy, ENV, "off", False),
    ]:
        assert is_compiled(begun_actor(where, model_fn, jit=jit)[0]) is wanted
