"""`HintsHook`: says once what people look for when a run does not learn."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from polyrl.envs import Episode
from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.estimators.hooks.improvement import LOOK_SHARE, Improvement, spent
from polyrl.replay import Replay
from polyrl.summaries import Summaries

logger = logging.getLogger("polyrl")

HIGHEST_RATE = {"adam": 0.05, "adamw": 0.05, "adamax": 0.05, "nadam": 0.05, "rmsprop": 0.05, "lion": 0.01, "sgd": 1.0}
"""By the optimizer's identifier: learning rates above it are hardly ever meant."""

LOWEST_RATE = 1e-6

DEAD, DEAD_LOOKS = 0.99, 3
"""A layer of which so much is zero, in so many looks one after the other, passes nothing on."""

SAME_EPISODES, SAME_TIMESTEPS = 100, 10_000
"""So many episodes and environment steps, all with one return, are enough to see that there is nothing to learn from."""

FEW_EPISODES = 20
"""So many of them are enough from the middle of the budget on."""

ENDLESS_TIMESTEPS = 100_000
"""So many environment steps without the end of an episode are unusual."""

LARGE_REWARD, SMALL_RETURN = 100.0, 0.01
"""The mean size of a reward above which gradients are always clipped; the size of all returns below which they vanish."""

NEWEST = 1_000
"""So many of the newest rewards of each environment are looked at, whenever a run has become twice as long."""

PAGE = "See docs/when_it_does_not_learn.md."


class HintsHook(Hook):
    """Looks at settings when a run begins, at the model's panels while it trains, and at the episodes; each hint comes once.

    Args:
        models: the arguments of the models that learn, by their names, as plain values.
        updates: the gradient updates that are due from some environment steps to others; None: not known before the end.
        begins_untrained: False of a run whose weights come from another one.
        memory: holds the rewards; without, their size is that of their sums, in which gains and losses cancel.
    """

    def __init__(
        self,
        models: Mapping[str, Mapping[str, Any]],
        updates: Callable[[int, int], int] | None = None,
        begins_untrained: bool = True,
        memory: Replay | None = None,
    ):
        self._models, self._updates, self._memory = models, updates, memory
        self._next_look, self._reward_size = 0, 0.0
        self._begins_untrained = begins_untrained
        self._improvement = Improvement(begins_untrained)
        self._told: set[str] = set()
        self._dead: dict[str, int] = {}
        self._returns = (math.inf, -math.inf)
        self._episodes = 0

    def begin(self, run: RunContext) -> None:
        self._improvement.begin(run)
        for name, arguments in self._models.items():
            self._look_at_rate(name, arguments)
            self._look_at_period(self._updates_by_the_end(run), run.budget.timestep, name, arguments)
            self._look_at_memory(name, arguments)

    def end(self, run: RunContext) -> None:
        if run.budget.reached(run.step, run.timestep, run.episode) is None:
            return  # A signal or a hook has ended it: it was to be longer.
        for name, arguments in self._models.items():
            self._look_at_period(run.step, run.timestep, name, arguments)

    def after_episode(self, run: RunContext, episode: Episode) -> None:
        low, high = self._returns
        self._returns = (min(low, episode.reward), max(high, episode.reward))
        self._episodes += 1
        seen = self._improvement.after_episode(run, episode)
        if seen is not None and "same return" not in self._told:
            self._tell(
                "no better",
                f"{seen} Look at the rewards, the exploration and the learning rate first, and whether {run.step:,} updates "
                "can be enough.",
            )

    def after_summaries(self, run: RunContext, summaries: Summaries) -> None:
        self._look_at_episodes(run)
        for tag, value in summaries.numbers().items():
            if tag.endswith("/zero_fraction"):
                self._look_at_layer(tag.split("/", 1)[1].removesuffix("/zero_fraction"), value)
            elif tag.endswith("train/q_max"):
                self._look_at_values(run, value)

    def get_state(self) -> dict[str, Any]:
        known = [value if math.isfinite(value) else None for value in self._returns]
        return {"told": sorted(self._told), "returns": known, "episodes": self._episodes, **self._improvement.get_state()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        low, high = state["returns"]
        self._told, self._episodes = set(state["told"]), int(state["episodes"])
        self._returns = (math.inf if low is None else low, -math.inf if high is None else high)
        if "first" in state:  # Checkpoints of earlier versions have none.
            self._improvement.set_state(state)

    # Looks. -------------------------------------------------------------------------------------------------------------

    def _look_at_rate(self, name: str, arguments: Mapping[str, Any]) -> None:
        optimizer = arguments.get("optimizer_config") or {}
        rate = optimizer.get("learning_rate")
        rate = rate.get("initial_learning_rate") if isinstance(rate, Mapping) else rate
        highest = HIGHEST_RATE.get(optimizer.get("identifier", ""), math.inf)
        if isinstance(rate, (int, float)) and not LOWEST_RATE <= rate <= highest:
            side = f"above {highest:g}" if rate > highest else f"below {LOWEST_RATE:g}"
            self._tell(
                f"rate of {name}",
                f"learning_rate={rate:g} of {name} is {side}, where {optimizer['identifier']} hardly ever learns. "
                "Try 1e-4 to 1e-3.",
            )

    def _updates_by_the_end(self, run: RunContext) -> int | None:
        """How many the budget allows; None if that is not known, as with a budget of episodes."""
        known = [] if run.budget.step is None else [run.budget.step]
        if run.budget.timestep is not None and self._updates is not None:
            known.append(max(run.step, run.pretrain_updates) + self._updates(run.timestep, run.budget.timestep))
        return min(known, default=None)

    def _look_at_period(self, updates: int | None, timesteps: int | None, name: str, arguments: Mapping[str, Any]) -> None:
        given, length, unit = "target_update_frequency", updates, "updates"
        if arguments.get("target_update_timesteps") is not None:
            given, length, unit = "target_update_timesteps", timesteps, "environment steps"
        period = arguments.get(given) if arguments.get("use_target_graph", True) else None
        if period is not None and length is not None and 0 < length < period:
            self._tell(
                f"period of {name}",
                f"{given}={period} of {name} is longer than the run of {length} {unit}: its target network stays as it began. "
                "Give a shorter one, or train for longer.",
            )

    def _look_at_memory(self, name: str, arguments: Mapping[str, Any]) -> None:
        if self._memory is not None and arguments.get("trace_decay") and not self._memory.SEQUENCES:
            self._tell(
                f"memory of {name}",
                f"trace_decay={arguments['trace_decay']} of {name} has no effect with {type(self._memory).__name__}, which "
                "gives single transitions. Use RolloutMemory, from which PQN learns.",
            )

    def _look_at_episodes(self, run: RunContext) -> None:
        low, high = self._returns
        enough = self._episodes >= SAME_EPISODES and run.timestep >= SAME_TIMESTEPS
        # Where episodes are long there are never so many.
        late = self._episodes >= FEW_EPISODES and (spent(run) or 0.0) >= LOOK_SHARE
        if low == high and (enough or late):
            self._tell(
                "same return",
                f"All of the {self._episodes} episodes so far had the same return, {low:g}: no action has made a difference. "
                "Explore more or longer (exploration_config, warmup_timesteps), or check the environment's rewards.",
            )
        if run.episode == 0 and run.timestep >= ENDLESS_TIMESTEPS:
            self._tell(
                "no end",
                f"No episode has ended in {run.timestep:,} environment steps. Evaluations play whole episodes, and would not "
                "end either: give the environment a limit, as gymnasium.wrappers.TimeLimit does.",
            )
        if run.episodes:
            mean = self._mean_reward(run)
            for name, arguments in (self._models or {"the model": {}}).items():
                self._look_at_scale(mean, name, arguments)

    def _mean_reward(self, run: RunContext) -> float:
        """The mean size of a reward."""
        if self._memory is not None and run.timestep >= self._next_look and run.stored > 0:  # Which brings it up to date.
            self._next_look = 2 * run.timestep
            self._reward_size = float(np.mean(np.abs(self._memory.newest(NEWEST)[0])))
        steps = sum(episode.length for episode in run.episodes)
        return max(self._reward_size, sum(abs(episode.reward) for episode in run.episodes) / max(steps, 1))

    def _look_at_scale(self, mean: float, name: str, arguments: Mapping[str, Any]) -> None:
        """Rewards as the model learns from them; clipped ones are not large."""
        scale, clip = arguments.get("reward_scale", 1.0), arguments.get("clip_rewards")
        size = max(map(abs, self._returns))
        scaled = "Rewards are" if scale == 1.0 else f"With reward_scale={scale:g} of {name} rewards are"
        if mean * scale > LARGE_REWARD and clip is None:
            text = f"{scaled} large, {mean * scale:.3g} on average: give the model reward_scale={1 / mean:.1g}."
            self._tell(f"scale of {name}", text)
        elif 0 < size * scale < SMALL_RETURN and self._episodes >= SAME_EPISODES:
            returns = scaled.replace("ewards", "eturns")
            self._tell(
                f"scale of {name}",
                f"{returns} small, {size * scale:.3g} at most: give the model reward_scale={1 / size:.1g}.",
            )

    def _look_at_layer(self, layer: str, zeros: float) -> None:
        self._dead[layer] = self._dead.get(layer, 0) + 1 if zeros >= DEAD else 0
        if self._dead[layer] >= DEAD_LOOKS:
            self._tell(
                f"dead {layer}",
                f"{zeros:.1%} of the outputs of the layer {layer!r} are zero: its units are dead and learn no more. A smaller "
                "learning rate, layer normalisation, or scaled inputs keep them alive.",
            )

    def _look_at_values(self, run: RunContext, largest: float) -> None:
        scale = max((arguments.get("reward_scale", 1.0) for arguments in self._models.values()), default=1.0)
        bound = 10.0 * scale * max(map(abs, self._returns))
        if run.episodes and np.isfinite(bound) and largest > max(bound, 100.0):
            self._tell(
                "values",
                f"The largest action value, {largest:.3g}, is far beyond every return so far: values diverge. A smaller "
                "learning rate, double Q-learning, or a longer target_update_frequency keep them in bounds."
                + ("" if self._begins_untrained else " Or the weights that this run began with are of larger rewards."),
            )

    def _tell(self, hint: str, text: str) -> None:
        if hint not in self._told:
            self._told.add(hint)
            logger.warning("%s %s", text, PAGE)
