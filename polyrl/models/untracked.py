"""Refuses variables that a network uses but does not own: they would never be trained, saved or copied."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.engine.tracing import traced
from polyrl.validation import KERAS3_REMEDY

ASKED = "graph_fn must create its layers inside, one for each network: "


RANDOM_STATE = "StateVar"
"""How TensorFlow names the state of a random generator, which dropout layers have one of."""


def recorded_model(build: Callable[[], tf_keras.Model], thorough: bool = True) -> tuple[tf_keras.Model, list[tf.Variable]]:
    """The functional model that `build` returns, and the variables that it creates, in their order.

    Args:
        build: makes the model.
        thorough: whether to search for variables that the model does not track, which costs a tracing.

    Raises:
        ValueError: if Keras 3 creates a variable; if the outputs depend on variables that the model does not track; or if the
            model has variables that were there before. Each message names the variables.
    """
    created: list[tf.Variable] = []
    foreign: list[tf.Variable] = []

    def record(create: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        created.append(create(**arguments))
        if _inside_keras3():
            foreign.append(created[-1])
        return created[-1]

    # The tape also follows what is computed from a variable before the model exists, and lies in it as a constant.
    with tf.GradientTape(persistent=True) as tape, tf.variable_creator_scope(record):
        try:
            with _without_advice_on_lambdas():
                model = build()
        except Exception as error:
            if foreign:
                raise _keras3_error(foreign) from error
            raise
    if foreign:
        raise _keras3_error(foreign)
    missed = _untracked(model, tape, created) if thorough else []
    if missed:
        raise ValueError(
            "graph_fn: the outputs depend on variables that the network does not track, which would never be trained, saved "
            f"or copied to the target network: {described(missed)}. A variable of your own belongs in a tf-keras layer: set "
            "it, or the tf.Module or layer that has it, as an attribute of that layer. If they are of a layer of `tf.keras`: "
            f"{KERAS3_REMEDY}"
        )
    _check_embeddings(model)
    here = {identity(variable) for variable in created}
    before = [variable for variable in model.variables if identity(variable) not in here]
    if before:
        raise ValueError(f"{ASKED}{described(before)} existed before graph_fn was called, and would be shared.")
    return model, created


@contextlib.contextmanager
def _without_advice_on_lambdas() -> Iterator[None]:
    """Leaves out what tf-keras logs of variables in a `Lambda` layer: they are refused."""

    def other(record: logging.LogRecord) -> bool:
        return "a Lambda layer's call" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def _check_embeddings(model: tf_keras.Model) -> None:
    """A ValueError for an `Embedding` of floats: tf-keras would cut each to an integer, and look that up."""
    for layer in model.submodules:
        if not isinstance(layer, tf_keras.layers.Embedding):
            continue
        for node in layer.inbound_nodes:
            for given in tf.nest.flatten(node.keras_inputs):
                if given.dtype.is_floating:
                    raise ValueError(
                        f"graph_fn gives the layer {layer.name!r}, an Embedding, floats ({given.dtype.name} "
                        f"{tuple(given.shape)}), which would be cut to integers. An embedding is for states that are "
                        "numbered, as those of a Discrete space; use Dense layers, or `tf.cast(x, tf.int32)` if the floats "
                        "are whole."
                    )


def check_precision() -> None:
    """A ValueError if Keras 3 was set to another precision, in this thread: the layers of tf-keras know nothing of it."""
    keras: Any = sys.modules.get("keras")
    if not hasattr(keras, "config"):  # Not imported, or older than Keras 3.
        return
    theirs = {keras.config.dtype_policy().name, keras.config.floatx()}
    ours = tf_keras.mixed_precision.global_policy().name
    others = sorted(theirs - {"float32", ours})
    if others:
        raise ValueError(
            f"Keras 3 is set to compute with {others[0]}, which has no effect here: layers are those of tf-keras, whose "
            f"policy is {ours}. Use tf_keras.mixed_precision.set_global_policy({others[0]!r}), or set Keras 3 back to float32."
        )


def identity(variable: Any) -> int:
    """Tells variables apart, also through the wrappers that tf-keras puts around them with mixed precision."""
    return id(variable.handle)


def is_random_state(variable: tf.Variable) -> bool:
    """Whether a variable is the state of a random generator, which is not one of the weights."""
    return variable.name.split(":")[0].endswith(RANDOM_STATE)


def described(variables: Iterable[tf.Variable]) -> str:
    """Names, shapes and dtypes of variables, for messages."""
    return ", ".join(f"{each.name.split(':')[0]} {tuple(each.shape)} {each.dtype.name}" for each in variables)


def _keras3_error(variables: Sequence[tf.Variable]) -> ValueError:
    return ValueError(
        f"graph_fn makes variables with Keras 3, which tf-keras does not track: {described(variables)}. They would never be "
        f"trained, saved or copied to the target network. {KERAS3_REMEDY}"
    )


def _inside_keras3() -> bool:
    """Whether a function of Keras 3 is running: the package `keras`; tf-keras is `tf_keras`."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == "keras":
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _untracked(model: tf_keras.Model, tape: tf.GradientTape, created: Sequence[tf.Variable]) -> list[tf.Variable]:
    """Variables that the outputs depend on, other than those of the model."""
    tracked = {identity(variable) for variable in model.variables}
    found = {identity(v): v for v in _read_by_graph(model, created) if identity(v) not in tracked}
    # Trainable variables that were read anywhere; those of a layer whose output nobody uses are among them.
    accessed = [variable for variable in tape.watched_variables() if identity(variable) not in tracked]
    if accessed:
        outputs = [output for output in _outputs_of_zeros(model, tape) if output.dtype.is_floating]
        gradients = tape.gradient(outputs, accessed)
        found |= {identity(v): v for v, gradient in zip(accessed, gradients, strict=True) if gradient is not None}
    return [variable for variable in found.values() if not is_random_state(variable)]


def _read_by_graph(model: tf_keras.Model, created: Sequence[tf.Variable]) -> list[tf.Variable]:
    """The variables that the model's traced call reads on the way to its outputs."""
    specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), model.input)
    call = traced(functools.partial(model, training=True)).get_concrete_function(specs)
    captured = call.captured_inputs
    placeholders = call.inputs[len(call.inputs) - len(captured) :]
    external = {inner.op.name: outer for inner, outer in zip(placeholders, captured, strict=True)}
    waiting, seen = [output.op for output in call.outputs], set()
    while waiting:
        op = waiting.pop()
        if op.name not in seen:
            seen.add(op.name)
            waiting.extend(tensor.op for tensor in op.inputs)
    handles = {id(handle) for name, handle in external.items() if name in seen}
    candidates = {identity(variable): variable for variable in [*created, *call.variables]}
    return [variable for variable in candidates.values() if identity(variable) in handles]


def _outputs_of_zeros(model: tf_keras.Model, tape: tf.GradientTape) -> list[tf.Tensor]:
    """The outputs for one state of zeros, computed on the tape; the model's variables stay as they are."""
    before = [variable.read_value() for variable in model.variables]
    zeros = tf.nest.map_structure(lambda t: tf.zeros([1, *t.shape[1:]], t.dtype), model.input)
    with tape:
        outputs = tf.nest.flatten(model(zeros, training=False))
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)
    return outputs
