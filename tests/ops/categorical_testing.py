"""What the tests of categorical distributions share: supports, distributions and the projection of the paper as a loop."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

SUPPORTS = {"symmetric": (-2.0, 2.0, 9), "from_zero": (0.0, 3.0, 7), "two_atoms": (-1.0, 4.0, 2), "c51": (-10.0, 10.0, 51)}


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def atoms_of(low: float, high: float, num_atoms: int) -> np.ndarray:
    return np.array([low + i * (high - low) / (num_atoms - 1) for i in range(num_atoms)])


def projection_loop(positions: np.ndarray, probabilities: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Algorithm 1 of Bellemare et al. 2017 in float64; mass exactly at an atom stays there."""
    low, high, last = float(atoms[0]), float(atoms[-1]), len(atoms) - 1
    spacing = (high - low) / last
    result = np.zeros((len(positions), len(atoms)))
    for row in range(len(positions)):
        for position, mass in zip(positions[row], probabilities[row], strict=True):
            index = (min(max(float(position), low), high) - low) / spacing
            lower = min(int(np.floor(index)), last)
            result[row, lower] += mass * (1 - (index - lower))
            if lower < last:
                result[row, lower + 1] += mass * (index - lower)
    return result


def random_distribution(seed: int, rows: int, size: int) -> tf.Tensor:
    return tf.constant(softmax(np.random.default_rng(seed).normal(size=(rows, size))), tf.float32)
