"""Episodes without learning: for evaluation and for prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polyrl.envs import EnvDriver
from polyrl.estimators.rollout_calls import RolloutCalls

import numpy as np
import tensorflow as tf


def evaluate(calls: RolloutCalls, driver: EnvDriver, episodes: int, seeds: list[int]) -> dict[str, float]:
    """Greedy episodes. Each environment gives a fixed share of them, so that short episodes do not count for more.

    Returns:
        `mean_reward`, `std_reward`, `min_reward`, `max_reward`, `mean_ep_length`, the mean `loss` over the steps taken, and
        the model's eval metrics by name.
    """
    quota = np.full(driver.num_envs, episodes // driver.num_envs)
    quota[: episodes % driver.num_envs] += 1
    rewards, lengths, losses = [], [], []
    for metric in calls.metrics.values():
        metric.reset_state()
    state = driver.reset(seeds)
    actions = calls.greedy(state).numpy()
    while quota.any():
        transitions, finished = driver.step(actions)
        loss, following = calls.measure(transitions, driver.state)
        actions = following.numpy()
        losses.append(float(loss))
        for episode in finished:
            if quota[episode.env] > 0:
                quota[episode.env] -= 1
                rewards.append(episode.reward)
                lengths.append(episode.length)
    return {
        "mean_reward": float(np.mean(rewards)),
        "std_reward": float(np.std(rewards)),
        "min_reward": float(np.min(rewards)),
        "max_reward": float(np.max(rewards)),
        "mean_ep_length": float(np.mean(lengths)),
        "loss": float(np.mean(losses)),
        **{key: value for name, metric in calls.metrics.items() for key, value in _numbers(name, metric.result())},
    }


def _numbers(name: str, result: Any) -> Iterator[tuple[str, float]]:
    """A metric's result by its name; several as `<name>_0`, `<name>_1`, ..."""
    values = np.asarray(result)
    if values.ndim == 0:
        yield name, float(values)
    else:
        yield from ((f"{name}_{index}", float(value)) for index, value in enumerate(values.ravel()))


def predict(
    calls: RolloutCalls, driver: EnvDriver, seeds: list[int], episodes: int | None, steps: int | None
) -> Iterator[dict[str, Any]]:
    """One dict for each step of each environment, until `episodes` have ended or `steps` were taken (both None: for ever).

    Holds the model's predictions for that row (what has no row for each state, as `support`, is given whole), and
    `state`, `reward`, `done`, `truncated`, `episode` (its number, from 0), `env`, and `timestep` (within the episode).
    """
    state = driver.reset(seeds)
    batched = _batched(calls, state)
    number = list(range(driver.num_envs))
    timestep = [0] * driver.num_envs
    started, ended, taken = driver.num_envs, 0, 0
    while True:
        clock = tf.constant(taken, tf.int64)
        predictions = {name: value.numpy() for name, value in calls.predict(state, clock).items()}
        transitions, finished = driver.step(predictions["results"])
        over = {episode.env: episode for episode in finished}
        for env in range(driver.num_envs):
            yield {
                **{name: value[env] if name in batched else value for name, value in predictions.items()},
                "state": transitions.state[env],
                "reward": float(transitions.reward[env]),
                "done": bool(transitions.done[env]),
                "truncated": env in over and over[env].truncated,
                "episode": number[env],
                "env": env,
                "timestep": timestep[env],
            }
            timestep[env] += 1
            taken += 1
            if env in over:
                number[env], timestep[env] = started, 0
                started += 1
                ended += 1
            if (episodes is not None and ended >= episodes) or (steps is not None and taken >= steps):
                return
        state = driver.state


def _batched(calls: RolloutCalls, state: np.ndarray) -> set[str]:
    """Which predictions have one row for each state: those whose first dimension is the unknown batch size."""
    row = tf.TensorSpec([None, *state.shape[1:]], tf.as_dtype(state.dtype))
    outputs = calls.predict.get_concrete_function(row, tf.TensorSpec([], tf.int64)).structured_outputs
    return {name for name, spec in outputs.items() if spec.shape.rank and spec.shape[0] is None}
