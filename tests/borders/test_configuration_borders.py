"""Configuration: what a constructor takes is what it is used as, and trains; all else is refused by its name."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from borders_testing import ANYTHING, FLOATS, INTS, NUMBERS, ODD, attempt, drive, nests, quick, slow
from hypothesis import strategies as st

from polyrl import configs
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.checkpoints.params import check_same_params, frozen_params, read_params, write_params
from polyrl.models import CategoricalDQNModel, DDQNModel, DQNModel, NAFModel, Scope
from polyrl.networks import mlp
from polyrl.paths import resolved_directory
from polyrl.replay import PrioritizedReplay, UniformReplay

# Arguments of constructors. -------------------------------------------------------------------------------------------------

USUAL = {
    DQNModel: {"mode": "train", "graph_fn": mlp([2]), "num_states": 4, "num_actions": 2},
    DDQNModel: {"mode": "train", "graph_fn": mlp([2]), "num_states": 4, "num_actions": 2},
    CategoricalDQNModel: {"mode": "train", "graph_fn": mlp([2]), "num_states": 4, "num_actions": 2, "num_atoms": 3},
    NAFModel: {"mode": "train", "graph_fn": mlp([2]), "num_states": 4, "num_actions": 2},
    RunConfig: {"seed": 0},
    UniformReplay: {"size": 8, "batch_size": 2},
    PrioritizedReplay: {"size": 8, "batch_size": 2},
}
FURTHER = {
    "models": "discount use_target_graph target_update_frequency dueling use_expert_demo clip_gradients clip_embed_gradients "
    "temperature target_update_tau is_continuous summaries name loss_config optimizer_config exploration_config "
    "eval_metrics_config",
    "DQNModel": "expert_margin expert_weight",
    "CategoricalDQNModel": "expert_margin expert_weight min_q_value max_q_value double",
    "NAFModel": "action_low action_high",
    "UniformReplay": "n_step frame_stack demo_share demonstrations",
    "PrioritizedReplay": "n_step frame_stack alpha beta beta_steps epsilon demo_epsilon demonstrations",
}
CONFIGS = {
    getattr(configs, name): {}
    for name in configs.__all__
    if name not in ("Config", "OptimizerConfig", "ScheduleConfig", "LossConfig", "ExplorationConfig")
}
for name in ("ExponentialDecay", "InverseTimeDecay", "PolynomialDecay", "CosineDecay"):
    CONFIGS[getattr(configs, f"{name}Config")] = {"initial_learning_rate": 0.1, "decay_steps": 5}
for name in ("ExponentialDecay", "InverseTimeDecay"):
    CONFIGS[getattr(configs, f"{name}Config")]["decay_rate"] = 0.5
CONFIGS[configs.PiecewiseConstantDecayConfig] = {"boundaries": (3,), "values": (0.1, 0.2)}
CONFIGS[configs.CosineDecayRestartsConfig] = {"initial_learning_rate": 0.1, "first_decay_steps": 5}


def names_of(kind: type) -> list[str]:
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    models = FURTHER["models"] if kind.__module__.startswith("polyrl.models") else ""
    return [*USUAL[kind], *models.split(), *FURTHER.get(kind.__name__, "").split()]


@functools.cache
def scope_of(kind: type) -> Scope:
    return Scope()


def made(kind: type, arguments: dict[str, Any]) -> Any:
    if kind.__module__.startswith("polyrl.models"):
        with scope_of(kind).active():
            return kind(**arguments)
    return kind(**arguments)


def is_number(value: Any) -> bool:
    """Whether something is what a person would call a number, and finite as a float."""
    if isinstance(value, np.ndarray):
        return value.size == 1 and is_number(value.item())
    try:
        return not isinstance(value, (str, bytes, complex)) and math.isfinite(float(value))
    except Exception:
        return False


NEVER_NAN = ("dueling", "mode", "name", "jit", "graph_fn")


def an_argument_is_taken_or_refused(case: Any) -> None:
    """What is taken is usable: a number where the default is one, a bool where it is one; a config can be built and run."""
    kind, key, value = case
    if key == "num_actions" and isinstance(value, (int, np.integer)) and value > 1_000:
        return  # Valid, and more than the memory of this computer.
    given = {**CONFIGS.get(kind, USUAL.get(kind, {})), key: value}
    taken, found = attempt(lambda: made(kind, given), key, *given, str(kind.__name__))
    if not taken:
        return
    kept = getattr(found, key, None)
    if isinstance(value, float) and math.isnan(value):
        raise AssertionError(f"{kind.__name__}({key}=nan) was taken")
    if isinstance(kept, (float, np.floating)):
        assert math.isfinite(kept), f"{kind.__name__}({key}={value!r}) was taken"
        assert is_number(value), f"{kind.__name__}({key}={value!r}) became {kept}"
        assert kept == pytest.approx(float(np.asarray(value).item()), rel=1e-12)
    elif isinstance(kept, np.ndarray):
        assert np.isfinite(kept).all(), f"{kind.__name__}({key}={value!r}) became {kept}"
    elif isinstance(kept, (bool, int)) and value is not None:
        assert kept == value or kept is value, f"{kind.__name__}({key}={value!r}) became {kept}"
    if isinstance(found, configs.Config):
        assert configs.Config.from_dict({**found.to_dict()}) == found
        json.dumps(found.to_dict())
        greatest = 10 if key == "learning_rate_power" else 1_000  # Beyond it, it may overflow, rightly.
        if not is_number(value) or abs(float(np.asarray(value).item())) <= greatest:
            used(found)


def used(config: Any) -> None:
    """Does with a config what a run does."""
    if isinstance(config, configs.ExplorationConfig):
        rates = [float(config.rate(tf.constant(step, tf.int64))) for step in (0, 1, 10**6)]
        assert np.isfinite(rates).all(), f"{config} gives {rates}"
    elif isinstance(config, configs.ScheduleConfig):
        rates = [float(config.build()(step)) for step in (0, 1)]
        assert np.isfinite(rates).all(), f"{config} gives {rates}"
    elif isinstance(config, configs.LossConfig):
        assert np.isfinite(config.build()(tf.constant([1.0]), tf.constant([3.0])).numpy()).all()
    elif isinstance(config, configs.OptimizerConfig):
        variable = tf.Variable([1.0])
        optimizer = config.build()
        optimizer.build([variable])
        optimizer.apply_gradients([(tf.constant([0.5]), variable)])
        assert np.isfinite(variable.numpy()).all(), f"{config} gives {variable.numpy()}"


# Names, params and paths. ---------------------------------------------------------------------------------------------------


def a_name_is_taken_if_it_trains(case: Any) -> None:
    """By TensorFlow's own rules: a scope of that name, and a tag of TensorBoard."""
    with Scope().active():
        taken, found = attempt(lambda: DQNModel("train", mlp([2]), 4, 2, name=case, summaries=[]), "name")
    if taken:
        with tf.Graph().as_default(), tf.name_scope(found.name) as scope:
            assert scope == f"{case}/"


def params_are_kept_or_refused(case: Any) -> None:
    taken, frozen = attempt(lambda: frozen_params(case), "params")
    if not taken:
        return
    with tempfile.TemporaryDirectory() as directory:
        write_params(Path(directory), frozen.to_dict(), {})
        (Path(directory) / "checkpoints" / "ckpt-1").mkdir(parents=True)
        (Path(directory) / "checkpoints" / "ckpt-1" / "state.json").touch()
        check_same_params(Path(directory), frozen_params(case).to_dict())
        again = frozen_params(read_params(Path(directory)))
    assert again == frozen


def a_path_is_used_or_refused(case: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/{case}" if isinstance(case, str) else case
        taken, found = attempt(lambda: resolved_directory("model_dir", path), "model_dir")
        if taken and isinstance(case, str):
            write_params(found, {"a": 1}, {})
            assert json.loads((found / "params.json").read_text())["params"] == {"a": 1}


VALUES = st.one_of(NUMBERS, ODD, INTS, FLOATS, nests(NUMBERS), ANYTHING)
PLACES = [(kind, key) for kind in (*USUAL, *CONFIGS) for key in names_of(kind)]
ARGUMENTS = st.sampled_from(PLACES).flatmap(lambda place: st.tuples(st.just(place[0]), st.just(place[1]), VALUES))
LETTERS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)
NAMES = st.one_of(LETTERS, st.text("aZ09_.-/ \\>", max_size=5), ODD)
KEYS = st.one_of(st.text("ab_", min_size=1, max_size=3), LETTERS, st.integers(0, 2), st.none())
PARAMS = st.one_of(st.dictionaries(KEYS, nests(st.one_of(VALUES, st.text("ab")), KEYS), max_size=3), ANYTHING)
PATHS = st.one_of(LETTERS, st.text("a[]*?~ \\é/.", max_size=8), ODD.filter(lambda x: not isinstance(x, str)))
PROPERTIES = {
    "arguments": (an_argument_is_taken_or_refused, ARGUMENTS),
    "names": (a_name_is_taken_if_it_trains, NAMES),
    "params": (params_are_kept_or_refused, PARAMS),
    "paths": (a_path_is_used_or_refused, PATHS),
}


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", PROPERTIES)
def test_configuration_is_used_as_given_or_refused(name):
    quick(*PROPERTIES[name], examples=200)


@slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_configuration_is_used_as_given_or_refused_for_long(name):
    drive(*PROPERTIES[name], seconds=60 if name == "arguments" else 15)


@pytest.mark.parametrize("memory", [3, None, UniformReplay])
def test_an_agents_memory_is_a_memory(memory, tmp_path):
    assert attempt(lambda: Agent(lambda features, labels, mode: None, memory, tmp_path), "memory")[0] is False
