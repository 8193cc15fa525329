"""Nothing a Q model accepts is ignored: every argument and method is in docs/models.md, and has a test of what it does."""

from __future__ import annotations

import functools
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from contract_table import HELD_BY

from polyrl.configs import AdamConfig, HuberLossConfig
from polyrl.models import (
    BaseQModel,
    CategoricalDQNModel,
    DDQNModel,
    DQNModel,
    ExpectedSarsaModel,
    IQNModel,
    MunchausenDQNModel,
    MunchausenIQNModel,
    NAFModel,
    PQNModel,
    QModelSpec,
    QRDQNModel,
    R2D2Model,
    RainbowModel,
)
from polyrl.networks import mlp

FAMILY = [
    BaseQModel,
    DQNModel,
    DDQNModel,
    CategoricalDQNModel,
    QRDQNModel,
    IQNModel,
    MunchausenDQNModel,
    MunchausenIQNModel,
    RainbowModel,
    ExpectedSarsaModel,
    PQNModel,
    R2D2Model,
    NAFModel,
]
ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "models.md").read_text()
SIGNATURE = {
    "mode": inspect.Parameter.empty,
    "graph_fn": inspect.Parameter.empty,
    "num_states": inspect.Parameter.empty,
    "num_actions": inspect.Parameter.empty,
    "loss_config": None,
    "optimizer_config": None,
    "eval_metrics_config": None,
    "discount": 0.97,
    "exploration_config": None,
    "use_target_graph": True,
    "target_update_frequency": 5,
    "is_continuous": False,
    "dueling": "mean",
    "use_expert_demo": False,
    "summaries": "all",
    "clip_gradients": 0.5,
    "clip_embed_gradients": 0.1,
    "name": "Model",
}
"""The original's, in its order."""
METHODS = (
    "_build_exploration",
    "_build_actions",
    "_build_graph_fn",
    "_call_graph_fn",
    "_build_update_target_graph",
    "_build_train_op",
    "_preprocess",
)


def parameters(model_class: type) -> set[str]:
    """All that the constructor takes, those that it hands on to its parents' included."""
    names: set[str] = set()
    for each in model_class.__mro__:
        if "__init__" in vars(each):
            given = list(inspect.signature(each.__init__).parameters.values())[1:]
            names |= {p.name for p in given if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
            if not any(p.kind == p.VAR_KEYWORD for p in given):
                return names
    return names


@functools.cache
def all_tests() -> dict[str, str]:
    """The sources of the files that hold a test, by the test's name."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        source = path.read_text()
        for name in re.findall(r"^def (test_\w+)\(", source, flags=re.MULTILINE):
            found[name] = found.get(name, "") + source
    return found


def documented() -> set[str]:
    """What stands in the first column of the page's tables: arguments, and methods without their signatures."""
    return set(re.findall(r"^\| `(\w+)(?:\(.*?\))?` \|", PAGE, flags=re.MULTILINE))


def methods(model_class: type) -> set[str]:
    """The steps of the template, and what a Q model adds to them."""
    parts = {"_build_head", "_build_policy"}  # Of `_build_graph_fn` and `_build_actions`.
    return {n for n in dir(model_class) if n.startswith("_build_") or n in ("_call_graph_fn", "_preprocess")} - parts


@pytest.mark.parametrize("model_class", FAMILY)
def test_every_argument_and_method_is_documented_and_has_a_test(model_class):
    names = parameters(model_class) | methods(model_class) | {"current_call"}
    untested = names - set(HELD_BY)
    assert not untested, f"{model_class.__name__}: write a test of {sorted(untested)}, and put it into TABLE."
    undocumented = names - documented() - {"current_call"}
    assert not undocumented, f"{model_class.__name__}: add {sorted(undocumented)} to the tables of docs/models.md."
    assert "`current_call`" in PAGE


def test_an_argument_or_a_method_that_is_not_listed_is_found():
    class Longer(CategoricalDQNModel):
        def __init__(self, *args, sharpness=1.0, **kwargs):
            super().__init__(*args, **kwargs)

        def _build_sharpness(self):
            return 1.0

    assert parameters(Longer) - set(HELD_BY) == parameters(Longer) - documented() == {"sharpness"}
    assert methods(Longer) - set(HELD_BY) == methods(Longer) - documented() == {"_build_sharpness"}


def test_the_page_lists_nothing_that_does_not_exist():
    arguments = {name for name in documented() if not name.startswith("_")}
    assert arguments == set().union(*map(parameters, FAMILY))
    assert documented() - arguments == methods(BaseQModel) | {"__call__"}


def test_the_page_is_for_readers_and_lists_no_tests():
    assert not re.findall(r"test_\w+", PAGE)


@pytest.mark.parametrize("name", HELD_BY)
def test_the_tests_exist_and_are_about_it(name):
    assert HELD_BY[name]
    missing = [test for test in HELD_BY[name] if test not in all_tests()]
    assert not missing, f"There is no test called {missing}."
    if re.fullmatch(r"\w+", name) and name != "__call__":
        files = " ".join(all_tests()[test] for test in HELD_BY[name])
        assert re.search(rf"\b{name}\b", files), f"None of the files of {HELD_BY[name]} speaks of {name}."


def test_the_signature_is_the_originals():
    given = inspect.signature(BaseQModel).parameters
    positional = {name: p.default for name, p in given.items() if p.kind == p.POSITIONAL_OR_KEYWORD}
    assert list(positional.items()) == list(SIGNATURE.items())
    assert all(p.kind == p.KEYWORD_ONLY for name, p in given.items() if name not in SIGNATURE)
    shown = re.search(r"BaseQModel\((.*?)\)\n", PAGE, flags=re.DOTALL)
    assert shown is not None
    defaults = {name: value for name, value in SIGNATURE.items() if value is not inspect.Parameter.empty}
    words = ["mode", "graph_fn", "num_states", "num_actions", *(f"{name}={value!r}" for name, value in defaults.items())]
    assert re.sub(r"\s+", " ", shown[1]) == ", ".join(words)


def test_the_defaults_are_those_of_the_page():
    model = DQNModel("train", mlp([4]), 3, 2)
    assert (model.optimizer_config, model.loss_config) == (AdamConfig(), HuberLossConfig(delta=1.0))
    assert model.eval_metrics_config == ()


def batch():
    rng = np.random.default_rng(0)
    state, next_state = rng.normal(size=[2, 5, 3]).astype(np.float32)
    labels = {"action": rng.integers(0, 2, 5), "reward": rng.normal(size=5), "done": np.zeros(5), "next_state": next_state}
    return {"state": state}, labels


@pytest.mark.parametrize("model_class", [DQNModel, DDQNModel, CategoricalDQNModel])
def test_each_method_of_the_page_is_one_that_the_template_calls(model_class, monkeypatch):
    assert set(METHODS) < documented()
    called = []
    for name in METHODS:
        original = getattr(model_class, name)

        def noted(self, *arguments, _name=name, _original=original):
            called.append(_name)
            return _original(self, *arguments)

        monkeypatch.setattr(model_class, name, noted)
    features, labels = batch()
    model = model_class("train", mlp([4]), 3, 2, target_update_frequency=1)
    model(features)
    assert set(called) == {"_preprocess", "_call_graph_fn", "_build_graph_fn", "_build_actions", "_build_exploration"}
    model(features, labels).train_op()
    assert set(called) == set(METHODS)


def test_the_graph_function_gives_a_q_model_spec():
    """Torso, then heads, then their combination: `Q = V + A - mean(A)`."""
    model = DQNModel("train", lambda mode, inputs: 2.0 * inputs["state"], 3, 2)
    spec = model._build_graph_fn()("train", {"state": tf.ones([5, 3])})
    assert isinstance(spec, QModelSpec)
    assert spec._fields[:4] == ("graph_outputs", "a", "v", "q")
    np.testing.assert_array_equal(spec.graph_outputs, np.full([5, 3], 2.0))
    assert (spec.a.shape, spec.v.shape, spec.q.shape) == ((5, 2), (5, 1), (5, 2))
    np.testing.assert_allclose(spec.q, spec.v + spec.a - tf.reduce_mean(spec.a, axis=1, keepdims=True), rtol=1e-6)
