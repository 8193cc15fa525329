"""What the tests of NAF's policy share: networks, and their actions and densities by numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from policy_testing import FEATURES, HIGH, LOW

from polyrl.policies import BoundedTensorSpec

BOUNDS = {1: ([-2.0], [2.0]), 2: (LOW, HIGH), 3: ([-1e-3, 5.0, -300.0], [0.5, 7.0, 100.0])}
PLACES = {1: [[0]], 2: [[2], [1, 0]], 3: [[3], [5, 4], [2, 1, 0]]}
"""Which of the free numbers stands where in the triangle, row by row up to the diagonal."""

CASES = [(1, "eager"), (2, "function"), (2, "xla"), (3, "eager"), (3, "xla")]
"""Numbers of dimensions, and how the policy is compiled."""


def spec_of(k: int) -> BoundedTensorSpec:
    return BoundedTensorSpec([k], tf.float32, *BOUNDS[k])


def network_of(k: int, seed: int = 0, spread: float = 0.5) -> tf_keras.Model:
    inputs = tf_keras.Input([FEATURES])
    initializer = tf_keras.initializers.RandomNormal(stddev=spread, seed=seed)
    sizes = (k, k * (k + 1) // 2)
    return tf_keras.Model(
        inputs, [tf_keras.layers.Dense(size, use_bias=False, kernel_initializer=initializer)(inputs) for size in sizes]
    )


def forward(network: tf_keras.Model, observation: Any) -> tuple[np.ndarray, np.ndarray]:
    """The mean `[B, k]` in units of half the range and the triangle `L` `[B, k, k]`, in float64."""
    mean, entries = (np.asarray(observation, np.float64) @ weight.numpy().astype(np.float64) for weight in network.weights)
    k = mean.shape[1]
    triangle = np.zeros([len(mean), k, k])
    for row in range(len(mean)):
        for i, places in enumerate(PLACES[k]):
            for j, place in enumerate(places):
                triangle[row, i, j] = math.exp(entries[row, place]) if i == j else entries[row, place]
    return mean, triangle


def in_own_units(unit: np.ndarray, k: int) -> np.ndarray:
    low, high = (np.array(bound) for bound in BOUNDS[k])
    return low + (unit + 1.0) / 2.0 * (high - low)


def moments(network: tf_keras.Model, observation: Any, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean `[B, k]` and covariance `[B, k, k]` before clipping, in the action's own units."""
    mean, triangle = forward(network, observation)
    k = mean.shape[1]
    half = np.diag((np.array(BOUNDS[k][1]) - np.array(BOUNDS[k][0])) / 2.0)
    covariance = [temperature * half @ np.linalg.inv(each @ each.T) @ half for each in triangle]
    return in_own_units(mean, k), np.array(covariance)


def log_density(action: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> list[float]:
    """Of a normal distribution, row by row."""
    result = []
    for a, mu, each in zip(np.asarray(action, np.float64), mean, covariance, strict=True):
        square = (a - mu) @ np.linalg.inv(each) @ (a - mu)
        result.append(-0.5 * (square + np.linalg.slogdet(2.0 * np.pi * each)[1]))
    return result
