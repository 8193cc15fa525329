"""Small recurrent models, sequences, and a walk through them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from polyrl.models import DQNModel
from polyrl.networks import mlp, recurrent
from polyrl.networks.unrolling import Unroll, unrolling

S, T, UNITS, GAMMA = 4, 6, 5, 0.9
STATE = 2 * UNITS


def build(scope, model_class=DQNModel, mode="train", **arguments):
    with scope.active():
        given = {"discount": GAMMA, "summaries": [], "dueling": None, **arguments}
        return model_class(mode, recurrent(mlp([8]), UNITS), 4, 3, **given)


def sequences(seed=0, window=None, ends=0.25):
    """Features and labels; with a window, of windows that end with their sequence."""
    rng = np.random.default_rng(seed)
    following = rng.normal(size=[S, T, 4]).astype(np.float32)
    state = np.concatenate([rng.normal(size=[S, 1, 4]).astype(np.float32), following[:, :-1]], axis=1)
    done = rng.random([S, T]) < ends / 2
    truncated = (rng.random([S, T]) < ends / 2) & ~done
    # The state after an end is the first of another episode.
    fresh = (done | truncated)[:, :-1, np.newaxis]
    state[:, 1:] = np.where(fresh, rng.normal(size=[S, T - 1, 4]), state[:, 1:])
    single = {
        "action": rng.integers(3, size=[S, T]),
        "reward": rng.normal(size=[S, T]).astype(np.float32),
        "done": done.astype(np.float32),
        "truncated": truncated.astype(np.float32),
        "next_state": following,
        "valid": np.ones([S, T], np.float32),
    }
    memory = rng.normal(size=[S, STATE]).astype(np.float32)
    features = {"state": tf.constant(state, tf.float32), "network_state": tf.constant(memory)}
    return features, {name: tf.constant(value) for name, value in single.items()}


def walk(network, features, labels):
    """For each step: the values of the state, and those of the next state, by a network of its own memory."""
    q, following = np.zeros([S, T, 3]), np.zeros([S, T, 3])
    after = np.zeros([S, T, STATE], np.float32)
    for s in range(S):
        state = features["network_state"][s : s + 1]
        for t in range(T):
            if t > 0 and float(labels["done"][s, t - 1]) + float(labels["truncated"][s, t - 1]) > 0:
                state = tf.zeros_like(state)
            with unrolling(Unroll(state)) as forward:
                q[s, t] = network({"state": features["state"][s, t : t + 1]}).q.numpy()[0]
            state = forward.states
            after[s, t] = state.numpy()[0]
            with unrolling(Unroll(state)):
                following[s, t] = network({"state": labels["next_state"][s, t : t + 1]}).q.numpy()[0]
    return q, following, after
