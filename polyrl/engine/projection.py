"""C51's projection as a loop over the atoms: 12 microseconds for a batch of 64 with 51 atoms, and 34 with the plain formula.

The plain formula, in `polyrl.ops`, weights all atoms at once, `[B, N, M]`. That fills the processor's caches and slows down
all that comes after it: C51's whole update takes a fifth less time with the loop. The loop is always compiled by XLA, so that
with `jit="off"` it is not called (`scripts/benchmarks/engine.py`).
"""

from __future__ import annotations

import tensorflow as tf


def project_distribution(positions: tf.Tensor, probabilities: tf.Tensor, atoms: tf.Tensor) -> tf.Tensor:
    """The same as `polyrl.ops.project_distribution`: `[B, M]`, `[B, M]` and `[N]` to `[B, N]`, without gradients."""
    positions, probabilities = tf.stop_gradient(positions), tf.stop_gradient(probabilities)
    spacing = (atoms[-1] - atoms[0]) / tf.cast(tf.shape(atoms)[0] - 1, atoms.dtype)
    places = (tf.clip_by_value(positions, atoms[0], atoms[-1]) - atoms[0]) / spacing  # [B, M], in units of the spacing
    projected = _share_out(places, probabilities, tf.range(tf.shape(atoms)[0], dtype=atoms.dtype))
    return tf.ensure_shape(projected, [positions.shape[0], atoms.shape[0]])


@tf.function(autograph=False, jit_compile=True, reduce_retracing=True)
def _share_out(places: tf.Tensor, probabilities: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """`sum_j max(0, 1 - |x_j - i|) p_j` for `i` in `indices` `[N]`: `[B, M]` and `[B, M]` to `[B, N]`."""
    places, probabilities = tf.transpose(places), tf.transpose(probabilities)  # [M, B]

    def add(j: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        weights = tf.maximum(1.0 - tf.abs(places[j][:, tf.newaxis] - indices), 0.0)  # [B, N]
        return j + 1, total + weights * probabilities[j][:, tf.newaxis]

    count, batch = tf.unstack(tf.shape(places))
    start = (tf.constant(0), tf.zeros([batch, tf.size(indices)], places.dtype))
    return tf.while_loop(lambda j, total: j < count, add, start)[1]
