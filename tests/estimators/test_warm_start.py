"""Variables of a checkpoint by name, and runs that begin with the weights of another one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tiny_envs import ScheduleEnv

from polyrl.errors import CheckpointMismatchError, NotTrainedError
from polyrl.estimators import Agent, EstimatorSpec, RunConfig, WarmStartSettings
from polyrl.estimators import agent as agent_module
from polyrl.models import CategoricalDQNModel, DQNModel
from polyrl.networks import mlp
from polyrl.replay import UniformReplay

SIZES = {"num_states": 4, "num_actions": 3}


def agent(model_dir: Any, model: Any = DQNModel, units: tuple[int, ...] = (5, 5), seed: int = 0, **arguments: Any) -> Agent:
    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        return model(mode, mlp(units), name="DQN", target_update_frequency=1_000, **SIZES)(features, labels)

    return Agent(model_fn, UniformReplay(50, 4), model_dir, RunConfig(seed, progress=False, jit="off"), **arguments)


def train(agent: Agent, timesteps: int = 20, first_update: int = 4) -> Agent:
    agent.train(ScheduleEnv(lengths=(3,)), max_timesteps=timesteps, first_update=first_update)
    return agent


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    tf_keras.layers.Dense(3).build([1, 2])  # tf-keras's numbers do not begin at 0 then.
    return train(agent(tmp_path_factory.mktemp("first")))


def weights(agent: Agent, name: str = "online") -> dict[str, np.ndarray]:
    network = agent._scope.parts[f"DQN/{name}"]
    return {label: variable.numpy() for label, variable in network.labelled_variables().items()}


@pytest.mark.slow
def test_values_of_variables_by_name(trained):
    names = trained.get_variable_names()
    assert names[:3] == ["global_step", "global_timestep", "global_episode"]
    for network in ("online", "target"):
        found = {name.split("/", 2)[2]: trained.get_variable_value(name) for name in names if f"DQN/{network}/" in name}
        expected = weights(trained, network)
        assert [*found] == [*expected] == [*(f"{layer}/{part}" for layer in LAYERS for part in ("kernel", "bias"))]
        for label, value in expected.items():
            np.testing.assert_array_equal(found[label], value)
    assert trained.get_variable_value("global_timestep") == 20
    assert trained.latest_checkpoint() == str(trained.checkpoints.latest())


LAYERS = ("dense", "dense_1", "advantage", "value")


def test_a_name_that_does_not_exist_is_told_the_nearest(trained):
    with pytest.raises(ValueError, match=r"has no variable 'DQN/online/dens/kernel'. Did you mean 'DQN/online/dense/kernel'"):
        trained.get_variable_value("DQN/online/dens/kernel")
    with pytest.raises(ValueError, match="Did you mean 'DQN/online/dense/kernel'"):  # It once meant that of the target.
        trained.get_variable_value("dense/kernel")


@pytest.mark.parametrize(
    ("method", "given"), [("value", ["global_step"]), ("value", 3), ("values", "global_step"), ("values", [3])]
)
def test_what_is_no_name_of_a_variable_is_refused(trained, method, given):
    with pytest.raises(TypeError, match=r"^names?=.* must be "):
        getattr(trained, f"get_variable_{method}")(given)


def test_without_a_checkpoint_there_are_no_variables(tmp_path):
    new = agent(tmp_path)
    assert new.latest_checkpoint() is None
    with pytest.raises(NotTrainedError):
        new.get_variable_names()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["checkpoint", "model_dir", "settings", "its checkpoints"])
def test_a_new_run_begins_with_the_weights(trained, tmp_path, kind):
    paths = {"checkpoint": trained.checkpoints.latest(), "its checkpoints": trained.checkpoints.directory}
    path = paths.get(kind, trained.model_dir)
    given = WarmStartSettings(path) if kind == "settings" else path
    # No update is done: what is there is what it began with.
    started = train(agent(tmp_path, seed=1, warm_start_from=given), 3, first_update=30)
    for network in ("online", "target"):
        for label, value in weights(started, network).items():
            np.testing.assert_array_equal(value, weights(trained)[label])
    assert int(started._scope.global_timestep) == 3  # Counters are its own.


@pytest.mark.slow
def test_some_weights_go_to_another_model(trained, tmp_path):
    settings = WarmStartSettings(trained.model_dir, ["DQN/dense/", "DQN/dense_1/"])
    other = train(agent(tmp_path / "c51", CategoricalDQNModel, seed=1, warm_start_from=settings), 3, first_update=30)
    plain = train(agent(tmp_path / "plain", CategoricalDQNModel, seed=1), 3, first_update=30)
    for label, value in weights(other).items():
        np.testing.assert_array_equal(value, weights(trained if label.startswith("dense") else plain)[label])
        np.testing.assert_array_equal(value, weights(other, "target")[label])


@pytest.mark.parametrize(
    ("patterns", "error", "words"),
    [(3, TypeError, "=3 must be a regular"), (["a", 3], TypeError, "must be"), ("(", ValueError, "not a reg")],
)
def test_what_is_no_pattern_is_refused_at_once(patterns, error, words):
    with pytest.raises(error, match=words):
        WarmStartSettings("run", patterns)


def test_several_values_come_by_their_names(trained):
    names = ["DQN/online/dense/bias", "global_step"]
    values = trained.get_variable_values(names)
    assert [*values] == names
    for name in names:
        np.testing.assert_array_equal(values[name], trained.get_variable_value(name))
    assert [*trained.get_variable_values()] == trained.get_variable_names()


class Inner(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second = tf_keras.layers.Dense(4), tf_keras.layers.Dense(4)

    def call(self, inputs):
        return self.second(self.first(inputs))


def named(units: int) -> tf_keras.Sequential:
    return tf_keras.Sequential([tf_keras.layers.Dense(units, name="same"), tf_keras.layers.Dense(units)])


GRAPHS = {
    "dropout": lambda state: tf_keras.layers.Dropout(0.1)(tf_keras.layers.Dense(4)(state)),
    "sequential": lambda state: tf_keras.layers.Dense(3)(named(4)(state)),
    "model": lambda state: Inner()(state),
    "lstm": lambda state: tf_keras.layers.LSTM(4)(tf.reshape(state, [-1, 2, 2])),
    "statistics": lambda state: named(4)(tf_keras.layers.BatchNormalization()(state)),
    "one name": lambda state: named(4)(named(4)(state)),
}
SLOW = sorted(GRAPHS.keys() - {"dropout", "one name"})


@pytest.mark.slow
@pytest.mark.parametrize("graph", ["dropout", "one name", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_the_variables_of_any_graph_have_names(tmp_path, graph):
    """None could be read where a model was inside of the model, or a layer draws random numbers."""

    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        def graph_fn(mode, inputs):
            return GRAPHS[graph](inputs["state"])

        return DQNModel(mode, graph_fn, name="DQN", target_update_frequency=1_000, **SIZES)(features, labels)

    config = RunConfig(progress=False, jit="off")
    made = train(Agent(model_fn, UniformReplay(50, 4), tmp_path / "run", config))
    for network in ("online", "target"):
        expected = weights(made, network)
        assert {f"DQN/{network}/{label}" for label in expected} <= {*made.get_variable_names()}
        for label, value in expected.items():
            np.testing.assert_array_equal(made.get_variable_value(f"DQN/{network}/{label}"), value)
    begun = Agent(model_fn, UniformReplay(50, 4), tmp_path / "begun", config, warm_start_from=made.model_dir)
    train(begun, 3, first_update=30)
    for label, value in weights(begun).items():
        np.testing.assert_array_equal(value, weights(made)[label])


@pytest.mark.slow
def test_a_variable_that_cannot_be_told_from_another_is_named_and_the_others_are_read(tmp_path):
    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        def graph_fn(mode, inputs):
            return tf_keras.layers.Dense(4, name="same")(tf_keras.Sequential([named(4)])(named(4)(inputs["state"])))

        return DQNModel(mode, graph_fn, name="DQN", target_update_frequency=1_000, **SIZES)(features, labels)

    made = train(Agent(model_fn, UniformReplay(50, 4), tmp_path / "run", RunConfig(progress=False, jit="off")))
    with pytest.raises(ValueError, match="'DQN/online/same/kernel' cannot be told from another variable by its name"):
        made.get_variable_value("DQN/online/same/kernel")
    assert made.get_variable_value("global_step") == int(made._scope.global_step)
    assert made.get_variable_value("DQN/online/value/bias").shape == (1,)


@pytest.mark.slow
@pytest.mark.parametrize("between", ["/", "/online/"])
def test_a_variable_may_have_had_another_name(trained, tmp_path, between):
    names = {f"DQN{between}dense_1/bias": f"DQN{between}dense/bias"}
    settings = WarmStartSettings(trained.model_dir, f"DQN{between}dense_1/bias", names)
    other = train(agent(tmp_path, seed=1, warm_start_from=settings), 3, first_update=30)
    np.testing.assert_array_equal(weights(other)["dense_1/bias"], weights(trained)["dense/bias"])
    assert np.any(weights(other)["dense/kernel"] != weights(trained)["dense/kernel"])


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_its_own_weights(trained, tmp_path):
    for name in ("with", "without"):
        train(agent(tmp_path / name, seed=1), 10)
    resumed = train(agent(tmp_path / "with", seed=1, warm_start_from=trained.model_dir), 20)
    expected = train(agent(tmp_path / "without", seed=1), 20)
    for label, value in weights(resumed).items():
        np.testing.assert_array_equal(value, weights(expected)[label])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("units", "fit"),
    [
        ((5, 6), ["DQN/dense/"]),
        ((6, 5), ["DQN/advantage/", "DQN/value/"]),
        ((5, 5, 5), ["DQN/dense/", "DQN/dense_1/", "DQN/advantage/", "DQN/value/"]),
        ((6, 6), []),
    ],
)
def test_the_layers_that_fit_are_told_and_can_be_taken(trained, tmp_path, units, fit):
    told = f"vars_to_warm_start={fit} (on the command line --warm_start_vars={','.join(fit)})." if fit else "No layer has the"
    with pytest.raises((CheckpointMismatchError, ValueError), match=re.escape(told)):
        train(agent(tmp_path, units=units, warm_start_from=trained.model_dir))
    if fit:
        train(agent(tmp_path, units=units, warm_start_from=WarmStartSettings(trained.model_dir, fit)), 2)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(
    ("settings", "units", "error", "message"),
    [
        ({"vars_to_warm_start": "DQN/dens_"}, (5, 5), ValueError, "vars_to_warm_start='DQN/dens_' matches none of DQN/dense/"),
        ({"vars_to_warm_start": ["DQN/dense/", "DQN/foo"]}, (5, 5), ValueError, ": 'DQN/foo' matches none of DQN/dense/"),
        ({}, (6, 5), CheckpointMismatchError, "'DQN/dense/kernel' has the shape (4, 5) there, 'DQN/dense/kernel' (4, 6) now"),
        ({}, (5, 5, 3), ValueError, "has no variable 'DQN/online/dense_2/kernel'"),
        ({"var_name_to_prev_var_name": {"DQN/dens/bias": "a/b"}}, (5, 5), ValueError, "there is no variable 'DQN/dens/bias'"),
    ],
)
def test_what_does_not_fit_is_refused(trained, tmp_path, settings, units, error, message):
    given = WarmStartSettings(trained.model_dir, **settings)
    with pytest.raises(error, match=re.escape(message)):
        train(agent(tmp_path, units=units, warm_start_from=given))
    assert not (tmp_path / "checkpoints").exists() or not [*(tmp_path / "checkpoints").iterdir()]


def test_a_directory_without_a_run_is_refused(tmp_path):
    with pytest.raises(NotTrainedError):
        train(agent(tmp_path / "new", warm_start_from=tmp_path / "nothing"))
    with pytest.raises(TypeError, match="warm_start_from=3"):
        agent(tmp_path / "new", warm_start_from=3)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["agent", "train", "neither"])
def test_a_run_with_trained_weights_is_not_told_that_it_has_not_become_better(trained, tmp_path, monkeypatch, by):
    known = []
    real = agent_module.default_hooks
    monkeypatch.setattr(agent_module, "default_hooks", lambda *given: known.append(given[5]) or real(*given))
    given = {"warm_start_from": trained.model_dir}
    new = agent(tmp_path, **(given if by == "agent" else {}))
    new.train(ScheduleEnv(lengths=(3,)), max_timesteps=6, first_update=4, **(given if by == "train" else {}))
    assert known == [by == "neither"]
