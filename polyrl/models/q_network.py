"""`QNetwork`: a graph function as tf-keras functional models, one for each mode, that share their variables."""

from __future__ import annotations

import itertools
import re
import types
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras

from polyrl.models import graph_functions
from polyrl.models.building import build_with_seed, recorded_random_states, reused_variables
from polyrl.models.rectifying import may_be_dead
from polyrl.models.untracked import ASKED, check_precision, described, is_random_state, recorded_model
from polyrl.modes import Modes
from polyrl.networks import Recurrent, SameInEveryMode
from polyrl.networks.unrolling import Unroll, unrolling
from polyrl.ops import polyak_average


class QModelSpec(NamedTuple):
    """What a Q network gives for a batch of `B` states and `A` actions.

    `graph_outputs`, the torso's output `[B, ...]`; `a`, the advantage head `[B, A]` (`[B, A, N]` with atoms); `v`, the value
    head `[B, 1]` (`[B, 1, N]`), None without dueling; `q`, action values `[B, A]`; `logits` `[B, A, N]`, None without atoms;
    `quantiles` of the return `[B, A, N]`, and which ones, `fractions` `[B, N]`, None without. What a model does not need may
    be None: DQN needs `q` alone, C51 also `logits`.

    For continuous actions with `k` components: `a`, the best action `[B, k]`; `q`, its value `[B]`; `scale`
    `[B, k (k + 1) / 2]`.
    """

    graph_outputs: tf.Tensor | None
    a: tf.Tensor | None
    v: tf.Tensor | None
    q: tf.Tensor
    logits: tf.Tensor | None = None
    scale: tf.Tensor | None = None
    quantiles: tf.Tensor | None = None
    fractions: tf.Tensor | None = None


class LayerOutput(NamedTuple):
    """What a layer gives for a batch: `values`, float32; `may_be_dead`, whether the share of zeros in them says something."""

    values: tf.Tensor
    may_be_dead: bool


class QNetwork(tf.Module):
    """A network with variables of its own; two built from one function have the same structure.

    `graph` is called once for each mode, or only once if it is a `SameInEveryMode`. It may act on the mode, but must build the
    same variables in all three.

    Args:
        graph: `graph(mode, inputs) -> QModelSpec`, called on symbolic inputs.
        inputs: a nest of tensors or specs `[B, ...]` that the network will be called on.
        seed: decides the initial weights.
        name: the network's name in the checkpoint and in messages.
        needed: which fields of the spec must be given.
        lazy: builds the modes other than `'train'` at their first call, for the target network, whose function the online
            one has tried in all modes.

    Attributes:
        model: the tf-keras model of mode `'train'`; it owns the variables.
        state_size: how many numbers its recurrent layers remember for each row; 0 without such layers.

    Raises:
        TypeError: if `graph` is not a function, or returns something other than a `QModelSpec`.
        ValueError: if a field of it is None that is needed; if the outputs depend on variables that are not the network's own,
            see `recorded_model`; or if `graph` builds other variables in another mode: the message names the first difference.
    """

    def __init__(
        self,
        graph: Callable[[str, Any], QModelSpec],
        inputs: Any,
        seed: int,
        name: str,
        needed: Sequence[str] = ("q",),
        lazy: bool = False,
    ):
        super().__init__(name=re.sub(r"\W", "_", name))
        if not callable(graph):
            raise TypeError(f"_build_graph_fn must return a function of (mode, inputs), got {graph!r}.")
        symbolic = tf.nest.map_structure(lambda t: tf_keras.Input(shape=t.shape[1:], dtype=t.dtype), inputs)

        def build(mode: str) -> tf_keras.Model:
            spec = graph_functions.call(graph, mode, symbolic)
            if not isinstance(spec, QModelSpec):
                raise TypeError(f"The function that _build_graph_fn returns must return a QModelSpec, got {spec!r}.")
            missing = [field for field in needed if getattr(spec, field) is None]
            if missing:
                raise ValueError(f"The QModelSpec of this model must have {list(needed)}; {missing} are None.")
            outputs = {field: _as_float32(field, value) for field, value in spec._asdict().items() if value is not None}
            try:
                return tf_keras.Model(symbolic, outputs, name=self.name)
            except ValueError as error:
                if twice := re.search(r'name "(.*?)" is used \d+ times', str(error)):
                    raise ValueError(
                        f"Two layers of the network are called {twice[1]!r}. Those of the heads have names such as "
                        "'advantage' and 'value': give the layer of graph_fn another name."
                    ) from error
                raise

        check_precision()
        with unrolling(Unroll()):  # It may be built in the middle of a forward pass, which must remember nothing of it.
            self.model, created = build_with_seed(seed, lambda: recorded_model(lambda: build(Modes.TRAIN), not lazy))

        graph_functions.check_memory(self.model)
        self.state_size = sum(layer.state_size for layer in self.model.submodules if isinstance(layer, Recurrent))
        drawn = [variable for variable in created if is_random_state(variable)]

        def share(mode: str) -> tf_keras.Model:
            def reused() -> tf_keras.Model:
                with recorded_random_states(drawn):
                    return reused_variables(build, mode, self.model, created)

            with unrolling(Unroll()):
                return build_with_seed(seed, reused)

        others = (Modes.EVAL, Modes.PREDICT)
        if isinstance(graph, SameInEveryMode):
            shared = dict.fromkeys(others, self.model)
        else:
            shared = {} if lazy else {mode: share(mode) for mode in others}
        # tf-keras leaves the states of random generators, as dropout has one, out of checkpoints. This leads to those of the
        # modes that are built by now, and is not a module: they are not variables that are trained or copied.
        self._random_states = tf.train.Checkpoint(states=list(drawn)) if drawn else None
        # In a plain object, which TensorFlow does not look into: the checkpoint knows the variables by `model` alone.
        self._models = types.SimpleNamespace(by_mode={Modes.TRAIN: self.model, **shared}, share=share)

    def __call__(self, inputs: Any, mode: str = Modes.TRAIN, training: bool = False) -> QModelSpec:
        """Runs the graph of that mode on a batch; `training` is what layers such as dropout are told that ask tf-keras."""
        _check_inputs(self.model, inputs)
        models = self._models.by_mode
        if mode not in models:
            models[mode] = self._models.share(mode)
        outputs = models[mode](inputs, training=training)
        rows = tf.nest.flatten(inputs)[0].shape[:1]
        if not outputs["q"].shape[:1].is_compatible_with(rows):
            raise ValueError(f"graph_fn must return one row for each state: got {outputs['q'].shape[0]} of {rows[0]} states.")
        return QModelSpec(**{**dict.fromkeys(QModelSpec._fields), **outputs})

    def copy_from(self, source: QNetwork, tau: float = 1.0) -> None:
        """Moves all variables towards those of a network of the same structure, non-trainable ones too.

        Args:
            source: the other network.
            tau: `tau * source + (1 - tau) * own` is what a variable becomes; one that is not a float becomes the source's.
        """
        pairs = list(zip(self.model.variables, source.model.variables, strict=True))
        shared = [old for old, new in pairs if old is new]
        if shared:
            raise ValueError(f"{ASKED}{described(shared)} would be shared by the two networks.")
        values = [polyak_average([new], [old], tau if old.dtype.is_floating else 1.0)[0] for old, new in pairs]
        for (variable, _), value in zip(pairs, values, strict=True):
            variable.assign(value)

    def activations(self, inputs: Any) -> dict[str, LayerOutput]:
        """The output of each layer that has weights, by label; several of one layer are `label/0`, `label/1`, ...

        Ragged and sparse outputs are given by their values; those that are not numbers are left out.
        """
        labelled = _labelled(self.model.layers)
        outputs = {label: _last_output(self.model, layer) for label, layer in labelled.items()}
        found = tf_keras.Model(self.model.inputs, outputs)(tf.nest.flatten(inputs))
        activations: dict[str, LayerOutput] = {}
        for label, output in found.items():
            parts = [_values(part) for part in tf.nest.flatten(output)]
            names = [label] if len(parts) == 1 else [f"{label}/{index}" for index in range(len(parts))]
            numbers = {
                name: part
                for name, part in zip(names, parts, strict=True)
                if part.dtype.is_floating or part.dtype.is_integer or part.dtype.is_bool
            }
            zeros = may_be_dead(labelled[label])
            activations |= {name: LayerOutput(tf.cast(part, tf.float32), zeros) for name, part in numbers.items()}
        return activations

    def labelled_variables(self) -> dict[str, tf.Variable]:
        """All variables by a label that is the same in every process: `dense/kernel`, `dense_1/kernel`, `advantage/bias`."""
        return _labelled_variables(self.model)

    def torso_variables(self) -> list[tf.Variable]:
        """The trainable variables on the way from the inputs to `graph_outputs`; empty if the graph does not give them."""
        outputs = self.model.output.get("graph_outputs")
        return [] if outputs is None else tf_keras.Model(self.model.inputs, outputs).trainable_variables

    def embedding_indices(self) -> set[int]:
        """Which trainable variables belong to an embedding layer."""
        tables = {
            variable.ref()
            for layer in self.model.submodules
            if isinstance(layer, tf_keras.layers.Embedding)
            for variable in layer.trainable_variables
        }
        return {i for i, variable in enumerate(self.model.trainable_variables) if variable.ref() in tables}


def _check_inputs(model: tf_keras.Model, inputs: Any) -> None:
    """Refuses features of other keys or shapes than those that a network was built for.

    Raises:
        ValueError: names both.
    """
    expected, given = (nest if isinstance(nest, Mapping) else {"state": nest} for nest in (model.input, inputs))
    fits = expected.keys() == given.keys()
    if not (fits and all(part.shape.is_compatible_with(given[key].shape) for key, part in expected.items())):
        shapes = [{key: tuple(part.shape) for key, part in nest.items()} for nest in (expected, given)]
        raise ValueError(f"{model.name} was built for features of the shapes {shapes[0]}, got {shapes[1]}.")


def _as_float32(field: str, value: Any) -> Any:
    """A head's output in float32, in which losses compute; the torso's as it is."""
    return value if field == "graph_outputs" or value.dtype == tf.float32 else tf.cast(value, tf.float32)


def _last_output(model: tf_keras.Model, layer: tf_keras.layers.Layer) -> Any:
    """A layer's output at its last call in the model: one used elsewhere too has been called on other inputs."""
    for index in reversed(range(len(layer.inbound_nodes))):
        output = layer.get_output_at(index)
        try:
            tf_keras.Model(model.inputs, output)
        except ValueError:
            continue
        return output
    return []


def _values(output: Any) -> tf.Tensor:
    if isinstance(output, tf.RaggedTensor):
        return output.flat_values
    return output.values if isinstance(output, tf.SparseTensor) else output


def _labelled(layers: Sequence[tf_keras.layers.Layer]) -> dict[str, tf_keras.layers.Layer]:
    """The layers that have weights, numbered by kind in their order; tf-keras's own numbers continue across
    the models of a process."""
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


def checked_values(spec: QModelSpec, num_actions: int) -> QModelSpec:
    """A network's output, whose `q` must have a column for each action; a ValueError otherwise."""
    if not spec.q.shape.is_compatible_with([None, num_actions]):
        raise ValueError(
            f"The QModelSpec that the function of _build_graph_fn returns has q {tuple(spec.q.shape)}; expected [B, "
            f"num_actions], with num_actions={num_actions}."
        )
    return spec
