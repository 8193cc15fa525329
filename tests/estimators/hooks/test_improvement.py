"""That a run acts no better than at its beginning is said once, in the middle of its budget, and of no run that learns."""

from __future__ import annotations

import collections
import json
import logging
import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from polyrl.envs import Episode
from polyrl.estimators.budget import Budget
from polyrl.estimators.hooks.hints import HintsHook
from polyrl.estimators.hooks.improvement import Improvement, is_better

LENGTH = 20


def told(
    caplog,
    returns: Callable[[np.random.Generator, float], float],
    episodes: int = 500,
    budget: Budget | None = None,
    evaluation: float | None = None,
    resumed_at: int | None = None,
    rate: float = 0.05,
    updates: float = 1.0,
    **arguments: Any,
) -> list[str]:
    """What is said of a run whose episodes have these returns, `returns(rng, share of the run)`."""
    rng, window = np.random.default_rng(0), collections.deque(maxlen=100)
    hook = HintsHook({}, **arguments)
    run = types.SimpleNamespace(
        budget=budget or Budget(timestep=episodes * LENGTH),
        episodes=window,
        step=0,
        timestep=0,
        episode=0,
        pretrain_updates=0,
        exploration_rate=rate,
        last_evaluation=None if evaluation is None else {"mean_reward": evaluation},
    )
    caplog.clear()
    with caplog.at_level(logging.WARNING, "polyrl"):
        hook.begin(run)
        for index in range(episodes):
            if index == resumed_at:
                state, hook = json.loads(json.dumps(hook.get_state())), HintsHook({}, **arguments)
                hook.set_state(state)
                hook.begin(run)
            episode = Episode(returns(rng, index / episodes), LENGTH, 0, truncated=False)
            window.append(episode)
            run.episode, run.timestep = index + 1, (index + 1) * LENGTH
            run.step = int(updates * run.timestep)
            hook.after_episode(run, episode)
    return [text for text in caplog.messages if "acts no better than at its beginning" in text]


def random_acting(rng: np.random.Generator, share: float) -> float:
    return rng.normal(22.0, 11.0)


def learning(rng: np.random.Generator, share: float) -> float:
    return rng.normal(22.0 + 200.0 * share, 11.0)


def trembling(rng: np.random.Generator, share: float) -> float:
    """As CartPole at a learning rate of 10: the weights are never the same for long."""
    return rng.normal(22.0 if share < 0.1 else 30.0, 11.0)


def getting_worse(rng: np.random.Generator, share: float) -> float:
    return rng.normal(22.0 if share < 0.1 else 9.0, 3.0)


@pytest.mark.parametrize(
    ("returns", "arguments", "expected"),
    [
        (random_acting, {}, 1),
        (getting_worse, {}, 1),
        (learning, {}, 0),
        (random_acting, {"evaluation": 9.4}, 1),
        (random_acting, {"evaluation": 200.0}, 0),  # What is learned does not show in episodes that explore.
        (learning, {"evaluation": 9.4}, 0),  # On another task.
        (trembling, {"evaluation": 9.4}, 1),
        (trembling, {}, 0),
        (random_acting, {"rate": 0.9}, 0),
        (random_acting, {"rate": 0.9, "evaluation": 9.4}, 1),
        (random_acting, {"rate": float("nan")}, 1),  # As of networks that have noise.
        (random_acting, {"budget": Budget(step=10_000)}, 1),
        (random_acting, {"budget": Budget(episode=500)}, 1),
        (random_acting, {"budget": Budget()}, 0),
        (random_acting, {"episodes": 90}, 0),  # A tenth of them are too few to compare with.
        (random_acting, {"begins_untrained": False}, 0),
        (random_acting, {"updates": 0.09}, 0),  # 900 in all: a short run has not had the time.
        (random_acting, {"updates": 0.13}, 1),  # 1,000 after three quarters.
        (random_acting, {"updates": 0.0}, 1),
        (random_acting, {"resumed_at": 100}, 1),
        (random_acting, {"resumed_at": 300}, 1),
        (lambda rng, share: float(rng.random() < 0.02 + share), {}, 0),  # Sparse, and found more and more often.
        (lambda rng, share: -200.0 if share < 0.45 else -150.0, {}, 0),  # Learned late.
    ],
)
def test_a_run_that_acts_no_better_is_told_once(caplog, returns, arguments, expected):
    assert len(told(caplog, returns, **arguments)) == expected


def test_the_hint_has_the_numbers(caplog):
    (text,) = told(caplog, lambda rng, share: 20.0 if share < 0.1 else 10.0, evaluation=9.0)
    assert "to judge by its evaluations: the mean return of the last evaluation is 9, that of the first 50 training" in text
    assert "training episodes was 20 (of the last 50: 10)." in text
    assert text.endswith("See docs/when_it_does_not_learn.md.")


@pytest.mark.parametrize("begun", [{"timestep": 500}, {"pretrain_updates": 10}])
def test_a_run_that_did_not_begin_here_is_not_compared(caplog, begun):
    """As of a checkpoint without first episodes, or after pre-training, which acts well from the first episode on."""
    hook = HintsHook({})
    hook.begin(types.SimpleNamespace(**{"timestep": 0, "step": 0, "pretrain_updates": 0, "budget": Budget(), **begun}))
    assert hook.get_state()["is_open"] is False


@pytest.mark.parametrize(("difference", "least", "most"), [(0.0, 0.01, 0.04), (2.0, 0.45, 0.6), (5.0, 0.99, 1.0)])
def test_by_chance_alone_a_mean_is_seldom_better(difference, least, most):
    """Two standard errors: 2.3 % of the means of equal runs lie beyond, half of those that are two errors better."""
    rng = np.random.default_rng(0)
    error = math.hypot(3.0 / math.sqrt(60), 2.0 / math.sqrt(100))
    found = []
    for _ in range(2_000):
        first, later = rng.normal(0.0, 3.0, 60), rng.normal(difference * error, 2.0, 100)
        found.append(is_better(float(later.mean()), float(later.std()) / 10.0, first))
    assert least <= np.mean(found) <= most


def test_the_best_evaluation_counts_also_over_a_resumption(caplog):
    """DQN's evaluations rise and fall; the last one before the look may be a bad one."""
    first, second = Improvement(), Improvement()
    run = types.SimpleNamespace(
        budget=Budget(timestep=1_000), episodes=[], step=0, pretrain_updates=0, exploration_rate=0.0, timestep=0, episode=0
    )
    for index, (improvement, evaluation) in enumerate([(first, None), (first, 300.0), (second, 9.0)]):
        for _ in range(30):
            run.episode, run.last_evaluation = run.episode + 1, None if evaluation is None else {"mean_reward": evaluation}
            run.timestep = (50, 300, 600)[index]
            run.episodes.append(Episode(20.0, 1, 0, truncated=False))
            assert improvement.after_episode(run, run.episodes[-1]) is None
        second.set_state(json.loads(json.dumps(first.get_state())))
