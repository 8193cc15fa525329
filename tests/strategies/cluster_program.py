"""Small runs, of one process or of several: `cluster_program.py <strategy> <directory> <environment steps> [key=value ...]`.

It prints the result, and the sums of all variables, as a JSON line. `kind` says what is trained, kinds that are joined by `+`
one after another; options that begin with `worker_` give a worker another setting; `fails_at` has the environment fail;
`breaks` has the chief's model fail in an update.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras  # noqa: E402
from tiny_envs import ChainEnv  # noqa: E402

import polyrl  # noqa: F401, E402  Before TensorFlow.
from polyrl.demos import DemoEpisode, Demonstrations  # noqa: E402
from polyrl.distributed import RemoteActors, RemoteReplay  # noqa: E402
from polyrl.envs import GymEnvironment  # noqa: E402
from polyrl.envs.compiled import CartPole  # noqa: E402
from polyrl.estimators import Agent, RunConfig  # noqa: E402
from polyrl.estimators.hooks import EvaluationHook, Hook  # noqa: E402
from polyrl.estimators.strategies.taking_part import all_variables  # noqa: E402
from polyrl.models import CategoricalDQNModel, DQNModel, PQNModel  # noqa: E402
from polyrl.networks import mlp, recurrent  # noqa: E402
from polyrl.replay import PrioritizedReplay, PrioritizedSequenceReplay, RolloutMemory, UniformReplay  # noqa: E402

SUPPORT = {"min_q_value": 0.0, "max_q_value": 20.0, "num_atoms": 11}


class Failing(ChainEnv):
    """Fails at some step."""

    def __init__(self, fails_at):
        super().__init__()
        self.left = fails_at

    def step(self, action):
        self.left -= 1
        if self.left == 0:
            raise ZeroDivisionError("the robot's arm is off")
        return super().step(action)


class Begun(Hook):
    """Says when the first step has been taken."""

    said = False

    def after_act(self, run):
        if not self.said:
            self.said = True
            print("begun", file=sys.stderr, flush=True)


def demonstrations():
    """Four episodes of ten steps."""
    rng = np.random.default_rng(0)
    numbers = [(rng.normal(size=[11, 4]).astype(np.float32), rng.integers(2, size=10)) for _ in range(4)]
    return Demonstrations([DemoEpisode(state, action, np.ones(10, np.float32), True, False) for state, action in numbers])


def half(mode, features):
    """Variables of two dtypes."""
    hidden = tf_keras.layers.Dense(8, "relu", dtype="bfloat16")(features["state"])
    return tf.cast(tf_keras.layers.Dense(8, dtype="float32")(tf.cast(hidden, tf.float32)), tf.float32)


class Breaks(DQNModel):
    """Fails in its 51st update, unless there is another limit."""

    LIMIT = 50

    def _build_loss(self, results, features, labels):
        with tf.control_dependencies([tf.debugging.assert_less(self._scope.global_step, tf.constant(self.LIMIT, tf.int64))]):
            return tf.nest.map_structure(tf.identity, super()._build_loss(results, features, labels))


def parts(kind, units, breaks=False):
    """The model_fn, the memory, the environment, and how to train."""
    model, torso, memory = CategoricalDQNModel, mlp([units]), PrioritizedReplay(500, 12, n_step=3)
    arguments = dict(SUPPORT)
    env, how = CartPole(num_envs=2), {"first_update": 20, "update_frequency": 2}
    if kind == "python":
        env = GymEnvironment("CartPole-v1", num_envs=2)
    elif kind == "bursts":
        env, how = GymEnvironment("CartPole-v1"), {"first_update": 20, "update_frequency": 10, "updates_at_once": 7}
    elif kind == "period":
        env, arguments = GymEnvironment("CartPole-v1", num_envs=2), {**SUPPORT, "target_update_timesteps": 90}
    elif kind == "bfloat16":
        torso = half
    elif kind == "dqn":
        model, arguments = DQNModel, {}
    elif kind == "recurrent":
        model, torso, arguments = DQNModel, recurrent(mlp([units]), 5), {"dueling": None}
        memory = PrioritizedSequenceReplay(500, 24, sequence_length=4, stride=2)
    elif kind == "pqn":
        model, arguments, memory = PQNModel, {}, RolloutMemory(40, 40)
        how = {"first_update": 0, "update_frequency": 40, "updates_at_once": 12}
    elif kind == "demonstrations":
        arguments["use_expert_demo"] = True
        memory, how = UniformReplay(500, 12, demonstrations=demonstrations()), {**how, "pretrain_updates": 30}
    elif kind == "actors":
        env, memory = RemoteActors(GymEnvironment("CartPole-v1"), 2, steps=10, in_process=True), RemoteReplay(memory)

    if breaks:
        model, arguments = Breaks, {}

    def model_fn(features, labels, mode):
        period = {} if "target_update_timesteps" in arguments else {"target_update_frequency": 7}
        return model(mode, torso, 4, 2, **period, **arguments)(features, labels)

    return model_fn, memory, env, how


def main(strategy, directory, timesteps, options):
    if strategy == "mirrored":
        devices = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
    is_worker = '"index": 1' in os.environ.get("TF_CONFIG", "")
    if is_worker:
        Breaks.LIMIT = 10**9
    kinds = options.get("kind", "graph").split("+")
    for kind in kinds:
        own = {key.removeprefix("worker_"): value for key, value in options.items() if key.startswith("worker_") and is_worker}
        model_fn, memory, env, how = parts(own.get("kind", kind), int(own.get("units", 8)), "breaks" in options)
        if "batch" in own:
            memory = PrioritizedReplay(500, int(own["batch"]), n_step=3)
        if own.get("memory", options.get("memory")) == "uniform":
            memory = UniformReplay(500, 12, n_step=3)
        if "fails_at" in options:
            env = GymEnvironment(lambda: Failing(int(options["fails_at"])))
        config = RunConfig(
            seed=int(own.get("seed", 3)),
            strategy=strategy,
            progress="progress" in options,
            check_env=False,
            save_checkpoints_timesteps=int(options.get("every", 200)),
            max_overhead=None,
            save_summary_timesteps=100,
        )
        agent = Agent(model_fn, memory, Path(directory) / kind, config)
        hooks = [Begun(), *([] if "fails_at" in options else [EvaluationHook(GymEnvironment("CartPole-v1"), 300, episodes=1)])]
        result = agent.train(env, max_timesteps=timesteps, hooks=hooks, **how)
        sums = [float(np.abs(v.numpy()).sum(dtype=np.float64)) for v in all_variables(agent._scope)]
        counters = [result.global_step, result.global_timestep, result.global_episode]
        shown = {"kind": kind, "counters": counters, "reason": result.stop_reason, "checkpoint": str(result.checkpoint)}
        print(json.dumps({**shown, "sums": sums}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), dict(each.split("=") for each in sys.argv[4:]))
