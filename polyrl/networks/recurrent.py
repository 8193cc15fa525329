"""`Recurrent`: a layer that remembers earlier steps of an episode, and torsos that end with one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.engine.recurrence import unrolled
from polyrl.modes import Modes
from polyrl.networks.any_mode import SameInEveryMode
from polyrl.networks.unrolling import forward_pass
from polyrl.validation import check_int, explains

CELLS = {"lstm": tf_keras.layers.LSTMCell, "gru": tf_keras.layers.GRUCell}
"""They create the weights."""


class Recurrent(tf_keras.layers.Layer):
    """An LSTM (Hochreiter & Schmidhuber 1997) or GRU (Cho et al. 2014) over the steps of episodes: `[B, n]` to `[B, units]`.

    How the rows follow each other is said by who calls the network, see `polyrl.networks.unrolling`; what is remembered is
    forgotten where an episode ends. Weights and equations are those of tf-keras's layers.

    Args:
        units: of the output.
        cell: `"lstm"` or `"gru"`.
        **arguments: those of a tf-keras layer.
    """

    def __init__(self, units: int = 64, cell: str = "lstm", **arguments: Any):
        super().__init__(**arguments)
        self.units, self.kind = check_int("units", units, minimum=1), check_cell(cell)
        self.cell = CELLS[cell](self.units, dtype=self.dtype_policy)

    @property
    def state_size(self) -> int:
        """How many numbers it remembers."""
        return int(sum(tf.nest.flatten(self.cell.state_size)))

    def build(self, input_shape: Any) -> None:
        """Creates the cell's weights; a ValueError for other inputs than `[B, n]`."""
        if len(input_shape) != 2:
            raise ValueError(f"Recurrent takes one row of numbers for each state, [B, n]; got {tuple(input_shape)}.")
        with tf.name_scope(self.cell.name):
            self.cell.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The output for each row."""
        forward = forward_pass()
        unroll, length = forward.unroll, forward.unroll.length
        cell = self.cell
        kernel, recurrent_kernel, bias = (tf.convert_to_tensor(w) for w in (cell.kernel, cell.recurrent_kernel, cell.bias))
        biases = tf.unstack(bias) if self.kind == "gru" else (bias, tf.zeros_like(bias))
        added = tf.matmul(tf.cast(inputs, kernel.dtype), kernel) + biases[0]  # [S T, G]
        steps = tf.transpose(tf.reshape(added, [-1, length, added.shape[1]]), [1, 0, 2])  # [T, S, G]
        state = forward.take(self.state_size)
        if state is None:
            state = tf.zeros(tf.stack([tf.shape(steps)[1], self.state_size]), kernel.dtype)
        kept = tf.ones_like(steps[:, :, :1])
        if unroll.ended is not None:
            continues = 1.0 - tf.transpose(tf.cast(unroll.ended, kernel.dtype))[:-1, :, tf.newaxis]
            kept = tf.concat([kept[:1], continues], axis=0)  # [T, S, 1]
        state, parts = tf.cast(state, kernel.dtype), []
        for first, last in ((0, unroll.burn_in), (unroll.burn_in, length)):
            if last > first:
                weights = recurrent_kernel, biases[1], tf.stop_gradient(state)
                parts.append(unrolled(STEPS[self.kind], steps[first:last], kept[first:last], *weights))
                state = parts[-1][-1]
        states = tf.reshape(tf.transpose(tf.concat(parts, axis=0), [1, 0, 2]), [-1, self.state_size])  # [S T, H]
        forward.leave(states)
        return states[:, : self.units]

    def get_config(self) -> dict[str, Any]:
        """The arguments, for copies and checkpoints."""
        return {**super().get_config(), "units": self.units, "cell": self.kind}


def lstm_step(from_input: tf.Tensor, from_output: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
    """The next state `[S, 2 units]`, output and memory, from what inputs and outputs add to the gates, `[S, 4 units]` each."""
    _, memory = tf.split(state, 2, axis=1)
    taken, kept, new, shown = tf.split(from_input + from_output, 4, axis=1)
    memory = tf.sigmoid(kept) * memory + tf.sigmoid(taken) * tf.tanh(new)
    return tf.concat([tf.sigmoid(shown) * tf.tanh(memory), memory], axis=1)


def gru_step(from_input: tf.Tensor, from_output: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
    """The next state `[S, units]`, the output, from what inputs and outputs add to the gates, `[S, 3 units]` each."""
    kept, reset, new = tf.split(from_input, 3, axis=1)
    kept_before, reset_before, before = tf.split(from_output, 3, axis=1)
    share = tf.sigmoid(kept + kept_before)
    return share * state + (1.0 - share) * tf.tanh(new + tf.sigmoid(reset + reset_before) * before)


STEPS = {"lstm": lstm_step, "gru": gru_step}
"""By cell, one step: the output comes first in the state."""


@explains({})
def recurrent(torso: Callable[[str, Any], Any], units: int = 64, cell: str = "lstm") -> Callable[[str, Any], Any]:
    """A torso that ends with a recurrent layer: `graph_fn=recurrent(mlp([64]), units=64)`.

    Args:
        torso: a `graph_fn`, `[B, ...]` to `[B, n]`.
        units: of the recurrent layer.
        cell: `"lstm"` or `"gru"`.
    """
    if isinstance(torso, tf_keras.layers.Layer) or not callable(torso):
        raise TypeError(f"torso={torso!r} must be a graph_fn, a function of (mode, inputs), as mlp([64]).")
    check_int("units", units, minimum=1)
    check_cell(cell)

    def graph(mode: str, inputs: Any) -> Any:
        return Recurrent(units, cell)(torso(mode, inputs))

    return SameInEveryMode(functools.partial(graph, Modes.TRAIN)) if isinstance(torso, SameInEveryMode) else graph


def check_cell(cell: str) -> str:
    """A ValueError unless there is such a cell."""
    if cell not in CELLS:
        raise ValueError(f"cell={cell!r} must be one of {', '.join(map(repr, CELLS))}.")
    return cell
