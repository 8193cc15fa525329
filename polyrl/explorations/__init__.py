"""How a model acts while it trains: what each exploration config means for discrete and for continuous actions.

A config says how much, as a function of `global_timestep` (`ExplorationConfig.rate`); an explorer says how. The registries
`DISCRETE` and `CONTINUOUS` map a config's class, or the nearest class that it derives from, to its explorer.
"""

from __future__ import annotations

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
    """The explorer for a config and a kind of actions.

    Raises:
        ValueError: if the config makes no sense for such actions.
    """
    kind = "continuous" if continuous else "discrete"
    registry = CONTINUOUS if continuous else DISCRETE
    for owner in type(config).__mro__:
        if _ONLY.get(owner, kind) != kind:
            known = sorted(known.__name__ for known in registry if known is not ExplorationConfig)
            raise ValueError(
                f"exploration_config={config!r} is for {_ONLY[owner]} actions; the model's are {kind}: use one of {known}."
            )
        if owner in registry:
            return registry[owner]
    raise TypeError(f"exploration_config={config!r} must be an ExplorationConfig.")


__all__ = [
    "CONTINUOUS",
    "DISCRETE",
    "Boltzmann",
    "EpsilonGreedy",
    "Explorer",
    "GaussianNoise",
    "OrnsteinUhlenbeckNoise",
    "UniformActions",
    "explorer",
]
