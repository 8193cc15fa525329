"""Losses, targets and masks by hand, for the tests of the models."""

from __future__ import annotations

import numpy as np

GAMMA = 0.9
SMALL = 1e-5
ACTIONS, SIZE = 3, 24
"""Of batches with masks."""


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def huber(error, delta=1.0):
    size = np.abs(error)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def project(positions, probabilities, atoms):
    """Algorithm 1 of Bellemare et al. 2017, loop by loop."""
    projected = np.zeros([len(positions), len(atoms)])
    spacing = atoms[1] - atoms[0]
    for row in range(len(positions)):
        for position, mass in zip(positions[row], probabilities[row], strict=True):
            b = (np.clip(position, atoms[0], atoms[-1]) - atoms[0]) / spacing
            b = min(max(b, 0.0), len(atoms) - 1.0)
            low, high = int(np.floor(b)), int(np.ceil(b))
            if low == high:
                projected[row, low] += mass
            else:
                projected[row, low] += mass * (high - b)
                projected[row, high] += mass * (b - low)
    return projected


def numpy_losses(kind, online, next_online, next_target, labels, gamma, loss=huber):
    """The loss of each row, out of what the networks give for the states and the next states."""
    labels = {key: np.asarray(value, np.float64) for key, value in labels.items()}
    rows, action = np.arange(len(labels["reward"])), labels["action"].astype(int)
    discount = labels.get("discount", gamma) * (1.0 - labels["done"])
    if not kind.categorical:
        q, next_q = np.asarray(online.q, np.float64), np.asarray(next_target.q, np.float64)
        best = np.argmax(next_online.q if kind.double else next_q, axis=1)
        return loss(labels["reward"] + discount * next_q[rows, best] - q[rows, action])
    low, high, number = (kind.arguments[key] for key in ("min_q_value", "max_q_value", "num_atoms"))
    atoms = np.linspace(low, high, number)
    next_probabilities = softmax(np.asarray(next_target.logits, np.float64))
    selector = softmax(np.asarray(next_online.logits, np.float64)) if kind.double else next_probabilities
    best = np.argmax(selector @ atoms, axis=1)
    positions = labels["reward"][:, None] + np.broadcast_to(discount, rows.shape)[:, None] * atoms[None]
    target = project(positions, next_probabilities[rows, best], atoms)
    chosen = softmax(np.asarray(online.logits, np.float64))[rows, action]
    return -(target * np.log(chosen)).sum(axis=1)


def updating(model):
    """One update as a function of a batch, which gives the loss before it."""

    def update(features, labels):
        spec = model(features, labels)
        spec.train_op()
        return spec.loss

    return update


def random_masks(seed: int, size: int = SIZE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = rng.random([size, ACTIONS]) < 0.4
    mask[np.arange(size), rng.integers(ACTIONS, size=size)] = True
    return mask.astype(np.int8)


def targets_of(model, features, labels):
    """The TD targets `[B]` of a call, and what it returns."""
    found = []
    build = model._build_td_loss

    def noted(batch, forward):
        found.append(build(batch, forward))
        return found[-1]

    model._build_td_loss = noted
    spec = model(features, labels)
    del model._build_td_loss
    return found[0].target, spec
