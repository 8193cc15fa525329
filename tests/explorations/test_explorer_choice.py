"""`explorer`: which explorer belongs to which config, for discrete and for continuous actions."""

from __future__ import annotations

import dataclasses

import pytest
import tensorflow as tf
from exploration_testing import CONTINUOUS, DISCRETE, EVERY, build

from polyrl import configs, explorations
from polyrl.configs import (
    BoltzmannExplorationConfig,
    ExplorationConfig,
    GreedyExplorationConfig,
    OrnsteinUhlenbeckExplorationConfig,
    RandomDecayExplorationConfig,
)
from polyrl.explorations import explorer


@pytest.mark.parametrize(("continuous", "name"), EVERY)
def test_each_config_has_the_explorer_of_its_kind_of_actions(continuous, name):
    """Constant, greedy and random exploration exist for both kinds."""
    config, expected, _ = (CONTINUOUS if continuous else DISCRETE)[name]
    assert explorer(config, continuous) is expected
    assert name == config.IDENTIFIER


def test_the_tables_contain_every_exploration_config():
    found = {getattr(configs, name) for name in configs.__all__ if name.endswith("ExplorationConfig")} - {ExplorationConfig}
    assert found == {type(row[0]) for row in [*DISCRETE.values(), *CONTINUOUS.values()]}


REFUSED = [
    (True, BoltzmannExplorationConfig(), "discrete"),
    (False, RandomDecayExplorationConfig(), "continuous"),
    (False, OrnsteinUhlenbeckExplorationConfig(), "continuous"),
]


@pytest.mark.parametrize(("continuous", "config", "kind"), REFUSED, ids=lambda value: getattr(value, "IDENTIFIER", value))
@pytest.mark.parametrize("construct", [explorer, lambda config, kind: build(kind, config)], ids=["explorer", "model"])
def test_a_config_of_the_other_kind_is_refused_with_those_that_would_do(continuous, config, kind, construct):
    """A model refuses it at construction."""
    with pytest.raises(ValueError, match="exploration_config") as caught:
        construct(config, continuous)
    message = str(caught.value)
    assert type(config).__name__ in message
    assert f"is for {kind} actions" in message
    for name, (usable, *_) in (CONTINUOUS if continuous else DISCRETE).items():
        assert type(usable).__name__ in message.split("use one of")[1], name


def test_a_value_that_is_not_an_exploration_config_is_refused():
    for wrong in (0.1, "greedy", GreedyExplorationConfig):
        with pytest.raises(TypeError, match="exploration_config"):
            build(True, wrong)
        with pytest.raises(TypeError, match="exploration_config"):
            explorer(wrong, True)


@dataclasses.dataclass(frozen=True)
class OwnConfig(ExplorationConfig):
    """A user-defined rate."""

    def rate(self, timestep):
        return tf.constant(0.25)


@dataclasses.dataclass(frozen=True)
class OwnProcess(OrnsteinUhlenbeckExplorationConfig):
    """Unchanged."""


def test_a_subclass_has_the_explorer_of_its_base_class():
    assert explorer(OwnConfig(), False) is explorations.EpsilonGreedy
    assert explorer(OwnConfig(), True) is explorations.GaussianNoise
    assert explorer(OwnProcess(), True) is explorations.OrnsteinUhlenbeckNoise
    with pytest.raises(ValueError, match="is for continuous actions"):
        explorer(OwnProcess(), False)
