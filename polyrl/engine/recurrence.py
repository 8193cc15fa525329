"""A recurrence over the steps of sequences, with a gradient that XLA compiles inside of a loop of updates.

TensorFlow's own gradient of a loop keeps what each step computed in lists, which XLA refuses there; without a loop XLA takes
half a minute to compile forty steps. Here the backward pass knows all states, so that the products of matrices for all steps
are one each, and only what depends on the step after it is computed in a loop.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from polyrl.engine.tracing import traced

Step = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
"""`step(from_input [S, G], from_output [S, G], state [S, H])` gives the next state, `[S, H]`."""


def unrolled(
    step: Step, inputs: tf.Tensor, kept: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, state: tf.Tensor
) -> tf.Tensor:
    """The states after each step, `[T, S, H]`: `s_t = step(inputs_t, s[:, :U] kernel + bias, s)`, `s = kept_t s_{t - 1}`.

    Args:
        step: one step, without variables of its own: a function of a module.
        inputs: what the inputs add in each step, `[T, S, G]`.
        kept: 0 where nothing is remembered from the step before, else 1, `[T, S, 1]`. No gradient reaches it.
        kernel: of the output, the first `U` numbers of a state, `[U, G]`.
        bias: `[G]`.
        state: before the first step, `[S, H]`.
    """
    if inputs.shape[0] == 1:
        state *= kept[0]
        return step(inputs[0], tf.matmul(state[:, : kernel.shape[0]], kernel) + bias, state)[tf.newaxis]
    arguments = inputs, kept, kernel, bias, state
    program = _program(step, *((tuple(each.shape), each.dtype) for each in arguments))
    return program(*arguments)


@functools.cache
def _program(step: Step, *arguments: tuple[tuple[int | None, ...], tf.DType]) -> Any:
    """The function for arguments of these shapes and dtypes, traced once in a process.

    TensorFlow never releases a graph in which a custom gradient was traced
    (https://github.com/tensorflow/tensorflow/issues/97697), so that of the caller, with all of a model, must not be the one.
    """
    specs = [tf.TensorSpec(shape, dtype) for shape, dtype in arguments]
    return traced(functools.partial(_all_steps, step)).get_concrete_function(*specs)


def _all_steps(
    step: Step, inputs: tf.Tensor, kept: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, state: tf.Tensor
) -> tf.Tensor:
    length, units = int(inputs.shape[0]), int(kernel.shape[0])

    @tf.custom_gradient
    def run(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, state: tf.Tensor) -> Any:
        def forward(t: tf.Tensor, state: tf.Tensor, states: tf.Tensor) -> list[tf.Tensor]:
            state *= tf.gather(kept, t)
            state = step(tf.gather(inputs, t), tf.matmul(state[:, :units], kernel) + bias, state)
            return [t + 1, state, _written(states, t, state)]

        empty = tf.zeros(tf.concat([[length], tf.shape(state)], axis=0), state.dtype)
        states = _loop(length, forward, [tf.constant(0), state, tf.ensure_shape(empty, [length, *state.shape])])[2]

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            before = tf.concat([state[tf.newaxis], states[:-1]], axis=0) * kept  # [T, S, H]
            outputs = tf.reshape(before[:, :, :units], [-1, units])  # [T S, U]
            recurrent = tf.reshape(tf.matmul(outputs, kernel) + bias, tf.shape(inputs))  # [T, S, G]

            def backward(done: tf.Tensor, later: tf.Tensor, of_inputs: tf.Tensor, of_outputs: tf.Tensor) -> list[tf.Tensor]:
                t = length - 1 - done
                values = [tf.gather(each, t) for each in (inputs, recurrent, before)]
                with tf.GradientTape() as tape:
                    tape.watch(values)
                    after = step(*values)
                own = tape.gradient(after, values, tf.gather(upstream, t) + later)
                through = tf.matmul(own[1], kernel, transpose_b=True)  # [S, U]
                rest = tf.zeros_like(own[2][:, units:])
                earlier = (own[2] + tf.concat([through, rest], axis=1)) * tf.gather(kept, t)
                return [done + 1, earlier, _written(of_inputs, t, own[0]), _written(of_outputs, t, own[1])]

            start = [tf.constant(0), tf.zeros_like(state), tf.zeros_like(inputs), tf.zeros_like(inputs)]
            _, of_state, of_inputs, of_outputs = _loop(length, backward, start)
            flat = tf.reshape(of_outputs, [-1, tf.shape(kernel)[1]])
            return of_inputs, tf.matmul(outputs, flat, transpose_a=True), tf.reduce_sum(flat, axis=0), of_state

        return states, gradient

    return run(inputs, kernel, bias, state)


def _loop(length: int, body: Callable[..., Any], start: list[tf.Tensor]) -> list[tf.Tensor]:
    """`body` for each of the steps; its first argument counts them."""
    return list(tf.while_loop(lambda t, *_: t < length, body, start, maximum_iterations=length))


def _written(all_steps: tf.Tensor, t: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    return tf.tensor_scatter_nd_update(all_steps, tf.reshape(t, [1, 1]), values[tf.newaxis])
