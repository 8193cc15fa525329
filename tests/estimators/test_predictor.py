"""`Predictor`: apart from training, from a directory alone, with random numbers of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from predictor_testing import FAST, MODELS, STATE, STATES, at, environment, naf_fn, q_values, states
from tf_keras.optimizers import Optimizer
from tiny_agents import assert_equal, differ, make_agent, q_model_fn, rows, weights
from tiny_envs import TargetEnv

from polyrl.errors import CheckpointMismatchError, NotTrainedError
from polyrl.estimators import EstimatorSpec, RunConfig
from polyrl.estimators.hooks import EvaluationHook
from polyrl.estimators.prediction.predictor import Predictor
from polyrl.models import DQNModel, NAFModel, QNetwork
from polyrl.models.scope import current_scope
from polyrl.networks import mlp
from polyrl.replay import Replay

# Apart from training. ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_it_has_neither_memory_nor_optimizer_and_shares_no_variable(directories, kind):
    agent = make_agent(MODELS[kind], model_dir=directories[kind])
    predictor = agent.predictor()
    predictor.evaluate(environment(kind), 1)
    predictor.act(states(kind))
    parts = predictor._scope.parts.values()
    assert any(isinstance(part, QNetwork) for part in parts)
    assert not any(isinstance(part, Optimizer | Replay) for part in parts)
    training = {variable.ref() for variable in (*agent._scope.variables, *agent.memory.variables)}
    other = {variable.ref() for variable in agent.predictor()._scope.variables}
    assert not training & {variable.ref() for variable in predictor._scope.variables}
    assert not other & {variable.ref() for variable in predictor._scope.variables}


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", ["latest", "best", "path"])
def test_training_on_does_not_move_it(run, checkpoint):
    agent = make_agent(MODELS["dqn"], model_dir=run)
    predictor = agent.predictor(at(run, 40) if checkpoint == "path" else checkpoint)
    before = weights_of(predictor)
    counted, acted = predictor.counters, predictor.act(STATES)
    agent.train(environment(), first_update=4, timesteps=80)
    assert_equal(weights_of(predictor), before)
    assert predictor.counters == counted
    np.testing.assert_array_equal(predictor.act(STATES), acted)
    assert differ({k: v for k, v in weights(agent).items() if k in before}, before)


def weights_of(predictor: Predictor) -> dict[str, np.ndarray]:
    """Every weight of its networks by name."""
    networks = {name: part for name, part in predictor._scope.parts.items() if isinstance(part, QNetwork)}
    return {
        f"{name}/{label}": variable.numpy()
        for name, network in networks.items()
        for label, variable in network.labelled_variables().items()
    }


@pytest.mark.slow
def test_it_says_what_it_holds(directories):
    agent = make_agent(MODELS["dqn"], model_dir=directories["dqn"])
    for which, timestep in ((None, 60), ("latest", 60), (at(agent.model_dir, 20), 20), (str(at(agent.model_dir, 40)), 40)):
        predictor = agent.predictor(which)
        assert predictor.checkpoint == at(agent.model_dir, timestep)
        assert predictor.counters["global_timestep"] == timestep
    assert agent.predictor("best").checkpoint.parent == agent.model_dir / "best"


# Random numbers. --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["dqn", pytest.param("c51", marks=pytest.mark.slow)])
def test_each_call_draws_again_and_two_predictors_draw_the_same(directories, kind, jit):
    """The same action for ever, 40 of 40: the seed came from a counter that stands still in prediction."""
    values = {"max_q_value": 9.0} if kind == "c51" else {}
    agent = make_agent(q_model_fn(kind, temperature=1e4, **FAST, **values), model_dir=directories[kind], jit=jit)
    first, second = agent.predictor(), agent.predictor()
    drawn = [first.act(STATE) for _ in range(40)]
    assert set(drawn) == {0, 1, 2}
    assert [second.act(STATE) for _ in range(40)] == drawn
    assert [agent.act(STATE) for _ in range(40)] == drawn
    batches = [first.act(STATES) for _ in range(2)]
    assert not np.array_equal(*batches)
    assert [set(batch.tolist()) for batch in batches] == [{0, 1, 2}] * 2


@pytest.mark.slow
def test_naf_draws_again_too(directories):
    def warm_fn(features: Any, labels: Any, mode: str) -> Any:
        bounds = {"action_low": TargetEnv.LOW, "action_high": TargetEnv.HIGH}
        return NAFModel(mode, mlp([8]), 3, 2, summaries=[], temperature=1.0, **bounds)(features, labels)

    first, second = (Predictor.from_model_dir(directories["naf"], warm_fn) for _ in range(2))
    drawn = [first.act(np.ones(3)).tolist() for _ in range(20)]
    assert len({str(action) for action in drawn}) > 10
    assert [second.act(np.ones(3)).tolist() for _ in range(20)] == drawn


def params_fn(features: Any, labels: Any, mode: str, params: Any) -> Any:
    return DQNModel(mode, mlp(params.units), 4, 3, summaries=[], **FAST)(features, labels)


@pytest.fixture(scope="module")
def with_params(tmp_path_factory) -> Path:
    agent = make_agent(params_fn, model_dir=tmp_path_factory.mktemp("params") / "run", params={"units": (8, 4)})
    agent.train(environment(), first_update=4, max_timesteps=20, hooks=[EvaluationHook(environment(), 10, 1)])
    return agent.model_dir


# Without an agent. ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("params", "checkpoint"),
    [
        (None, None),
        ({"units": (8, 4)}, "best"),
        pytest.param({"units": [8, 4]}, "path", marks=pytest.mark.slow),
        pytest.param(None, "latest", marks=pytest.mark.slow),
    ],
)
def test_from_a_directory_alone(with_params, params, checkpoint):
    which = at(with_params, 20) if checkpoint == "path" else checkpoint
    predictor = Predictor.from_model_dir(with_params, params_fn, params, which, RunConfig(jit="off"))
    agent = make_agent(params_fn, model_dir=with_params, params={"units": (8, 4)})
    np.testing.assert_array_equal(predictor.act(STATES), agent.act(STATES, which))
    assert predictor.evaluate(environment(), 2) == agent.evaluate(environment(), 2, which)
    own = q_values(predictor.predict(environment()), 7)
    assert own == q_values(agent.predict(environment(), checkpoint=which), 7)


def test_other_params_than_those_trained_with_do_not_fit(with_params):
    with pytest.raises(CheckpointMismatchError, match="another architecture"):
        Predictor.from_model_dir(with_params, params_fn, {"units": (8, 5)})


@pytest.mark.slow
def test_the_best_alone_is_enough(with_params, tmp_path):
    """As when the checkpoints to resume from were cleared away."""
    run = Path(shutil.copytree(with_params, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints")
    expected = Predictor.from_model_dir(with_params, params_fn, checkpoint="best").act(STATES)
    np.testing.assert_array_equal(Predictor.from_model_dir(run, params_fn, checkpoint="best").act(STATES), expected)


@pytest.mark.slow
def test_the_seed_is_that_of_the_run(tmp_path):
    """So that a predictor without an agent draws what the agent's draws."""
    warm = q_model_fn(temperature=1e4)
    agent = make_agent(warm, model_dir=tmp_path / "run", seed=7)
    agent.train(environment(), first_update=4, max_timesteps=8)
    assert Predictor.from_model_dir(tmp_path / "run", warm).act(STATES).tolist() == agent.act(STATES).tolist()


MAKERS = {
    "agent": lambda model_dir, model_fn, which: make_agent(model_fn, model_dir=model_dir).predictor(which),
    "act": lambda model_dir, model_fn, which: make_agent(model_fn, model_dir=model_dir).act(STATE, which),
    "directory": lambda model_dir, model_fn, which: Predictor.from_model_dir(model_dir, model_fn, None, which),
}


@pytest.mark.parametrize("make", MAKERS)
def test_without_a_checkpoint_there_is_nothing_to_predict_with(directories, tmp_path, make):
    for which in (None, "latest", "best"):
        with pytest.raises(NotTrainedError, match="Train first"):
            MAKERS[make](tmp_path / "none", MODELS["dqn"], which)
    with pytest.raises(NotTrainedError, match="is not a checkpoint"):
        MAKERS[make](directories["dqn"], MODELS["dqn"], at(directories["dqn"], 21))
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
def test_without_an_evaluation_there_is_no_best_one(tmp_path, make):
    make_agent(MODELS["dqn"], model_dir=tmp_path).train(environment("dqn"), first_update=4, max_timesteps=8)
    with pytest.raises(NotTrainedError, match=r"no best checkpoint .*: no evaluation has taken place .* Use 'latest'"):
        MAKERS[make](tmp_path, MODELS["dqn"], "best")


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "model_fn", [q_model_fn(units=9), q_model_fn("c51"), q_model_fn(num_actions=4)], ids=["units", "kind", "actions"]
)
def test_another_model_does_not_fit(directories, make, model_fn):
    with pytest.raises(CheckpointMismatchError, match="ckpt-000000060"):
        MAKERS[make](directories["dqn"], model_fn, None)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("naf", {"action_low": -20.0, "action_high": 20.0}),
        ("c51", {"max_q_value": 77.0}),
        ("c51", {"num_atoms": 5}),
        ("dqn", {"dueling": "max"}),
    ],
)
def test_weights_that_meant_something_else_are_refused_by_the_arguments_name(directories, kind, changed):
    """With other bounds NAF's actions were ten times as large, in `act` and in what was exported."""

    def naf(features, labels, mode):
        return NAFModel(mode, mlp([8]), 3, 2, **changed)(features, labels)

    own = {} if kind == "dqn" else {"max_q_value": 9.0}
    model_fn = naf if kind == "naf" else q_model_fn(kind, **{**own, **changed})
    words = "; ".join(rf"{name}=[^;]+ there, [^;]+ now" for name in changed)
    with pytest.raises(CheckpointMismatchError, match=f"trained with other arguments of the model 'Model': {words}"):
        make_agent(model_fn, model_dir=directories[kind]).act(STATE)


@pytest.mark.slow
def test_an_export_replaces_an_export_and_nothing_else(directories, tmp_path):
    """It wrote among the files of anybody, as into the model_dir of a run."""
    predictor = make_agent(MODELS["dqn"], model_dir=directories["dqn"]).predictor()
    for _ in range(2):
        predictor.export(tmp_path / "saved")
    before = sorted(directories["dqn"].rglob("*"))
    with pytest.raises(FileExistsError, match=r"holds '\S+', which is not of an export; give a directory of its own"):
        predictor.export(directories["dqn"])
    assert sorted(directories["dqn"].rglob("*")) == before


@pytest.mark.slow
def test_evaluate_is_that_of_the_agent(directories):
    for kind, which in (("dqn", None), ("c51", "best")):
        agent = make_agent(MODELS[kind], model_dir=directories[kind])
        assert agent.predictor(which).evaluate(environment(kind), 3) == agent.evaluate(environment(kind), 3, which)


@pytest.mark.slow
def test_continuous_actions_are_not_recorded_and_nothing_is_played(directories):
    env = TargetEnv(4)
    with pytest.raises(TypeError, match=r"float32 \(2,\); demonstrations hold discrete"):
        make_agent(naf_fn, model_dir=directories["naf"]).record(env, 2)
    assert env.actions == []


@pytest.mark.slow
def test_the_agent_leaves_memory_and_weights_alone(directories):
    agent = make_agent(MODELS["dqn"], model_dir=directories["dqn"])
    agent.act(STATE)
    agent.evaluate(environment(), 1)
    assert weights(agent) == {}
    with pytest.raises(RuntimeError, match="no storage"):  # Nothing was built.
        rows(agent)


class Extra(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = tf.Variable(1.0)


def later_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
    """Has a variable that acting in mode `infer` does not read."""
    scope = current_scope()
    predictions = {"results": tf.zeros_like(features["state"][:, 0], tf.int32)}
    if mode == "infer":
        return EstimatorSpec(mode, predictions)
    extra = scope.get("extra", Extra)
    if labels is None:
        return EstimatorSpec(mode, predictions)

    def train_op() -> tf.Tensor:
        extra.value.assign_add(1.0)
        return scope.global_step.assign_add(1)

    return EstimatorSpec(mode, predictions, extra.value.read_value(), train_op if mode == "train" else None)


def test_what_evaluation_alone_reads_comes_from_the_checkpoint_too(tmp_path):
    agent = make_agent(later_fn, model_dir=tmp_path / "run")
    agent.train(environment(), first_update=4, timesteps=9)
    predictor, late = agent.predictor(), agent.predictor()
    assert predictor.evaluate(environment(), 1)["loss"] == 6.0
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert predictor.evaluate(environment(), 1)["loss"] == 6.0
    for _ in range(2):
        with pytest.raises(NotTrainedError, match="keep more checkpoints"):
            late.evaluate(environment(), 1)
