"""How a model explores in training: what each exploration config means for discrete and for continuous actions.

A config says how much to explore, as a function of `global_timestep` (`ExplorationConfig.rate`); an explorer applies it to the
actions. The registries `DISCRETE` and `CONTINUOUS` map a config's class, or its nearest base class, to the explorer's class.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from polyrl.configs import (
    BoltzmannExplorationConfig,
    ConstantExplorationConfig,
    DecayExplorationConfig,
    ExplorationConfig,
    GreedyExplorationConfig,
    OrnsteinUhlenbeckExplorationConfig,
    RandomDecayExplorationConfig,
    RandomExplorationConfig,
)
from polyrl.explorations.explorers import (
    Boltzmann,
    EpsilonGreedy,
    Explorer,
    GaussianNoise,
    OrnsteinUhlenbeckNoise,
    RandomAtFirst,
    UniformActions,
)

DISCRETE: dict[type[ExplorationConfig], type[Explorer]] = {
    ExplorationConfig: EpsilonGreedy,
    ConstantExplorationConfig: EpsilonGreedy,
    GreedyExplorationConfig: EpsilonGreedy,
    RandomExplorationConfig: EpsilonGreedy,
    DecayExplorationConfig: EpsilonGreedy,
    BoltzmannExplorationConfig: Boltzmann,
}

CONTINUOUS: dict[type[ExplorationConfig], type[Explorer]] = {
    ExplorationConfig: GaussianNoise,
    ConstantExplorationConfig: GaussianNoise,
    GreedyExplorationConfig: GaussianNoise,
    RandomExplorationConfig: UniformActions,
    DecayExplorationConfig: GaussianNoise,
    RandomDecayExplorationConfig: GaussianNoise,
    OrnsteinUhlenbeckExplorationConfig: OrnsteinUhlenbeckNoise,
}

_ONLY = {BoltzmannExplorationConfig: "discrete"} | dict.fromkeys(
    (RandomDecayExplorationConfig, OrnsteinUhlenbeckExplorationConfig), "continuous"
)


def explorer(config: ExplorationConfig, continuous: bool) -> type[Explorer]:
    """The class of the explorer for a config, for continuous or for discrete actions.

    Raises:
        TypeError: if `config` is not an `ExplorationConfig`.
        ValueError: if the config does not apply to actions of this kind; the message lists those that do.
    """
    kind = "continuous" if continuous else "discrete"
    registry = CONTINUOUS if continuous else DISCRETE
    for owner in type(config).__mro__:
        if _ONLY.get(owner, kind) != kind:
            known = sorted(known.__name__ for known in registry if known is not ExplorationConfig)
            raise ValueError(
                f"exploration_config={config!r} is for {_ONLY[owner]} actions, the model has {kind} ones; use one of {known}."
            )
        if owner in registry:
            return registry[owner]
    raise TypeError(f"exploration_config={config!r} must be an ExplorationConfig.")


def random_at_first(
    made: Explorer, config: ExplorationConfig, continuous: bool, timestep: Callable[[], tf.Tensor]
) -> Explorer:
    """An explorer whose actions are uniformly random in the first `warmup_timesteps` of its config, if there are any."""
    if config.warmup_timesteps == 0:
        return made
    kind = (CONTINUOUS if continuous else DISCRETE)[RandomExplorationConfig]
    return RandomAtFirst(made, kind(config, tf.TensorShape(None)), timestep, config.warmup_timesteps)


__all__ = [
    "CONTINUOUS",
    "DISCRETE",
    "Boltzmann",
    "EpsilonGreedy",
    "Explorer",
    "GaussianNoise",
    "OrnsteinUhlenbeckNoise",
    "RandomAtFirst",
    "UniformActions",
    "explorer",
    "random_at_first",
]
