"""Nothing a Q model accepts is ignored: docs/models.md lists every argument and method with the tests that hold it."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from polyrl.configs import AdamConfig, HuberLossConfig
from polyrl.models import BaseQModel, CategoricalDQNModel, DDQNModel, DQNModel, NAFModel, QModelSpec
from polyrl.networks import mlp

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


def rows() -> dict[str, tuple[str, list[str]]]:
    """What stands in the first column: the row, and the tests it names."""
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        tests = re.findall(r"`(tests/[\w/]+\.py::\w+)`", line)
        if line.startswith("|") and tests:
            found[cells[0].strip("| `")] = (line, tests)
    return found


ROWS = rows()


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
def named_tests(path: str) -> dict[str, str]:
    """The test functions of a file with their source."""
    source = (ROOT / path).read_text()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_source_segment(source, node) or "" for node in functions if node.name.startswith("test_")}


@pytest.mark.parametrize("model_class", [BaseQModel, DQNModel, DDQNModel, CategoricalDQNModel, NAFModel])
def test_every_parameter_is_listed_with_the_tests_that_show_what_it_does(model_class):
    missing = parameters(model_class) - set(ROWS)
    assert not missing, f"{model_class.__name__}: add {sorted(missing)} to the tables of docs/models.md, with a test of each."


def test_a_parameter_that_is_not_listed_is_found():
    class Longer(CategoricalDQNModel):
        def __init__(self, *args, sharpness=1.0, **kwargs):
            super().__init__(*args, **kwargs)

    assert parameters(Longer) - set(ROWS) == {"sharpness"}


def test_the_page_lists_no_argument_that_does_not_exist():
    listed = {name for name in ROWS if re.fullmatch(r"[a-z]\w*", name)}
    assert listed == parameters(CategoricalDQNModel) | parameters(NAFModel)


@pytest.mark.parametrize("row", ROWS)
def test_the_tests_a_row_names_exist_and_are_about_it(row):
    _, tests = ROWS[row]
    assert tests
    for test in tests:
        path, name = test.split("::")
        assert name in named_tests(path), f"{test} does not exist."
    if row in parameters(CategoricalDQNModel) | parameters(NAFModel):
        files = " ".join((ROOT / test.split("::")[0]).read_text() for test in tests)
        assert re.search(rf"\b{row}\b", files), f"None of the files of {tests} speaks of {row}."


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
    state, following = rng.normal(size=[2, 5, 3]).astype(np.float32)
    labels = {"action": rng.integers(0, 2, 5), "reward": rng.normal(size=5), "done": np.zeros(5), "next_state": following}
    return {"state": state}, labels


@pytest.mark.parametrize("model_class", [DQNModel, DDQNModel, CategoricalDQNModel])
def test_each_method_of_the_page_is_one_that_the_template_calls(model_class, monkeypatch):
    assert set(METHODS) < set(ROWS)
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
