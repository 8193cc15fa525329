"""`QNetwork`: a graph function built once, as a tf-keras functional model that gives a `QModelSpec`."""

from __future__ import annotations

import contextlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from polyrl.modes import Modes
from polyrl.ops import polyak_average

import tensorflow as tf
import tf_keras


class QModelSpec(NamedTuple):
    """What a Q network gives for a batch of `B` states and `A` actions.

    `graph_outputs`, the torso's output `[B, ...]`; `a`, the advantage head `[B, A]` (`[B, A, N]` with atoms); `v`, the value
    head `[B, 1]` (`[B, 1, N]`), None without dueling; `q`, action values `[B, A]`; `logits` `[B, A, N]`, None without atoms.
    """

    graph_outputs: tf.Tensor
    a: tf.Tensor
    v: tf.Tensor | None
    q: tf.Tensor
    logits: tf.Tensor | None = None


class QNetwork(tf.Module):
    """A network with variables of its own; two built from one function have the same structure.

    Args:
        graph: `graph(mode, inputs) -> QModelSpec`, called once, on symbolic inputs.
        inputs: a nest of tensors or specs `[B, ...]` that the network will be called on.
        seed: decides the initial weights.
        name: the network's name in the checkpoint and in messages.
    """

    def __init__(self, graph: Callable[[str, Any], QModelSpec], inputs: Any, seed: int, name: str):
        super().__init__(name=re.sub(r"\W", "_", name))
        symbolic = tf.nest.map_structure(lambda t: tf_keras.Input(shape=t.shape[1:], dtype=t.dtype), inputs)
        with _initial_weights_from(seed):
            spec = graph(Modes.TRAIN, symbolic)
        outputs = {field: value for field, value in spec._asdict().items() if value is not None}
        self.model = tf_keras.Model(symbolic, outputs, name=self.name)

    def __call__(self, inputs: Any, training: bool = False) -> QModelSpec:
        """Runs the network on a batch; `training` is what dropout and batch normalisation are told."""
        return QModelSpec(**{"v": None, **self.model(inputs, training=training)})

    def copy_from(self, source: QNetwork, when: tf.Tensor | bool = True) -> None:
        """Takes over all variables of a network of the same structure, non-trainable ones too, if `when` holds."""
        pairs = list(zip(self.model.variables, source.model.variables, strict=True))

        def copy() -> tf.Tensor:
            values = polyak_average([new for _, new in pairs], [old for old, _ in pairs], tau=1.0)
            for (variable, _), value in zip(pairs, values, strict=True):
                variable.assign(value)
            return tf.constant(True)

        if isinstance(when, bool):
            if when:
                copy()
        else:
            tf.cond(when, copy, lambda: tf.constant(False))

    def activations(self, inputs: Any) -> dict[str, tf.Tensor]:
        """The output of each layer that has weights, by label."""
        layers = self.labelled_layers()
        probe = tf_keras.Model(self.model.inputs, {label: layer.output for label, layer in layers.items()})
        return probe(tf.nest.flatten(inputs))

    def labelled_layers(self) -> dict[str, tf_keras.layers.Layer]:
        """The layers that have weights by a label that is the same in every process: `dense`, `dense_1`, `advantage`."""
        labels: dict[str, tf_keras.layers.Layer] = {}
        counts: Counter[str] = Counter()
        for layer in self.model.layers:
            if layer.weights:
                base = re.sub(r"_\d+$", "", layer.name)
                labels[base if not counts[base] else f"{base}_{counts[base]}"] = layer
                counts[base] += 1
        return labels

    def labelled_variables(self) -> dict[str, tf.Variable]:
        """All variables by label: `dense/kernel`, `advantage/bias`."""
        return {
            f"{label}/{_local_name(variable, index)}": variable
            for label, layer in self.labelled_layers().items()
            for index, variable in enumerate(layer.weights)
        }

    def embedding_indices(self) -> set[int]:
        """Which trainable variables belong to an embedding layer."""
        tables = {
            variable.ref()
            for layer in self.model.submodules
            if isinstance(layer, tf_keras.layers.Embedding)
            for variable in layer.trainable_variables
        }
        return {i for i, variable in enumerate(self.model.trainable_variables) if variable.ref() in tables}


def _local_name(variable: tf.Variable, index: int) -> str:
    """`kernel` of `dense_3/kernel:0`; layers of layers keep what tells their variables apart."""
    path = variable.name.split(":")[0].split("/")[1:]
    return "/".join(re.sub(r"_\d+$", "", part) for part in path) or f"variable_{index}"


@contextlib.contextmanager
def _initial_weights_from(seed: int) -> Iterator[None]:
    """tf-keras initialisers without a seed take one from Python's `random`; it is put back as it was afterwards."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
