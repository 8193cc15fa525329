"""What the tests of the policies share: specs, time steps, and small networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from polyrl import policies
from polyrl.policies import BoundedTensorSpec, CategoricalQPolicy, NAFPolicy, QPolicy, StepType, TimeStep

ACTIONS, ATOMS, FEATURES, ROWS = 3, 5, 4, 6
SPEC = policies.time_step_spec(tf.TensorSpec([FEATURES], tf.float32))
ACTION = BoundedTensorSpec((), tf.int32, 0, ACTIONS - 1, "action")
LOW, HIGH = (-2.0, 0.0), (2.0, 10.0)
CONTINUOUS = BoundedTensorSpec([2], tf.float32, LOW, HIGH, "action")
NESTED = policies.time_step_spec({"image": tf.TensorSpec([2, 2], tf.uint8), "place": (tf.TensorSpec([3], tf.float32),)})
MASK = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1], [1, 0, 1], [0, 1, 0]])
WRAPS = {"eager": lambda function: function, "function": tf.function}
COMPILATIONS = {**WRAPS, "xla": lambda function: tf.function(function, jit_compile=True)}


class Logits(tf.Module):
    """Gives the same logits `[B, A, N]` for every observation."""

    num_atoms = ATOMS

    def __init__(self, logits: Any):
        super().__init__()
        self.logits = tf.Variable(np.asarray(logits, np.float32))

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
        rows = tf.shape(tf.nest.flatten(observation)[0])[0]
        return tf.repeat(self.logits[tf.newaxis], rows, axis=0), network_state


class Counter(tf.Module):
    """Recurrent: counts the steps of each episode, and values action `i` by how near `i` is to the count."""

    state_spec = {"count": tf.TensorSpec([], tf.float32), "sums": (tf.TensorSpec([2], tf.float32),)}

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
        count = network_state["count"] + 1.0
        sums = network_state["sums"][0] + observation[:, :2]
        return -tf.abs(tf.range(float(ACTIONS)) - count[:, tf.newaxis]), {"count": count, "sums": (sums,)}


class Recurrent(tf_keras.Model):
    """A tf-keras model with a GRU cell, called with its state."""

    num_atoms = ATOMS

    def __init__(self) -> None:
        super().__init__()
        self.cell = tf_keras.layers.GRUCell(8)
        self.head = tf_keras.layers.Dense(ACTIONS * ATOMS)
        self.state_spec = [tf.TensorSpec([8], tf.float32)]  # tf-keras wraps this list.

    def call(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
        outputs, state = self.cell(observation, network_state)
        return tf.reshape(self.head(outputs), [-1, ACTIONS, ATOMS]), list(state)


class Halving(tf.Module):
    """Not a tf-keras layer: it holds a tf-keras model, halves its output, and counts the steps of each episode."""

    num_atoms = ATOMS

    def __init__(self, model: tf_keras.Model):
        super().__init__()
        self.model = model
        self.factor = tf.Variable(0.5, trainable=False)
        self.state_spec = {"steps": [tf.TensorSpec([], tf.int32)]}  # tf.Module wraps these containers.

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
        return halves(self.model(observation), self.factor), {"steps": [network_state["steps"][0] + 1]}


def halves(output: Any, factor: Any = 0.5) -> Any:
    return tf.nest.map_structure(lambda part: part * factor, output)


def q_model(seed: int = 0) -> tf_keras.Model:
    """Action values, by a model that has variables of both kinds."""
    dense = tf_keras.layers.Dense(ACTIONS, kernel_initializer=tf_keras.initializers.RandomNormal(seed=seed))
    return tf_keras.Sequential([tf_keras.Input([FEATURES]), tf_keras.layers.BatchNormalization(), dense])


def atoms_model(seed: int = 0) -> tf_keras.Model:
    """Logits `[B, A, N]`, by a plain tf-keras model with the attribute `num_atoms`."""
    initializer = tf_keras.initializers.RandomNormal(seed=seed)
    layers = [
        tf_keras.Input([FEATURES]),
        tf_keras.layers.BatchNormalization(),
        tf_keras.layers.Dense(ACTIONS * ATOMS, kernel_initializer=initializer),
        tf_keras.layers.Reshape([ACTIONS, ATOMS]),
    ]
    model = tf_keras.Sequential(layers)
    model.num_atoms = ATOMS
    return model


def naf_model(seed: int = 0) -> tf_keras.Model:
    """Mean `[B, 2]` within [-1, 1] and scale `[B, 3]`, by a plain tf-keras model with two outputs."""
    initializer = tf_keras.initializers.RandomNormal(stddev=0.5, seed=seed)
    inputs = tf_keras.Input([FEATURES])
    mean = tf_keras.layers.Dense(2, "softsign", kernel_initializer=initializer, name="mean")(inputs)
    return tf_keras.Model(inputs, [mean, tf_keras.layers.Dense(3, kernel_initializer=initializer, name="scale")(inputs)])


def steps(step_type: int = StepType.FIRST, rows: int = ROWS) -> TimeStep:
    observation = tf.constant(np.random.default_rng(0).normal(size=(rows, FEATURES)), tf.float32)
    return TimeStep.restart(observation, rows)._replace(step_type=tf.fill([rows], step_type))


def categorical(network: Any = None, **arguments: Any) -> CategoricalQPolicy:
    network = Logits(np.random.default_rng(1).normal(size=(ACTIONS, ATOMS))) if network is None else network
    return CategoricalQPolicy(SPEC, ACTION, network, -2.0, 2.0, **arguments)


def masked(mask: np.ndarray = MASK, **arguments: Any) -> CategoricalQPolicy:
    return categorical(observation_and_action_constraint_splitter=lambda each: (each, tf.constant(mask)), **arguments)


def counting(**arguments: Any) -> QPolicy:
    return QPolicy(SPEC, ACTION, Counter(), **arguments)


def naf(network: Any = None, **arguments: Any) -> NAFPolicy:
    return NAFPolicy(SPEC, CONTINUOUS, naf_model() if network is None else network, **arguments)


def probabilities(policy: policies.BasePolicy, step: TimeStep | None = None, state: Any = ()) -> np.ndarray:
    return policy.distribution(steps() if step is None else step, state).action.probs_parameter().numpy()


def nested(**changes: Any) -> TimeStep:
    """Steps by `NESTED`, with other entries of the observation; None leaves one out."""
    observation = {"image": tf.zeros([ROWS, 2, 2], tf.uint8), "place": (tf.zeros([ROWS, 3]),), **changes}
    return TimeStep.restart({name: value for name, value in observation.items() if value is not None}, ROWS)


def nested_policy(**arguments: Any) -> CategoricalQPolicy:
    return CategoricalQPolicy(NESTED, ACTION, Logits(np.zeros((ACTIONS, ATOMS))), -1.0, 1.0, **arguments)
