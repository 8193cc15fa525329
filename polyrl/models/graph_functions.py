"""What may be given as `graph_fn`, and what is said if it fails."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.errors import SYMBOLIC, gist, raised_by
from polyrl.models.features import MASK
from polyrl.modes import Modes
from polyrl.networks import SameInEveryMode
from polyrl.validation import KERAS3_REMEDY, is_keras3, suggestion

GraphFn = Callable[[str, Any], Any]


class _GivenModelError(ValueError):
    """A model given as `graph_fn` does not fit the features."""


def as_graph_fn(graph_fn: Any) -> GraphFn:
    """A function of `(mode, inputs)`: the given one; or one that makes a copy of the given model or layer of tf-keras.

    Each copy has variables of its own. If the model has been built, the copies begin with its weights.

    Raises:
        TypeError: for what cannot be called, and for models and layers of Keras 3.
    """
    if is_keras3(graph_fn):
        raise TypeError(f"graph_fn={graph_fn!r} is a Keras 3 object. {KERAS3_REMEDY}")
    if isinstance(graph_fn, type) and issubclass(graph_fn, tf_keras.layers.Layer):
        raise TypeError(f"graph_fn={graph_fn!r} is a class; give one of its objects, as {graph_fn.__name__}(...).")
    if not callable(graph_fn):
        raise TypeError(f"graph_fn={graph_fn!r} must be a function of (mode, inputs), or a model of tf-keras.")
    if not isinstance(graph_fn, tf_keras.layers.Layer):
        _check_parameters(graph_fn)
        return graph_fn

    def copy(inputs: Any) -> Any:
        twin, taken = _clone(graph_fn), _taken(graph_fn, inputs)
        try:
            outputs = twin(taken)
        except Exception as error:
            what = "a dict of features" if isinstance(taken, Mapping) else "the state itself, not a dict"
            raise _GivenModelError(
                f"graph_fn={graph_fn!r} is called with {what}, {_shapes(taken)}, and raised {type(error).__name__}: "
                f"{gist(error)}"
            ) from error
        if graph_fn.built:
            try:
                twin.set_weights(graph_fn.get_weights())
            except ValueError as error:
                raise _GivenModelError(
                    f"graph_fn={graph_fn!r} has weights of other shapes than for these states: {error}"
                ) from error
        return outputs

    return SameInEveryMode(copy)


def _check_parameters(graph_fn: Any) -> None:
    """A TypeError unless a function takes two arguments by position, the mode first."""
    try:
        signature = inspect.signature(graph_fn)
    except (TypeError, ValueError):  # Of code that is not Python.
        return
    names = list(signature.parameters)
    try:
        fits = list(signature.bind("mode", "inputs").arguments)[1:] != ["mode"]
    except TypeError:
        fits = False
    if not fits:
        raise TypeError(f"graph_fn is called by position as graph_fn(mode, inputs); this one takes ({', '.join(names)}).")


def call(graph: GraphFn, mode: str, inputs: Any) -> Any:
    """`graph(mode, inputs)` on symbolic inputs.

    Raises:
        ValueError: if it fails, and would not on the state alone in place of a dict of features, on such a dict in place of a
            state, or on numbers of float32 in place of bools or integers; or if it asks for a feature that is not there. Any
            other error is raised as it is.
    """
    try:
        return graph(mode, inputs)
    except _GivenModelError as error:
        raise ValueError(str(error)) from error.__cause__  # Under the name that users know.
    except Exception as error:
        # In another mode its variables are those that it has made before.
        for remedy, other in _others(inputs) if mode == Modes.TRAIN else ():
            if _works(graph, mode, other):
                raise ValueError(f"graph_fn {remedy}. It raised {type(error).__name__}: {gist(error)}") from error
        if isinstance(error, KeyError) and isinstance(inputs, Mapping):
            asked = _Asked(inputs)
            _works(graph, mode, asked)
            if asked.missing:
                hint = suggestion(str(asked.missing[0]), inputs)
                raise ValueError(
                    f"graph_fn takes inputs[{asked.missing[0]!r}], and gets a dict of features with the keys {sorted(inputs)}."
                    f"{hint}"
                ) from error
        if raised_by(error, "tensorflow", "tf_keras"):
            said = _SYMBOLIC if "symbolic" in str(error) else gist(error)
            if numbered := _numbered(inputs):
                said = f"{said.rstrip('.')}.{numbered}"
            if "expected ndim=3, found ndim=2" in said:
                said = f"{said.rstrip('.')}. Of a recurrent layer: {_RECURRENT}."
            failed = ValueError(f"graph_fn, called with {_shapes(inputs)}, raised {type(error).__name__}: {said}")
            raise failed.with_traceback(error.__traceback__) from error  # With the user's line.
        raise


def check_memory(model: tf_keras.Model) -> None:
    """A ValueError for a layer of tf-keras's that is recurrent over a single step, and so starts again at each state."""
    for layer in model.submodules:
        nodes = layer.inbound_nodes if isinstance(layer, tf_keras.layers.RNN) else ()
        if {node.input_shapes[1] for node in nodes if isinstance(node.input_shapes, tuple)} == {1}:
            raise ValueError(
                f"The layer {layer.name!r} of graph_fn sees one state at a time, and remembers nothing from step to step: "
                f"{_RECURRENT}."
            )


_RECURRENT = "use polyrl.networks.recurrent(torso, units) for what remembers the steps of an episode"


_SYMBOLIC = (
    f"the inputs are {SYMBOLIC} and layers of tf-keras in place of NumPy's functions, `tf.where` in place of `if`, and a "
    "layer of your own for all else."
)


def _numbered(inputs: Any) -> str:
    """What is said of numbers of discrete states or categories, int `[B]`, if there are some."""
    parts = inputs if isinstance(inputs, Mapping) else {"state": inputs}
    numbered = [key for key, part in parts.items() if part.shape.rank == 1 and part.dtype.is_integer]
    if "state" in numbered:
        return (
            " The states are numbered, as those of a Discrete space: begin with `layers.Embedding`, or use "
            "polyrl.networks.embedding_mlp."
        )
    if numbered:
        return (
            f" {' and '.join(map(repr, numbered))}: integers [B], numbers of categories, of which `layers.Embedding` or "
            "`tf.one_hot` makes vectors."
        )
    return ""


def _shapes(inputs: Any) -> str:
    """The shapes and dtypes of symbolic inputs."""

    def of(part: Any) -> str:
        return f"{part.dtype.name} {tuple(part.shape)}"

    return str({key: of(part) for key, part in inputs.items()}) if isinstance(inputs, Mapping) else of(inputs)


class _Asked(dict[str, Any]):
    """Features that note which keys were requested that they do not have."""

    def __init__(self, features: Mapping[str, Any]):
        super().__init__(features)
        self.missing: list[Any] = []

    def __missing__(self, key: Any) -> Any:
        self.missing.append(key)
        raise KeyError(key)


def _others(inputs: Any) -> Iterator[tuple[str, Any]]:
    """Other inputs, and what is to be done if a graph function works on them: one mistake each, then two at once."""
    parts = inputs if isinstance(inputs, Mapping) else {None: inputs}
    numbers = {key: part.dtype.name for key, part in parts.items() if not part.dtype.is_floating}
    kinds = set(numbers.values())
    floats = tf.nest.map_structure(_as_floats, inputs)
    by_255 = " / 255.0" if "uint8" in kinds else ""

    def floats_from(places: Iterable[str]) -> str:
        cast = " and ".join(f"`tf.cast({place}, tf.float32){by_255}`" for place in places)
        return (
            f"needs floats and got {' and '.join(sorted(kinds))}: write {cast}, or begin with `layers.Rescaling(1.0{by_255})`"
        )

    changes: list[tuple[str, str, Callable[[Any], Any]]] = []
    if isinstance(inputs, Mapping) and "state" in inputs:
        text = f"gets a dict of features, with the keys {sorted(inputs)}: take the state out of it, `inputs['state']`"
        changes = [(text, "inputs['state']", lambda nest: nest["state"])]
    elif not isinstance(inputs, Mapping):
        text = (
            "gets the state itself, as the model was called with it, and no dict: use `inputs` in place of `inputs['state']`"
        )
        changes = [(text, "inputs", lambda nest: {"state": nest})]
    if kinds:
        yield floats_from("inputs" if key is None else f"inputs[{key!r}]" for key in numbers), floats
    for text, place, change in changes:
        yield text, change(inputs)
        if kinds:
            yield f"{text}; and it {floats_from([place])}", change(floats)


def _as_floats(symbolic: Any) -> Any:
    return symbolic if symbolic.dtype.is_floating else tf_keras.Input(symbolic.shape[1:], dtype=tf.float32)


def _works(graph: GraphFn, mode: str, inputs: Any) -> bool:
    try:
        graph(mode, inputs)
    except Exception:
        return False
    return True


def _clone(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """A layer or model with the same config and variables of its own."""
    try:
        if isinstance(layer, tf_keras.Model):
            return tf_keras.models.clone_model(layer)
        return type(layer).from_config(layer.get_config())
    except Exception as error:
        raise TypeError(
            f"graph_fn={layer!r} cannot be copied, and each network needs one of its own. Write a function that makes it: "
            "`def graph_fn(mode, inputs): return MyModel()(inputs['state'])`."
        ) from error


def _taken(layer: tf_keras.layers.Layer, inputs: Any) -> Any:
    """The part of the features that the model is called with: the state, or the inputs that it names."""
    if not isinstance(inputs, Mapping):
        return inputs
    named = getattr(layer, "input", None)
    if isinstance(named, Mapping):
        missing = sorted(set(named) - set(inputs))
        if missing:
            mask = f" The {MASK} is not among them: it is applied to the network's values." * (MASK in missing)
            text = f"graph_fn={layer!r} has the inputs {sorted(named)}; the features are {sorted(inputs)}.{mask}"
            raise _GivenModelError(text)
        return {name: inputs[name] for name in named}
    others = sorted(set(inputs) - {"state"})
    if others:
        raise _GivenModelError(
            f"graph_fn={layer!r} takes one input, and there are features in addition to the state: {others}. Give a model "
            "whose inputs are a dict with these names, or a function of (mode, inputs) that uses or leaves them."
        )
    return inputs["state"]
