"""Small NAF models, and what their weights say, by hand."""

from __future__ import annotations

import math

import numpy as np

from polyrl.models import NAFModel, Scope
from polyrl.networks import mlp

K, ROWS, STATES = 2, 6, 4
LOW, HIGH = [-2.0, 0.0], [2.0, 10.0]
BOUNDS = {"action_low": LOW, "action_high": HIGH}
PLACES = {1: [[0]], 2: [[2], [1, 0]], 3: [[3], [5, 4], [2, 1, 0]]}
"""Of the free numbers in the triangle, see tests/ops/test_naf_ops.py."""


def naf(mode="train", scope=None, k=K, **arguments):
    given = {"summaries": [], **(BOUNDS if k == K else {}), **arguments}
    with (Scope() if scope is None else scope).active():
        return NAFModel(mode, mlp([8]), STATES, k, **given)


def forward(network, state):
    """Mean in units of half the range, value and triangle, out of the weights alone, `k` from their shapes."""
    weights = {label: v.numpy().astype(np.float64) for label, v in network.labelled_variables().items()}

    def dense(x, name):
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    hidden = np.maximum(dense(np.asarray(state, np.float64), "dense"), 0.0)
    raw = dense(hidden, "mean")
    mean = raw / (1.0 + abs(raw))
    entries = dense(hidden, "scale")
    k = mean.shape[1]
    triangle = np.zeros([len(mean), k, k])
    for row in range(len(mean)):
        for i, places in enumerate(PLACES[k]):
            for j, place in enumerate(places):
                triangle[row, i, j] = math.exp(entries[row, place]) if i == j else entries[row, place]
    return mean, dense(hidden, "value")[:, 0], triangle


def advantages(network, state, action, low=LOW, high=HIGH):
    """`-1/2 |L^T (a - mean)|^2`, the action brought from its range to [-1, 1]."""
    mean, _, triangle = forward(network, state)
    result = []
    for row in range(len(mean)):
        unit = [2.0 * (a - lo) / (hi - lo) - 1.0 for a, lo, hi in zip(np.asarray(action)[row], low, high, strict=True)]
        difference = np.array(unit) - mean[row]
        result.append(-0.5 * sum((triangle[row][:, column] @ difference) ** 2 for column in range(len(difference))))
    return np.array(result)


def rescaled(mean, low=LOW, high=HIGH):
    return np.array(low) + (mean + 1.0) / 2.0 * (np.array(high) - np.array(low))
