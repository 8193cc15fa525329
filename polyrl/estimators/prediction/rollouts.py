"""Episodes without learning: for evaluation and for prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.demos import DemoEpisode
from polyrl.envs import EnvDriver
from polyrl.envs.observations import as_features
from polyrl.estimators.prediction.rollout_calls import RolloutCalls
from polyrl.estimators.prediction.waiting import Waiting
from polyrl.models.features import NETWORK_STATE

OWN = ("index", "reward", "done", "truncated", "episode", "env", "timestep")
"""What a row of `predict` has in addition to the predictions and the state."""


def evaluate(calls: RolloutCalls, driver: EnvDriver, episodes: int, check: Callable[[], None]) -> dict[str, float]:
    """Greedy episodes. Each environment gives a fixed share of them, so that short episodes do not count for more.

    The driver has been reset. `check()` is called before each step, and ends the evaluation if it raises.

    Returns:
        `mean_reward`, `std_reward`, `min_reward`, `max_reward`, `mean_ep_length`, of how many `episodes` they are, the mean
        `loss` over the steps taken, and the model's eval metrics by name.
    """
    quota = _quota(driver.num_envs, episodes)
    rewards, lengths, losses = [], [], []
    for metric in calls.metrics.values():
        metric.reset_state()
    before = calls.first(driver.num_envs)
    calls.begun = tf.nest.map_structure(np.copy, driver.state)
    actions, network_state = calls.greedy(driver.state, before)
    waiting = Waiting("Evaluation", episodes)
    while quota.any():
        check()
        transitions, finished = driver.step(actions.numpy())
        present = calls.following(network_state, transitions.ended)
        loss, actions, network_state = calls.measure(transitions, before, driver.state, present)
        before = present
        losses.append(float(loss))
        for episode in finished:
            if quota[episode.env] > 0:
                quota[episode.env] -= 1
                rewards.append(episode.reward)
                lengths.append(episode.length)
        waiting.step(driver.num_envs, len(rewards))
    return {
        "mean_reward": float(np.mean(rewards)),
        "std_reward": float(np.std(rewards)),
        "min_reward": float(np.min(rewards)),
        "max_reward": float(np.max(rewards)),
        "mean_ep_length": float(np.mean(lengths)),
        "episodes": episodes,
        "loss": float(np.mean(losses)),
        **{key: value for name, metric in calls.metrics.items() for key, value in _numbers(name, metric.result())},
    }


def _quota(num_envs: int, episodes: int) -> np.ndarray:
    """How many of the episodes each environment gives, int `[N]`."""
    quota = np.full(num_envs, episodes // num_envs)
    quota[: episodes % num_envs] += 1
    return quota


def _numbers(name: str, result: Any) -> Iterator[tuple[str, float]]:
    """A metric's result by its name; several as `<name>_0`, `<name>_1`, ..."""
    values = np.asarray(result)
    if values.ndim == 0:
        yield name, float(values)
    else:
        yield from ((f"{name}_{index}", float(value)) for index, value in enumerate(values.ravel()))


def record(calls: RolloutCalls, driver: EnvDriver, episodes: int) -> list[DemoEpisode]:
    """Greedy episodes with all that happened in them, a fixed share from each environment, as in `evaluate`.

    Raises:
        TypeError: for states that are dicts, or have masks of legal actions, or for continuous actions.
    """
    if driver.action_spec.shape:
        raise TypeError(
            f"The environment's actions are {driver.action_spec.dtype.name} {tuple(driver.action_spec.shape)}; demonstrations "
            "hold discrete ones. Use an environment with a Discrete action space."
        )
    if isinstance(driver.state, dict):
        raise TypeError(
            f"The states are dicts of {sorted(driver.state)}; demonstrations hold an array for each state. Use an environment "
            "without masks that observes a Box or a Discrete."
        )
    quota = _quota(driver.num_envs, episodes)
    recorded: list[DemoEpisode] = []
    running: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in range(driver.num_envs)]
    firsts = [driver.state[env] for env in range(driver.num_envs)]
    remembered = calls.first(driver.num_envs)
    waiting = Waiting("Recording", episodes)
    while quota.any():
        actions, network_state = calls.greedy(driver.state, remembered)
        transitions, _ = driver.step(actions.numpy())
        remembered = calls.following(network_state, transitions.ended)
        for env in np.flatnonzero(quota):
            running[env].append((transitions.next_state[env], transitions.action[env], transitions.reward[env]))
            terminated, truncated = transitions.done[env] > 0.0, transitions.truncated[env] > 0.0
            if terminated or truncated:
                next_states, actions, rewards = (np.array(column) for column in zip(*running[env], strict=True))
                observations = np.concatenate([firsts[env][np.newaxis], next_states])
                recorded.append(DemoEpisode(observations, actions, rewards, bool(terminated), bool(truncated)))
                running[env], firsts[env] = [], driver.state[env]
                quota[env] -= 1
        waiting.step(driver.num_envs, len(recorded))
    return recorded


def predict(calls: RolloutCalls, driver: EnvDriver, episodes: int | None, steps: int | None) -> Iterator[dict[str, Any]]:
    """One dict for each step of each environment, until `episodes` have ended or `steps` were taken (both None: for ever).

    Holds the model's predictions for that row (what has no row for each state, as `support`, is given whole), `results`, the
    action as the environment takes it, `index` (a discrete action counted from 0: where it stands in `q`), `state` (with the
    other keys of a state that is a dict beside it) as the environment returned it, `reward`, `done`, `truncated`, `episode`
    (its number, from 0), `env`, and `timestep` (within the episode). The driver has been reset.

    Raises:
        ValueError: for a prediction by the name of something else in the row.
    """
    keys = as_features(driver.state).keys()
    taken_names = sorted({*OWN, *keys} & calls.predict.outputs.keys())
    if taken_names:
        raise ValueError(
            f"predictions[{taken_names[0]!r}] would be lost: a row of predict has by this name what the environment gives. "
            "Return it from model_fn by another name."
        )
    batched = {name for name, spec in calls.predict.outputs.items() if spec.shape.rank and spec.shape[0] is None}
    number = list(range(driver.num_envs))
    timestep = [0] * driver.num_envs
    started, ended, taken = driver.num_envs, 0, 0
    discrete, first = not driver.action_spec.shape, driver.first_action
    remembered = calls.first(driver.num_envs)
    waiting = None if episodes is None else Waiting("Prediction", episodes)
    while True:
        predictions = {name: value.numpy() for name, value in calls.predict(driver.state, remembered).items()}
        transitions, finished = driver.step(predictions["results"])
        remembered = calls.following(predictions.pop(NETWORK_STATE, None), transitions.ended)
        last = {episode.env: episode for episode in finished}
        if waiting is not None:
            waiting.step(driver.num_envs, ended)
        for env in range(driver.num_envs):
            row = {name: value[env] if name in batched else value for name, value in predictions.items()}
            yield {
                **row,
                **({"results": row["results"] + first, "index": int(row["results"])} if discrete else {}),
                **{key: driver.as_observed(key, values[env]) for key, values in as_features(transitions.state).items()},
                "reward": float(transitions.reward[env]),
                "done": bool(transitions.done[env]),
                "truncated": env in last and last[env].truncated,
                "episode": number[env],
                "env": env,
                "timestep": timestep[env],
            }
            timestep[env] += 1
            taken += 1
            if env in last:
                number[env], timestep[env] = started, 0
                started += 1
                ended += 1
            if (episodes is not None and ended >= episodes) or (steps is not None and taken >= steps):
                return
