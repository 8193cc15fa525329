"""Actors and shards in the test's own process, and what is needed to make them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tiny_agents import q_model_fn

from polyrl import Agent, RunConfig
from polyrl.distributed import RemoteActors, RemoteReplay
from polyrl.distributed.actor import Actor, ActorTask
from polyrl.distributed.shard import ReplayShard, ShardTask
from polyrl.distributed.weights import Weights
from polyrl.distributed.wire import pack, unpack
from polyrl.envs import EnvDriver, GymEnvironment, Transitions, open_env
from polyrl.estimators.inputs import spec_of_states
from polyrl.estimators.loops.learner import Learner
from polyrl.estimators.model_fn import bind
from polyrl.models.scope import Scope
from polyrl.replay import Replay, UniformReplay

STEPS, ENVS = 5, 2


def an_agent(model_dir: Path, shards: int = 2, **settings: Any) -> Agent:
    """It learns on `ChainEnv`, from shards; the settings are those of its `RunConfig`."""
    memory = RemoteReplay(UniformReplay(4_000, 16), shards=shards)
    config = RunConfig(progress=False, jit="off", **settings)
    return Agent(q_model_fn(num_states=4, num_actions=2), memory, model_dir, config)


def learner_of(env: Any, model_fn: Any, memory: Replay, seed: int = 1) -> Learner:
    """A learner that acts in such an environment; its scope has the weights."""
    learner = Learner(bind(model_fn, {}, None), Scope(seed), memory)
    with open_env(env, 1) as opened:
        driver = EnvDriver(opened)
        driver.reset([0])
        spec = spec_of_states(driver.state, opened.single_observation_space)
        learner.build_acting(spec, env.num_envs, driver.action_spec)
    return learner


def begun_actor(
    env: GymEnvironment,
    model_fn: Any = None,
    memory: Replay | None = None,
    index: int = 0,
    actors: int = 1,
    steps: int = STEPS,
    jit: str = "off",
) -> tuple[Actor, Learner]:
    """An actor with the weights of a learner."""
    model_fn = q_model_fn() if model_fn is None else model_fn
    memory = UniformReplay(100, 4) if memory is None else memory
    learner = learner_of(env, model_fn, memory)
    actor = Actor(ActorTask(learner.model_fn, env, memory, 1, actors, steps, jit), index)
    actor.begin("0/0", pack(Weights(learner.scope).read(), {"version": 0}))
    return actor, learner


def give_other_weights(actor: Actor, learner: Learner, seed: int = 0) -> None:
    """Both the same random weights, with online and target networks that differ."""
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.normal(size=values.shape).astype(np.float32) if values.dtype == np.float32 else values
        for name, values in Weights(learner.scope).read().items()
    }
    actor.set_weights(pack(weights, {"version": 0}))
    Weights(learner.scope).assign(weights)


def shard_of(
    memory: Replay, actors: int = 2, num_envs: int = ENVS, state: tuple[int, ...] = (4,), begins: bool = True
) -> ReplayShard:
    """A shard of all actors, for states of this shape and discrete actions."""
    number, action = tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int32)
    spec = tf.TensorSpec(state, tf.float32)
    specs = Transitions(spec, action, number, number, number, spec).columns()
    shard = ReplayShard(ShardTask(memory, specs, num_envs, actors, 1), 0, range(actors))
    if begins:
        shard.begin()
    return shard


def status(packed: bytes) -> dict[str, Any]:
    return unpack(packed)[1]


def with_loops(actors: RemoteActors) -> list[Any]:
    """The loops that runs with these actors open, as they open them."""
    loops: list[Any] = []
    open_loop = actors.open_loop

    @contextlib.contextmanager
    def opened(*arguments: Any) -> Iterator[Any]:
        with open_loop(*arguments) as loop:
            loops.append(loop)
            yield loop

    actors.open_loop = opened  # type: ignore[method-assign]
    return loops


def rows_of(columns: dict[str, np.ndarray], *names: str) -> set[tuple[float, ...]]:
    """The transitions of columns `[..., ]` with two leading axes, each as a tuple of the named columns' numbers."""
    flat = [np.reshape(columns[name], [-1, *columns[name].shape[2:]]) for name in names]
    return {tuple(np.concatenate([np.ravel(values[row]) for values in flat]).tolist()) for row in range(len(flat[0]))}
