"""`Config`: conversion to a dict and back, and the errors for unknown identifiers and fields."""

from __future__ import annotations

import dataclasses
import json

import pytest
from config_examples import CONCRETE, EXAMPLES, FAMILIES, name_of

from polyrl import configs
from polyrl.configs import Config, DecayExplorationConfig


def test_there_is_an_example_of_every_config_and_every_field_is_set_in_one() -> None:
    assert {type(example) for example in EXAMPLES} == set(CONCRETE)
    for each in CONCRETE:
        for field in dataclasses.fields(each):
            given = [getattr(example, field.name) for example in EXAMPLES if type(example) is each]
            if each is configs.RandomExplorationConfig:  # There is nothing to set: a warm-up would have no effect.
                continue
            assert any(value != field.default for value in given), f"{each.__name__}.{field.name} is at its default"


def test_no_two_configs_share_an_identifier() -> None:
    identifiers = [each.IDENTIFIER for each in CONCRETE]
    assert len(set(identifiers)) == len(identifiers)


@pytest.mark.parametrize("config", EXAMPLES, ids=name_of)
def test_a_round_trip_through_a_dict_or_json_preserves_a_config(config) -> None:
    for plain in (config.to_dict(), json.loads(json.dumps(config.to_dict()))):
        back = Config.from_dict(plain)
        assert type(back) is type(config)
        assert back == config


@pytest.mark.parametrize("config", EXAMPLES, ids=name_of)
def test_the_dict_holds_the_identifier_and_every_field_as_plain_values(config) -> None:
    plain = config.to_dict()
    assert plain["identifier"] == config.IDENTIFIER
    assert set(plain) == {"identifier", *(field.name for field in dataclasses.fields(config))}
    assert not any(isinstance(value, Config) for value in plain.values())


@pytest.mark.parametrize("config", EXAMPLES, ids=name_of)
def test_the_description_has_the_class_too(config) -> None:
    def without(values):
        return {
            name: without(value) if isinstance(value, dict) else value for name, value in values.items() if name != "class"
        }

    assert config.described()["class"] == type(config).__name__
    assert without(config.described()) == config.to_dict()
    json.dumps(config.described())


def test_changing_the_dict_does_not_change_the_config() -> None:
    config = configs.MetricConfig(arguments={"dtype": "float64"})
    config.to_dict()["arguments"]["dtype"] = "float32"
    assert config.arguments == {"dtype": "float64"}


@pytest.mark.parametrize(
    "config",
    [
        DecayExplorationConfig(decay_type="piecewise_constant", boundaries=[10], values=[0.9, 0.1]),
        configs.PiecewiseConstantDecayConfig([10], [0.3, 0.2]),
    ],
    ids=name_of,
)
def test_a_config_given_lists_for_tuples_equals_its_round_trip(config) -> None:
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("config", [example for example in EXAMPLES if type(example) is not configs.MetricConfig], ids=name_of)
def test_a_config_is_frozen_and_hashable(config) -> None:
    assert hash(config) == hash(Config.from_dict(config.to_dict()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.anything = 1


def test_a_family_finds_its_own_members_and_a_class_itself_without_an_identifier() -> None:
    assert configs.LossConfig.from_dict({"identifier": "huber", "delta": 2.0}) == configs.HuberLossConfig(2.0)
    assert configs.HuberLossConfig.from_dict({"delta": 2.0}) == configs.HuberLossConfig(2.0)


@pytest.mark.parametrize("family", FAMILIES, ids=name_of)
def test_an_unknown_identifier_is_named_with_the_known_ones_and_the_most_similar(family) -> None:
    members = sorted(each.IDENTIFIER for each in CONCRETE if issubclass(each, family))
    wrong = members[0] + "x"
    with pytest.raises(ValueError, match=wrong) as caught:
        family.from_dict({"identifier": wrong})
    told, _, known = str(caught.value).removesuffix(".").partition("? Known: ")
    assert told.endswith(f"; did you mean {members[0]!r}")
    assert known.split(", ") == sorted(known.split(", "))
    assert set(members) <= set(known.split(", "))  # Other tests have configs of their own.


def test_a_member_of_another_family_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^loss: unknown name 'adam'"):
        configs.LossConfig.from_dict({"identifier": "adam"})


@pytest.mark.parametrize("family", [Config, *FAMILIES], ids=name_of)
def test_a_family_needs_an_identifier(family) -> None:
    with pytest.raises(
        ValueError, match=f"^{family.__name__.removesuffix('Config').lower() or 'config'}: no name, an 'identifier'"
    ):
        family.from_dict({})


@pytest.mark.parametrize("config", EXAMPLES, ids=name_of)
def test_an_unknown_field_is_named_with_the_known_ones(config) -> None:
    with pytest.raises(ValueError, match=rf"{config.IDENTIFIER} has no field 'unheard_of'") as caught:
        Config.from_dict({**config.to_dict(), "unheard_of": 1})
    names = ", ".join(field.name for field in dataclasses.fields(config))
    assert f"; it has {names or 'none'}." in str(caught.value)


def test_a_misspelt_field_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'learning_rate'?"):
        Config.from_dict({"identifier": "adam", "learning_rte": 0.1})


def test_a_misspelt_field_of_a_nested_config_is_named_too() -> None:
    values = configs.AdamConfig(learning_rate=configs.CosineDecayConfig(0.5, 10)).to_dict()
    values["learning_rate"]["decay_step"] = 5
    with pytest.raises(ValueError, match=r"cosine_decay has no field 'decay_step'.*Did you mean 'decay_steps'?"):
        Config.from_dict(values)
