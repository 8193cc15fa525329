"""How a network's variables come to be: from a seed alone, and the same ones for each mode."""

from __future__ import annotations

import contextlib
import contextvars
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
import tf_keras

from polyrl.models.untracked import ASKED, RANDOM_STATE, described, identity, is_random_state
from polyrl.modes import Modes

T = TypeVar("T")


def build_with_seed(seed: int, build: Callable[[], T]) -> T:
    """Runs `build` so that initial weights depend on `seed` alone, and no random state of the process on it.

    tf-keras initialisers without a seed take one from Python's `random`, which is put back as it was, like NumPy's random
    numbers: a constant that a graph function draws is the same in each mode, network and process. Or, after a call of
    `tf_keras.utils.set_random_seed`, from a generator that it keeps for each thread, hence a thread of our own.
    """
    state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # Dropout then draws from a generator of its own, seeded as the weights are and part of the checkpoint.
    stateful = tf_keras.backend.experimental.is_tf_random_generator_enabled()
    tf_keras.backend.experimental.enable_tf_random_generator()
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(contextvars.copy_context().run, build).result()
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
        if not stateful:
            tf_keras.backend.experimental.disable_tf_random_generator()


@contextlib.contextmanager
def recorded_random_states(states: list[tf.Variable]) -> Iterator[None]:
    """Inside of the `with` block, the states of random generators that are made are appended to the list."""

    def record(create: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        variable = create(**arguments)
        if arguments.get("name") == RANDOM_STATE:
            states.append(variable)
        return variable

    with tf.variable_creator_scope(record):
        yield


def reused_variables(
    build: Callable[[str], tf_keras.Model], mode: str, model: tf_keras.Model, created: list[tf.Variable]
) -> tf_keras.Model:
    """The model that `build(mode)` returns, with the weights of `model` in place of new ones: those of the same name, or, as
    tf-keras numbers layers without a name throughout the process, the next in the order of creation.

    States of random generators are not shared: a graph may drop out in one mode, and not in another.

    Args:
        build: builds a model in a mode.
        mode: which one.
        model: what `build('train')` returned.
        created: the variables that it created.

    Raises:
        ValueError: if `build(mode)` creates other weights; names the first difference.
    """
    owned = {identity(weight) for weight in _weights(model)}
    waiting = [variable for variable in created if not (is_random_state(variable) or _counts_batches(variable.aggregation))]

    def reuse(create: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        # In each model of its own: random generators, and tf-keras's counters of batches.
        if arguments.get("name") == RANDOM_STATE or _counts_batches(arguments.get("aggregation")):
            return create(**arguments)
        return _matching(waiting, owned, mode, arguments)

    try:
        with tf.variable_creator_scope(reuse):
            other = build(mode)
    except _OtherVariablesError as error:
        _check_created_again(build(Modes.TRAIN), owned)
        raise ValueError(str(error)) from None
    used = {identity(weight) for weight in _weights(other)}
    if any(identity(variable) in used for variable in waiting):
        _check_created_again(other, {identity(variable) for variable in waiting})
    for weight in _weights(model):
        if identity(weight) not in used:
            raise ValueError(_difference(mode, f"{described([weight])} is missing"))
    for weight in _weights(other):
        if identity(weight) not in owned:
            raise ValueError(_difference(mode, f"{described([weight])} has no counterpart in mode {Modes.TRAIN!r}"))
    return other


def _matching(waiting: list[tf.Variable], owned: set[int], mode: str, arguments: dict[str, Any]) -> tf.Variable:
    """Finds, among the variables not yet matched, the one requested, and removes it from them."""
    for variable in waiting:
        if _name(variable) == _full_name(arguments) and _fits(variable, arguments):
            waiting[:] = [other for other in waiting if other is not variable]
            return variable
    # Those of a layer whose output nobody uses may be missing in a mode.
    while waiting and identity(waiting[0]) not in owned and not _fits(waiting[0], arguments):
        waiting.pop(0)
    if not waiting:
        raise _OtherVariablesError(_difference(mode, f"{_requested(arguments)} has no counterpart in mode {Modes.TRAIN!r}"))
    variable = waiting.pop(0)
    if not _fits(variable, arguments):
        raise _OtherVariablesError(
            _difference(mode, f"{_requested(arguments)} is {described([variable])} in mode {Modes.TRAIN!r}")
        )
    return variable


class _OtherVariablesError(ValueError):
    """A graph function asks for other variables than it did before."""


def _check_created_again(model: tf_keras.Model, before: set[int]) -> None:
    """Refuses a model with variables out of `before`, identities: its layers are those of an earlier call."""
    kept = [variable for variable in model.variables if identity(variable) in before]
    if kept:
        raise ValueError(f"{ASKED}{described(kept)} belong to a layer that it has kept from an earlier call.")


def _counts_batches(aggregation: Any) -> bool:
    """Whether a variable is one of tf-keras's counters of batches."""
    return aggregation == tf.VariableAggregation.ONLY_FIRST_REPLICA


def _weights(model: tf_keras.Model) -> list[tf.Variable]:
    return [variable for variable in model.variables if not is_random_state(variable)]


def _fits(variable: tf.Variable, arguments: dict[str, Any]) -> bool:
    """Whether what is requested has the shape and dtype of the variable, and its name except for the layers' numbers."""
    dtype = arguments.get("dtype")
    own, other = (re.sub(r"_?\d+", "", each) for each in (_name(variable), _full_name(arguments)))
    same_dtype = dtype is None or tf.as_dtype(dtype) == variable.dtype
    return _shape(arguments) == tuple(variable.shape) and same_dtype and own == other


def _name(variable: tf.Variable) -> str:
    return variable.name.split(":")[0]


def _full_name(arguments: dict[str, Any]) -> str:
    """The name that a variable which is being created will have: its layers' names come first."""
    return "/".join(part for part in (tf.get_current_name_scope(), arguments.get("name") or "Variable") if part)


def _requested(arguments: dict[str, Any]) -> str:
    dtype = arguments.get("dtype")
    return f"{_full_name(arguments)} {_shape(arguments)}{'' if dtype is None else ' ' + tf.as_dtype(dtype).name}"


def _shape(arguments: dict[str, Any]) -> tuple[int, ...]:
    if arguments.get("shape") is not None:
        return tuple(tf.TensorShape(arguments["shape"]))
    value = arguments["initial_value"]
    return tuple(np.shape(value() if callable(value) else value))


def _difference(mode: str, what: str) -> str:
    return (
        f"graph_fn builds other variables in mode {mode!r} than in mode {Modes.TRAIN!r}: {what}. Build the same layers in "
        "every mode, and let the mode decide what they do."
    )
