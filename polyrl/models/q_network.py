"""`QNetwork`: a graph function built once, as a tf-keras functional model that gives a `QModelSpec`."""

from __future__ import annotations

import contextvars
import itertools
import random
import re
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras

from polyrl.modes import Modes
from polyrl.ops import polyak_average
from polyrl.validation import check_float


class QModelSpec(NamedTuple):
    """What a Q network gives for a batch of `B` states and `A` actions.

    `graph_outputs`, the torso's output `[B, ...]`; `a`, the advantage head `[B, A]` (`[B, A, N]` with atoms); `v`, the value
    head `[B, 1]` (`[B, 1, N]`), None without dueling; `q`, action values `[B, A]`; `logits` `[B, A, N]`, None without atoms.

    For continuous actions of `k` numbers: `a`, the best action `[B, k]`; `q`, its value `[B]`; `scale` `[B, k (k + 1) / 2]`.
    """

    graph_outputs: tf.Tensor
    a: tf.Tensor
    v: tf.Tensor | None
    q: tf.Tensor
    logits: tf.Tensor | None = None
    scale: tf.Tensor | None = None


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
        spec = _with_initial_weights_from(seed, lambda: graph(Modes.TRAIN, symbolic))
        outputs = {field: value for field, value in spec._asdict().items() if value is not None}
        self.model = tf_keras.Model(symbolic, outputs, name=self.name)

    def __call__(self, inputs: Any, training: bool = False) -> QModelSpec:
        """Runs the network on a batch; `training` is what dropout and batch normalisation are told."""
        return QModelSpec(**{"v": None, **self.model(inputs, training=training)})

    def copy_from(self, source: QNetwork, when: tf.Tensor | None = None, tau: float = 1.0) -> None:
        """Takes over all variables of a network of the same structure, non-trainable ones too.

        Args:
            source: the other network.
            when: bool scalar; nothing happens unless it holds. None: it does.
            tau: `tau * source + (1 - tau) * own` is what a variable becomes; one that is no float becomes the source's.
        """
        pairs = list(zip(self.model.variables, source.model.variables, strict=True))
        if any(old is new for old, new in pairs):
            raise ValueError(
                "graph_fn must create its layers inside: a layer made outside would be shared by the two networks."
            )

        def copied() -> list[tf.Tensor]:
            return [polyak_average([new], [old], tau if old.dtype.is_floating else 1.0)[0] for old, new in pairs]

        # The branches assign nothing: they may be traced where assignments are carried as values.
        values = copied() if when is None else tf.cond(when, copied, lambda: [old.read_value() for old, _ in pairs])
        for (variable, _), value in zip(pairs, values, strict=True):
            variable.assign(value)

    def activations(self, inputs: Any) -> dict[str, tf.Tensor]:
        """The output of each layer that has weights, by label."""
        # At its last call: a model used as a layer has been called on inputs of its own before.
        outputs = {label: layer.get_output_at(-1) for label, layer in _labelled(self.model.layers).items()}
        return tf_keras.Model(self.model.inputs, outputs)(tf.nest.flatten(inputs))

    def labelled_variables(self) -> dict[str, tf.Variable]:
        """All variables by a label that is the same in every process: `dense/kernel`, `dense_1/kernel`, `advantage/bias`."""
        return _labelled_variables(self.model)

    def embedding_indices(self) -> set[int]:
        """Which trainable variables belong to an embedding layer."""
        tables = {
            variable.ref()
            for layer in self.model.submodules
            if isinstance(layer, tf_keras.layers.Embedding)
            for variable in layer.trainable_variables
        }
        return {i for i, variable in enumerate(self.model.trainable_variables) if variable.ref() in tables}


def check_tau(tau: float, use_target_graph: bool) -> float:
    """`target_update_tau` in (0, 1], which means nothing without a target network."""
    tau = check_float("target_update_tau", tau, 0.0, 1.0)
    if tau == 0.0:
        raise ValueError("target_update_tau=0.0 must be above 0: the target network would never change.")
    if tau != 1.0 and not use_target_graph:
        raise ValueError(f"target_update_tau={tau} is for a target network; leave it at 1 with use_target_graph=False.")
    return tau


def _labelled(layers: Sequence[tf_keras.layers.Layer]) -> dict[str, tf_keras.layers.Layer]:
    """The layers that have weights, numbered by kind in their order; tf-keras's own numbers go on through the process."""
    labels: dict[str, tf_keras.layers.Layer] = {}
    for layer in layers:
        if layer.weights:
            labels[_unique(re.sub(r"_\d+$", "", layer.name), labels)] = layer
    return labels


def _labelled_variables(model: tf_keras.Model) -> dict[str, tf.Variable]:
    labels: dict[str, tf.Variable] = {}
    for layer_label, layer in _labelled(model.layers).items():
        if isinstance(layer, tf_keras.Model):
            inner = _labelled_variables(layer)
        else:
            inner = {}
            for variable in layer.weights:
                # `kernel` of `dense_3/kernel:0`; layers of layers keep what tells their variables apart.
                path = variable.name.split(":")[0].split("/")[1:]
                inner[_unique("/".join(re.sub(r"_\d+$", "", part) for part in path) or "variable", inner)] = variable
        labels.update({f"{layer_label}/{label}": variable for label, variable in inner.items()})
    return labels


def _unique(label: str, taken: Container[str]) -> str:
    numbered = itertools.chain([label], (f"{label}_{number}" for number in itertools.count(1)))
    return next(candidate for candidate in numbered if candidate not in taken)


def _with_initial_weights_from(seed: int, build: Callable[[], QModelSpec]) -> QModelSpec:
    """Runs `build` so that the weights depend on `seed` alone, and no random state of the process on it.

    tf-keras initialisers without a seed take one from Python's `random`, which is put back as it was; or, after a call of
    `tf_keras.utils.set_random_seed`, from a generator that it keeps for each thread, hence a thread of our own.
    """
    state = random.getstate()
    random.seed(seed)
    # Dropout then draws from a generator of its own, seeded as the weights are and part of the checkpoint.
    stateful = tf_keras.backend.experimental.is_tf_random_generator_enabled()
    tf_keras.backend.experimental.enable_tf_random_generator()
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(contextvars.copy_context().run, build).result()
    finally:
        random.setstate(state)
        if not stateful:
            tf_keras.backend.experimental.disable_tf_random_generator()
