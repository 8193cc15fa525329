"""The constructors' arguments: their order, and that all models of one name in a scope have the same."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from polyrl.configs import (
    AdamConfig,
    ConstantExplorationConfig,
    HuberLossConfig,
    MeanSquaredErrorConfig,
    MetricConfig,
    OrnsteinUhlenbeckExplorationConfig,
    SGDConfig,
)
from polyrl.models import BaseModel, BaseQModel, CategoricalDQNModel, DDQNModel, DQNModel, NAFModel, Scope
from polyrl.networks import mlp

CLASSES = [BaseQModel, DQNModel, DDQNModel, CategoricalDQNModel, NAFModel]
TORSO = mlp([4])


def positional(model_class: type[BaseQModel], mode: str = "train") -> list[Any]:
    """The 18 arguments of the seed, each with another value than its default."""
    c51, naf = issubclass(model_class, CategoricalDQNModel), issubclass(model_class, NAFModel)
    return [
        mode,
        TORSO,
        5,
        3,
        None if c51 else MeanSquaredErrorConfig(),
        SGDConfig(0.5),
        [MetricConfig("Mean", "td_error")],
        0.25,
        ConstantExplorationConfig(0.125),
        False,
        7,
        naf,
        True if naf else "max",
        not naf,
        ["loss"],
        0.75,
        0.375,
        "Mine",
    ]


NAMES = [
    "mode",
    "graph_fn",
    "num_states",
    "num_actions",
    "loss_config",
    "optimizer_config",
    "eval_metrics_config",
    "discount",
    "exploration_config",
    "use_target_graph",
    "target_update_frequency",
    "is_continuous",
    "dueling",
    "use_expert_demo",
    "summaries",
    "clip_gradients",
    "clip_embed_gradients",
    "name",
]


# The signature --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", [*CLASSES, BaseModel])
def test_every_constructor_spells_its_arguments_out(model_class):
    kinds = {parameter.kind for parameter in inspect.signature(model_class).parameters.values()}
    assert kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("model_class", CLASSES)
def test_the_seeds_order_is_that_of_every_constructor(model_class):
    parameters = inspect.signature(model_class).parameters
    assert [name for name, p in parameters.items() if p.kind == p.POSITIONAL_OR_KEYWORD] == NAMES


@pytest.mark.parametrize("model_class", CLASSES)
def test_all_arguments_may_be_given_by_position(model_class):
    values = positional(model_class)
    by_position, by_name = model_class(*values), model_class(**dict(zip(NAMES, values, strict=True)))
    for model in (by_position, by_name):
        assert (model.mode, model.graph_fn, model.num_states, model.num_actions) == ("train", TORSO, (5,), 3)
        expected_loss = HuberLossConfig() if model_class is CategoricalDQNModel else MeanSquaredErrorConfig()
        assert model.loss_config == expected_loss
        assert model.optimizer_config == SGDConfig(0.5)
        assert model.eval_metrics_config == (MetricConfig("Mean", "td_error"),)
        assert model.discount == 0.25
        assert model.exploration_config == ConstantExplorationConfig(0.125)
        assert (model.use_target_graph, model.target_update_frequency) == (False, 7)
        assert model.is_continuous is (model_class is NAFModel)
        assert model.dueling == (True if model_class is NAFModel else "max")
        assert (model.expert_loss is None) == (model_class is NAFModel)
        assert model.summaries == ("loss",)
        assert (model.clip_gradients, model.clip_embed_gradients, model.name) == (0.75, 0.375, "Mine")


@pytest.mark.parametrize("model_class", CLASSES)
def test_a_nineteenth_by_position_is_refused(model_class):
    with pytest.raises(TypeError, match="positional arguments"):
        model_class(*positional(model_class), 0.5)


# One name, one set of arguments ---------------------------------------------------------------------------------------

C51 = {"num_atoms": 11, "min_q_value": -2.0, "max_q_value": 3.0}
OU = {"is_continuous": True, "exploration_config": OrnsteinUhlenbeckExplorationConfig(theta=0.2)}
DIFFERENT = [
    (DQNModel, {}, {"dueling": "max"}, r"dueling is 'mean' there, 'max' here"),
    (DQNModel, {"dueling": None}, {"dueling": "mean"}, r"dueling is None there, 'mean' here"),
    (DDQNModel, {}, {"num_actions": 4}, r"num_actions is 3 there, 4 here"),
    (CategoricalDQNModel, C51, {"num_atoms": 12}, r"num_atoms is 11 there, 12 here"),
    (
        CategoricalDQNModel,
        C51,
        {"min_q_value": -1.0, "max_q_value": 2.5},
        r"max_q_value is 3\.0 there, 2\.5 here; min_q",
    ),
    (
        NAFModel,
        {"is_continuous": True},
        {"action_high": 2.0},
        r"action_high is \[1\.0, 1\.0, 1\.0\] there, \[2\.0, 2",
    ),
]


def build(scope: Scope, model_class: type[BaseQModel], mode: str = "train", **arguments: Any) -> BaseQModel:
    given = {"num_states": 4, "num_actions": 3, "summaries": [], **arguments}
    with scope.active():
        return model_class(mode, mlp([4]), **given)


@pytest.mark.default_cases(5)
@pytest.mark.parametrize(("first", "second"), [("train", "train"), ("train", "infer"), ("eval", "train"), ("infer", "eval")])
@pytest.mark.parametrize(("model_class", "given", "other", "words"), DIFFERENT)
def test_other_arguments_under_the_same_name_are_refused_with_the_difference(
    scope, batch, model_class, given, other, words, first, second
):
    build(scope, model_class, first, **given)(batch()[0])
    with pytest.raises(ValueError, match=f"A model name='Model' with other arguments exists in this scope: {words}"):
        build(scope, model_class, second, **{**given, **other})(batch()[0])
    build(scope, model_class, second, **{**given, **other}, name="Another")(batch()[0])


@pytest.mark.parametrize("acting", [True, False])
def test_another_optimizer_is_refused_in_mode_train(scope, batch, acting):
    build(scope, DQNModel, optimizer_config=SGDConfig(0.1))(*batch()).train_op()
    features, labels = batch()
    with pytest.raises(ValueError, match=r"'Model/optimizer_config' exists in this scope, made from SGDConfig.*AdamConfig"):
        build(scope, DQNModel, optimizer_config=AdamConfig(0.1))(features, None if acting else labels)
    build(scope, DQNModel, "eval", optimizer_config=AdamConfig(0.1))(features, labels)
    build(scope, DQNModel, optimizer_config=SGDConfig(0.1))(*batch()).train_op()
    assert scope.global_step.numpy() == 2


def test_another_metric_of_the_same_name_is_refused(scope, batch):
    def evaluate(prediction):
        metrics = [MetricConfig("Mean", prediction, name="score")]
        return build(scope, DQNModel, "eval", eval_metrics_config=metrics)(*batch())

    evaluate("td_error")
    with pytest.raises(ValueError, match=r"'Model/metrics/score' exists in this scope, made from MetricConfig.*'losses'"):
        evaluate("losses")
    evaluate("td_error")


def test_another_process_of_noise_is_refused(scope, batch):
    features = {**batch()[0], "step_type": [0] * 6}
    build(scope, NAFModel, **OU)(features)
    other = build(scope, NAFModel, is_continuous=True, exploration_config=OrnsteinUhlenbeckExplorationConfig(theta=0.3))
    with pytest.raises(ValueError, match=r"'Model/explorer.*made from OrnsteinUhlenbeckExplorationConfig.*theta=0\.3"):
        other(features)
    build(scope, NAFModel, **OU)(features)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("model_class", [DQNModel, DDQNModel, CategoricalDQNModel, NAFModel])
def test_the_same_arguments_are_accepted_in_all_modes(scope, batch, model_class):
    features, labels = batch()
    if model_class is NAFModel:
        labels = {**labels, "action": [[0.5, 0.0, -0.5]] * 6}
    for _ in range(2):
        for mode in ("train", "eval", "infer"):
            with scope.active():
                model = model_class(*positional(model_class, mode)[:2], 4, *positional(model_class, mode)[3:])
            model(features)
            if mode != "infer":
                model(features, {**labels, "expert": [0.0] * 6})


def test_a_name_belongs_to_one_class(scope, batch):
    build(scope, DQNModel)(batch()[0])
    with pytest.raises(ValueError, match="name='Model' belongs to a DQNModel in this scope; give the DDQNModel a name"):
        build(scope, DDQNModel)
