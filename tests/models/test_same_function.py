"""What tells two graph functions apart, and that models of one name must have the same."""

from __future__ import annotations

import dataclasses
import functools
import re
import types

import ml_collections
import numpy as np
import pytest
import tf_keras

from polyrl.configs import AdamConfig
from polyrl.models import DQNModel, Scope
from polyrl.models.same_function import function_difference
from polyrl.networks import mlp

layers = tf_keras.layers


def small(mode, inputs):
    return layers.Dense(4)(inputs["state"])


def large(mode, inputs):
    return layers.Dense(8)(inputs["state"])


def dense(units, activation="relu", graph=None):
    def graph_fn(mode, inputs):
        return (graph or layers.Dense(units, activation))(inputs["state"])

    return graph_fn


def recursive(units):
    def graph_fn(mode, inputs, depth=2):
        return layers.Dense(units)(graph_fn(mode, inputs, depth - 1) if depth else inputs["state"])

    return graph_fn


NAN = float("nan")


class Torso:
    def __init__(self, units):
        self.units = units

    def __call__(self, mode, inputs):
        return layers.Dense(self.units)(inputs["state"])

    def build(self, mode, inputs):
        return layers.Dense(self.units)(inputs["state"])


def sequential(*units, **arguments):
    return tf_keras.Sequential([layers.Dense(each, **arguments) for each in units])


def functional(units):
    inputs = tf_keras.Input([4])
    return tf_keras.Model(inputs, layers.Dense(units)(inputs))


class Settings:
    def __init__(self, units):
        self.units = units


@dataclasses.dataclass
class Fields:
    units: int


class Slots:
    __slots__ = ("units",)

    def __init__(self, units):
        self.units = units


def taking(settings):
    return lambda mode, inputs: layers.Dense(settings.units)(inputs["state"])


def nested(units):
    return taking(Settings(Fields(units)))


class Own(tf_keras.Model):
    def get_config(self):
        raise NotImplementedError


def used(model):
    model(np.zeros([1, 4], np.float32))
    return model


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (small, small),
        (sequential(8, 4), sequential(8, 4)),
        (sequential(8, 4), used(sequential(8, 4))),
        (functional(4), functional(4)),
        (Own(), Own()),
        (dense(4), dense(4)),
        (mlp([8, 4]), mlp([8, 4])),
        (functools.partial(dense, 4), functools.partial(dense, 4)),
        (dense(np.array([4])), dense(np.array([4]))),
        (dense(None, graph=small), dense(None, graph=small)),
        (Torso(4), Torso(4)),
        (Torso(4).build, Torso(4).build),
        (recursive(4), recursive(4)),
        (dense([np.array([4, 2]), {"a": np.array([1, 2])}]), dense([np.array([4, 2]), {"a": np.array([1, 2])}])),
        (dense(NAN), dense(NAN)),
        *((taking(kind(4)), taking(kind(4))) for kind in (Settings, Fields, Slots)),
        (nested(4), nested(4)),
    ],
)
def test_the_same_function_made_twice_is_the_same(first, second):
    assert function_difference(first, second) is None


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (small, large, r"it is small \(line \d+ of test_same_function.py\) there, large \(line"),
        (dense(4), dense(8), "its units is 4 there, 8 here"),
        *(
            (taking(kind(4)), taking(kind(8)), "in its settings, its units is 4 there, 8 here")
            for kind in (Settings, Fields, Slots)
        ),
        (nested(4), nested(8), "in its settings, in its units, its units is 4 there, 8 here"),
        (dense(4), dense(4, "tanh"), "its activation is 'relu' there, 'tanh' here"),
        (dense(4), dense(4.0), "its units is 4 there, 4.0 here"),
        (mlp([8, 4]), mlp([8, 5]), r"\[8, 4\] there, \[8, 5\] here"),
        (mlp([8]), mlp([8], "tanh"), "there, "),
        (dense(np.array([4])), dense(np.array([5])), r"units is array\(\[4\]\)"),
        (dense(None, graph=small), dense(None, graph=large), "small .* there, large"),
        (functools.partial(small, "train"), functools.partial(small, "eval"), "its 0 is 'train' there, 'eval' here"),
        (recursive(4), recursive(5), "its units is 4 there, 5 here"),
        (dense([np.array([4, 2])]), dense([np.array([4, 3])]), r"units is \[array"),
        (Torso(4), small, "it is Torso there, small"),
        (sequential(8, 4), sequential(8, 5), r"config\['layers'\]\[1\].*\['units'\] is 4 there, 5 here"),
        (sequential(8), sequential(8, 4), r"config\['layers'\]\[1\].* is None there, 'keras.layers' here"),
        (sequential(8), sequential(8, activation="tanh"), r"\['activation'\] is 'linear' there, 'tanh' here"),
        (functional(4), functional(5), r"\['units'\] is 4 there, 5 here"),
        (sequential(4), functional(4), "it is Sequential there, Functional here"),
        (Torso(4).build, Torso(4).__call__, r"Torso.build .* there, Torso.__call__"),
    ],
)
def test_another_one_is_told_by_the_first_difference(first, second, words):
    assert re.search(words, function_difference(first, second))


# In models. -----------------------------------------------------------------------------------------------------------------


def build(scope: Scope, mode: str, graph_fn, **arguments) -> DQNModel:
    with scope.active():
        return DQNModel(mode, graph_fn, 4, 3, summaries=[], **arguments)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize(("first", "second"), [("train", "train"), ("train", "infer"), ("eval", "train")])
@pytest.mark.parametrize("other", [large, dense(4)], ids=["code", "closure"])
def test_another_graph_fn_under_the_same_name_is_refused(scope, batch, first, second, other):
    """The networks of the first one would be used in silence."""
    build(scope, first, small)(batch()[0])
    with pytest.raises(ValueError, match="A model name='Model' with another graph_fn exists in this scope: it is small"):
        build(scope, second, other)(batch()[0])
    build(scope, second, other, name="Another")(batch()[0])
    build(scope, second, small)(batch()[0])


def test_a_mode_taken_from_the_function_around_it_is_refused(scope, batch):
    """The networks are built by the first call's function: dropout would be on, or off, in all modes."""

    def call(mode):
        def graph_fn(_, inputs):
            return layers.Dropout(0.5)(layers.Dense(4)(inputs["state"]), training=mode == "train")

        build(scope, mode, graph_fn)(batch()[0])

    call("train")
    call("train")
    with pytest.raises(ValueError, match=r"its mode is 'train' there, 'infer' here.*its own argument `mode`"):
        call("infer")


def test_another_model_of_tf_keras_under_the_same_name_is_refused(scope, batch):
    build(scope, "train", sequential(8, 4))(batch()[0])
    build(scope, "infer", sequential(8, 4))(batch()[0])
    with pytest.raises(ValueError, match=r"with another graph_fn exists in this scope: in its config.* is 8 there, 6 here"):
        build(scope, "infer", sequential(6, 4))(batch()[0])


class Holds:
    """A graph function with attributes, of which one is no plain value."""

    def __init__(self, units, inner=None):
        self._units, self.inner, self.other = units, inner, object()

    def __call__(self, mode, inputs):
        return layers.Dense(self._units)(inputs["state"])

    def build(self, mode, inputs):
        return self(mode, inputs)


def taking(params):
    return lambda mode, inputs: layers.Dense(params.units)(inputs["state"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Holds, "its _units is 4 there, 5 here"),
        (lambda units: Holds(units).build, "its _units is 4 there, 5 here"),
        (lambda units: Holds(3, Holds(units)), "its _units is 4 there, 5 here"),
        (lambda units: taking(types.SimpleNamespace(units=units)), r"its params is \{'units': 4\} there, \{'units': 5\} here"),
        (lambda units: taking(ml_collections.ConfigDict({"units": units})), r"its params is \{'units': 4\} there"),
        (lambda units: taking(ml_collections.FrozenConfigDict({"units": units})), r"its params is \{'units': 4\} there"),
        (lambda units: taking(AdamConfig(units / 10)), r"learning_rate=0.4.* there, .*learning_rate=0.5.* here"),
    ],
)
def test_what_a_graph_fn_holds_counts(make, words):
    assert function_difference(make(4), make(4)) is None
    assert re.search(words, function_difference(make(4), make(5)))


class OfWidth(DQNModel):
    """A model with an argument of its own, which it keeps under another name, and an attribute that depends on the mode."""

    def __init__(self, mode, width, graph_fn=small, name="Model", **more):
        super().__init__(mode, graph_fn, 4, 3, summaries=[], name=name, **more)
        self._hidden, self.noise = width, 0.1 if mode == "train" else 0.0

    def _build_graph_fn(self):
        return lambda mode, inputs: self.head(layers.Dense(self._hidden)(inputs["state"]))


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ((8,), {}, "width is 8 there, 9 here"),
        ((np.int64(8),), {}, "width is 8 there, 9 here"),
        ((9,), {"dueling": "max"}, "dueling is 'mean' there, 'max' here"),
    ],
)
def test_the_arguments_of_a_constructor_count_and_no_attribute(scope, batch, first, second, words):
    with scope.active():
        OfWidth("train", *first)(batch()[0])
        OfWidth("infer", *first)(batch()[0])
        with pytest.raises(ValueError, match=f"with other arguments exists in this scope: {words}"):
            OfWidth("infer", 9, **second)(batch()[0])


def test_a_graph_that_is_called_directly_is_looked_at_as_well(scope, batch):
    build(scope, "train", small)(batch()[0])
    with scope.active(), pytest.raises(ValueError, match="num_actions is 3 there, 5 here"):
        DQNModel("train", small, 4, 5, summaries=[])._call_graph_fn(batch()[0])
