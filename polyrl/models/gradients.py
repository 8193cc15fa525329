"""Gradients: whether there are any, and how they are clipped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from polyrl.engine.squares import sum_of_squares
from polyrl.models.untracked import described


class ClippedGradients(NamedTuple):
    """Gradients after clipping, and the global norm before (`norm`) and after (`clipped_norm`), scalars."""

    clipped: list[tf.Tensor]
    norm: tf.Tensor
    clipped_norm: tf.Tensor


def clip_gradients(
    gradients: Sequence[tf.Tensor],
    embeddings: Collection[int],
    max_global_norm: float | None,
    max_embedding_norm: float | None,
) -> ClippedGradients:
    """Clips by global norm (Pascanu et al. 2013), then each embedding's gradient by its own norm; None and 0 do not clip.

    Args:
        gradients: dense, in the order of the variables.
        embeddings: positions in `gradients` that belong to embedding tables.
        max_global_norm: the largest norm of all gradients together.
        max_embedding_norm: the largest norm of an embedding's gradient.
    """
    clipped = list(gradients)
    norm = _global_norm(clipped)
    if max_global_norm is not None and max_global_norm > 0.0:
        # By dtype: with a precision policy of tf-keras the torso's may be another than the heads'.
        for dtype in {gradient.dtype for gradient in clipped}:
            places = [place for place, gradient in enumerate(clipped) if gradient.dtype == dtype]
            same, use_norm = [clipped[place] for place in places], tf.cast(norm, dtype)
            for place, value in zip(places, tf.clip_by_global_norm(same, max_global_norm, use_norm=use_norm)[0], strict=True):
                clipped[place] = value
    if max_embedding_norm is not None and max_embedding_norm > 0.0:
        clipped = [
            tf.clip_by_norm(gradient, max_embedding_norm) if index in embeddings else gradient
            for index, gradient in enumerate(clipped)
        ]
    return ClippedGradients(clipped, norm, _global_norm(clipped))


def _global_norm(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """The norm of all together, float32."""
    return tf.sqrt(tf.add_n([sum_of_squares(tf.cast(gradient, tf.float32)) for gradient in gradients]))


def check_gradients(gradients: Sequence[Any], model: str) -> None:
    """A ValueError if no variable has a gradient: no update would change anything."""
    if all(gradient is None for gradient in gradients):
        raise ValueError(
            f"The loss of {model} depends on no variable of the network, so that there is nothing to learn. Compute it from "
            "what the online network gives (forward.online), without tf.stop_gradient and argmax."
        )


def check_torso(torso: Sequence[tf.Variable], variables: Sequence[tf.Variable], gradients: Sequence[Any]) -> None:
    """A ValueError if the torso has variables, and no gradient reaches any of them: only the heads would learn.

    Args:
        torso: those of its variables that can be trained; there may be none.
        variables: all that are trained.
        gradients: one for each of these, or None.
    """
    own = {variable.ref() for variable in torso}
    reached = [gradient is not None for v, gradient in zip(variables, gradients, strict=True) if v.ref() in own]
    if reached and not any(reached):
        raise ValueError(
            f"graph_fn: no gradient reaches its variables, so that they would never change: {described(torso)}. Its output "
            "must depend on them by operations that have one: not only by way of tf.argmax, a comparison, tf.round, a cast to "
            "integers or bools, or tf.stop_gradient. Layers that shall stay as they are take trainable=False."
        )
