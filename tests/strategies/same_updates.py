"""The same updates by one learner and by several: `same_updates.py <strategy> <count> <model> ...`, a JSON line each.

With `multi_worker` it is one of the processes of `TF_CONFIG`, and the chief prints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "models"), str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras  # noqa: E402
from family_testing import FAMILY  # noqa: E402
from recurrent_testing import sequences  # noqa: E402

import polyrl  # noqa: F401, E402  Before TensorFlow.
from polyrl.configs import AdamConfig  # noqa: E402
from polyrl.engine.tracing import traced  # noqa: E402
from polyrl.estimators.strategies import Learnt, strategy_of  # noqa: E402
from polyrl.estimators.strategies.taking_part import all_variables  # noqa: E402
from polyrl.estimators.strategies.workers import Workers  # noqa: E402
from polyrl.estimators.training_result import TrainingResult  # noqa: E402
from polyrl.models import CategoricalDQNModel, DDQNModel, DQNModel, NAFModel, PQNModel, Scope  # noqa: E402
from polyrl.networks import RunningNormalization, mlp, recurrent  # noqa: E402
from polyrl.replay import UniformReplay  # noqa: E402

ROWS, UPDATES, ACTIONS = 24, 100, 3


def normalized(mode, inputs):
    return tf_keras.layers.Dense(8, "relu")(RunningNormalization()(inputs["state"]))


class Counted(tf_keras.layers.Dense):
    """Counts its updates."""

    def build(self, shape):
        super().build(shape)
        self.passes = self.add_weight(name="passes", shape=[], dtype="int64", initializer="zeros", trainable=False)

    def call(self, inputs, training=None):
        if training:
            self.passes.assign_add(1)
        return super().call(inputs)


def counted(mode, inputs):
    return Counted(8, "relu")(inputs["state"])


def embedded(mode, inputs):
    return tf_keras.layers.Flatten()(tf_keras.layers.Embedding(5, 4)(tf.cast(inputs["state"] > 0, tf.int32)))


MODELS = {
    **{name: (kind, mlp([8]), arguments) for name, (kind, arguments) in FAMILY.items()},
    "dqn": (DQNModel, mlp([8]), {}),
    "ddqn": (DDQNModel, mlp([8]), {}),
    "c51": (CategoricalDQNModel, mlp([8]), {"num_atoms": 11, "min_q_value": -2.0, "max_q_value": 2.0}),
    "naf": (NAFModel, mlp([8]), {}),
    "demonstrations": (DQNModel, mlp([8]), {"use_expert_demo": True}),
    "windows": (DQNModel, mlp([8]), {"double": True}),
    "normalized": (DQNModel, normalized, {}),
    "counted": (DQNModel, counted, {}),
    "embedded": (DQNModel, embedded, {"clip_embed_gradients": 0.01}),
    "large": (DQNModel, mlp([200, 200]), {}),  # Some variables are too large to be packed.
    "recurrent": (DQNModel, recurrent(mlp([8]), 5), {}),
    "pqn": (PQNModel, mlp([8]), {"trace_decay": 0.7}),
}


def batch(name, seed):
    """Features and labels `[B, ...]`; of sequences `[S, T, ...]`, in which the steps that hold something are not as many in
    each sequence."""
    rng = np.random.default_rng(seed)
    if name in ("recurrent", "pqn"):
        features, labels = sequences(seed)
        valid = np.ones(labels["valid"].shape, np.float32)
        valid[0, 3:] = 0.0
        labels = {**labels, "action": tf.cast(labels["action"], tf.int32), "valid": tf.constant(valid)}
        if name == "pqn":
            return {"state": features["state"]}, labels
        return features, {**labels, "weights": tf.constant(rng.random(valid.shape), tf.float32)}
    normal = rng.normal(size=[2, ROWS, 4]).astype(np.float32)
    shape = [ROWS, 3] if name == "windows" else [ROWS]
    action = rng.uniform(-1, 1, [ROWS, ACTIONS]).astype(np.float32) if name == "naf" else rng.integers(ACTIONS, size=ROWS)
    labels = {
        "action": action if name == "naf" else action.astype(np.int32),
        "reward": 3.0 * rng.normal(size=shape).astype(np.float32),
        "done": (rng.random(shape) < 0.2).astype(np.float32),
        "next_state": normal[1],
        "weights": rng.random(ROWS).astype(np.float32),
    }
    if name == "demonstrations":
        labels["expert"] = (rng.random(ROWS) < 0.3).astype(np.float32)
    return {"state": tf.constant(normal[0])}, {key: tf.constant(value) for key, value in labels.items()}


def learner(name):
    """A scope, what a model finds in rows, and how many priorities a batch has."""
    scope = Scope(7)
    kind, torso, arguments = MODELS[name]
    # A larger epsilon: Adam would make a step of the usual size out of the rounding of a gradient that is zero.
    common = {"optimizer_config": AdamConfig(1e-2, epsilon=1e-2), "discount": 0.9, "target_update_frequency": 7}
    if name == "pqn":
        del common["target_update_frequency"]

    def compute(features, labels):
        with scope.active():
            spec = kind("train", torso, 4, ACTIONS, summaries=[], **{**common, **arguments})(features, labels)
        found = spec.extra_ops.get("priorities")
        return Learnt(spec.train_op, spec.loss, spec.predictions["losses"] if found is None else found)

    return scope, compute


def updating(scope, compute, name, strategy=None):
    """The traced update, whose variables exist."""

    def alone(features, labels):
        compute(features, labels).train_op()

    traced(alone).get_concrete_function(*batch(name, 0))

    def shared(features, labels):
        learnt = strategy.learn(compute, features, labels, scope.global_timestep)
        learnt.train_op()
        return learnt.loss, learnt.priorities

    def whole(features, labels):
        learnt = compute(features, labels)
        learnt.train_op()
        return learnt.loss, learnt.priorities

    return traced(whole if strategy is None else shared)


def values(scope):
    return [variable.numpy() for variable in all_variables(scope)]


def distance(first, second):
    """The largest difference of two lists of arrays, in units of 1 and of their size."""
    differences = [np.abs(a - b) / (1.0 + np.abs(b)) for a, b in zip(first, second, strict=True)]
    return float(max(np.max(each, initial=0.0) for each in differences))


def moved(first, second):
    """How far the weights are that moved least, of those that the optimizer moves."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a.dtype == np.float32 and not np.array_equal(a, b)]
    return float(min(np.max(np.abs(a - b)) for a, b in pairs))


def main(kind, count, names):
    if kind == "mirrored":
        devices = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
    for name in names:
        strategy = strategy_of(kind, UniformReplay(100, 24), lambda line: None)
        assert strategy.count == count
        scope, compute = learner(name)
        if isinstance(strategy, Workers) and not strategy.leads:
            strategy.about()
            strategy.answer(True)
            traced(lambda *rows: compute(*rows).train_op()).get_concrete_function(*batch(name, 0))  # noqa: B023
            rows = tuple(
                {key: tf.TensorSpec([v.shape[0] // count, *v.shape[1:]], v.dtype) for key, v in part.items()}
                for part in batch(name, 0)
            )
            for variable in all_variables(scope):  # It takes the chief's.
                variable.assign(tf.zeros_like(variable))
            strategy.follow(compute, rows, all_variables(scope), scope.global_timestep)
            print(json.dumps({"name": name, "values": [float(np.abs(v).sum(dtype=np.float64)) for v in values(scope)]}))
            continue
        reference, alone = learner(name)
        one, several = updating(reference, alone, name), updating(scope, compute, name, strategy)
        start = [variable.numpy() for variable in scope.variables]
        several.get_concrete_function(*batch(name, 0))
        context = strategy.leading({}, all_variables(scope)) if isinstance(strategy, Workers) else None
        say = None if context is None else context.__enter__()
        losses = priorities = 0.0
        for seed in range(UPDATES):
            wanted, found = one(*batch(name, seed)), several(*batch(name, seed))
            losses = max(losses, distance([found[0].numpy()], [wanted[0].numpy()]))
            priorities = max(priorities, distance([found[1].numpy()], [wanted[1].numpy()]))
        if context is not None:
            say(TrainingResult(UPDATES, 0, 0, "end", None, Path("none")))
            context.__exit__(None, None, None)
        result = {"losses": losses, "priorities": priorities, "variables": distance(values(scope), values(reference))}
        result |= {
            "moved": moved([variable.numpy() for variable in scope.variables], start),
            "updates": int(scope.global_step.numpy()),
        }
        sums = [float(np.abs(v).sum(dtype=np.float64)) for v in values(scope)]
        print(json.dumps({"name": name, **result, "values": sums}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
