"""What `--set` makes of the parts of a model."""

from __future__ import annotations

import re
import types

import pytest


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "optimiser.beta_1=0.5",
            "there is no 'optimiser' here; use the name of a flag, or one of ['optimizer', 'exploration']",
        ),
        ("optimizer.bata_1=0.5", "--set=optimizer.bata_1=0.5: adam has no field 'bata_1'; it has learning_rate, beta_1"),
        (
            "optimizer=adm",
            "--set=optimizer=adm: optimizer: unknown name 'adm'; did you mean 'adam'? Known: adadelta, adagrad, adam, ",
        ),
        ("exploration=boltzman", "exploration: unknown name 'boltzman'; did you mean 'boltzmann'? Known: "),
        ("exploration=zzz", "exploration: unknown name 'zzz'. Known: boltzmann, constant"),
        ("exploration=", "exploration: no name"),
        ("lr=1e-3", "--set=lr=1e-3: there is no 'lr' here"),
        ("lr=1e-3", "Use --learning_rate."),
        (
            "optimizer.learning_rate={'identifier': 'cosine_decy'}",
            "config: unknown name 'cosine_decy'; did you mean 'cosine_decay'?",
        ),
        ("optimizer.beta_1=2", "--set=optimizer.beta_1=2: beta_1=2.0 must lie in"),
        ("loss.delta=2", "this model has a loss of its own"),  # C51 has a loss of its own.
    ],
)
def test_a_part_that_does_not_exist_is_refused(entry, message):
    from polyrl.configs import AdamConfig, GreedyExplorationConfig
    from polyrl.experiments.settings import applied

    parts = {"optimizer": AdamConfig(), "exploration": GreedyExplorationConfig(), "loss": None}
    with pytest.raises(ValueError, match=re.escape(message)):
        applied([entry], parts)


def test_the_parts_are_those_that_flags_know():
    from polyrl.experiments.settings import PARTS
    from polyrl.flags import config

    assert (*PARTS,) == config.PARTS


def test_parts_have_the_fields_and_kinds_that_are_set():
    from polyrl.configs import (
        AdamConfig,
        BoltzmannExplorationConfig,
        DecayExplorationConfig,
        HuberLossConfig,
        PolynomialDecayConfig,
        RMSpropConfig,
    )
    from polyrl.experiments.settings import applied

    rate = PolynomialDecayConfig(1e-3, 100, 1e-5)
    parts = {"optimizer": AdamConfig(rate), "exploration": DecayExplorationConfig(decay_steps=70), "loss": HuberLossConfig()}
    # The kind, and then the field that it needs: checked together.
    cooling = applied(["exploration=boltzmann", "exploration.final_temperature=0.1", "exploration.decay_steps=9"], parts)
    assert cooling["exploration"] == BoltzmannExplorationConfig(final_temperature=0.1, decay_steps=9)
    entries = ["optimizer=rmsprop", "optimizer.rho=0.8", "optimizer.learning_rate.decay_steps=50", "loss.delta=2"]
    made = applied([*entries, "exploration=boltzmann"], parts)
    assert made["optimizer"] == RMSpropConfig(PolynomialDecayConfig(1e-3, 50, 1e-5), rho=0.8)
    assert made["loss"] == HuberLossConfig(2.0)
    assert made["exploration"] == BoltzmannExplorationConfig()
    assert parts["loss"] == HuberLossConfig()


def test_a_field_whose_flag_is_given_is_refused_and_a_part_of_the_models_own_is_told(monkeypatch):
    from polyrl.configs import AdamConfig
    from polyrl.experiments import settings

    given = types.SimpleNamespace(present=1, value=0.002)
    monkeypatch.setattr(settings, "FLAGS", {"learning_rate": given})
    message = "--set=optimizer.learning_rate=0.003 and --learning_rate=0.002 set the same. Leave one of them out."
    with pytest.raises(ValueError, match=re.escape(message)):
        settings.applied(["optimizer.learning_rate=0.003"], {"optimizer": AdamConfig()})
    given.present = 0
    made = settings.applied(["optimizer.learning_rate=0.003"], {"optimizer": AdamConfig()})
    assert made["optimizer"] == AdamConfig(0.003)


def test_a_flag_of_the_kind_that_another_one_replaces_is_refused_and_the_same_kind_keeps_what_it_has(monkeypatch):
    """The flag was dropped without a word."""
    from polyrl.configs import AdamConfig
    from polyrl.experiments import settings

    given = types.SimpleNamespace(present=1, value=0.001)
    monkeypatch.setattr(settings, "FLAGS", {"adam_epsilon": given, "learning_rate": given})
    parts = {"optimizer": AdamConfig(0.003, epsilon=0.001)}
    message = (
        "--adam_epsilon=0.001 has no effect with --set=optimizer=rmsprop. Leave it out; if that one has the field, say "
        "--set=optimizer.epsilon=0.001."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        settings.applied(["optimizer=rmsprop"], parts)
    assert settings.applied(["optimizer=adam", "optimizer.beta_1=0.5"], parts)["optimizer"] == AdamConfig(
        0.003, beta_1=0.5, epsilon=0.001
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("false", False), ("True", True), ("None", None), ("8x8", "8x8"), ("-0.5", -0.5), ("(1, 2)", (1, 2)), ("truth", "truth")],
)
def test_a_value_is_read_as_it_is_meant(text, value):
    """`false` was a text, which is true."""
    from polyrl.experiments.settings import read

    assert read(text) == value
    assert type(read(text)) is type(value)


@pytest.mark.parametrize(
    "entries",
    [
        ["optimizer.rho=0.5", "optimizer=rmsprop"],
        ["optimizer=rmsprop", "optimizer.rho=0.5"],
        ["optimizer.rho=0.5", "optimizer=rmsprop", "optimizer.rho=0.5"],
    ],
    ids=" ".join,
)
def test_a_field_counts_wherever_the_kind_of_its_part_stands(entries):
    """The kind threw away the fields before it, without a word."""
    from polyrl.configs import AdamConfig, RMSpropConfig
    from polyrl.experiments.settings import applied

    assert applied(entries, {"optimizer": AdamConfig(3e-3)})["optimizer"] == RMSpropConfig(3e-3, rho=0.5)


def test_a_field_within_a_field_counts_wherever_that_stands():
    from polyrl.configs import AdamConfig, CosineDecayConfig
    from polyrl.experiments.settings import applied

    rate = "optimizer.learning_rate={'identifier': 'cosine_decay', 'initial_learning_rate': 0.1, 'decay_steps': 5}"
    made = applied(["optimizer.learning_rate.decay_steps=7", rate], {"optimizer": AdamConfig(3e-3)})["optimizer"]
    assert made == AdamConfig(CosineDecayConfig(0.1, decay_steps=7))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["optimizer.beta_1=0.5", "optimizer=rmsprop"], "rmsprop has no field 'beta_1'"),
        (["optimizer=adam", "optimizer=rmsprop"], "--set=optimizer=rmsprop: --set=optimizer=adam is given too"),
        (["optimizer.beta_1=0.5", "optimizer.beta_1=0.6"], "--set=optimizer.beta_1=0.5 is given too, which is another value"),
    ],
)
def test_what_one_of_them_would_have_no_effect_with_is_refused(entries, words):
    from polyrl.configs import AdamConfig
    from polyrl.experiments.settings import applied

    with pytest.raises(ValueError, match=re.escape(words)):
        applied(entries, {"optimizer": AdamConfig()})
