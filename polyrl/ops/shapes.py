"""Shape checks for the ops: an accidental broadcast is an error, not a wrong loss."""

from __future__ import annotations

import tensorflow as tf


def check_shapes(**tensors: tuple[tf.Tensor, str]) -> None:
    """Checks each tensor against a shape written as letters, for example `check_shapes(q=(q, "BA"), action=(action, "B"))`.

    A letter means the same size wherever it occurs; sizes that are unknown while tracing are not compared.

    Raises:
        ValueError: if a shape does not match; the message names the argument, its shape and the expected shape.
    """
    sizes: dict[str, tuple[int, str]] = {}
    for name, (tensor, letters) in tensors.items():
        shape = tensor.shape
        if shape.rank is not None and shape.rank != len(letters):
            raise ValueError(f"{name} has shape {tuple(shape)}; expected [{', '.join(letters)}].")
        for letter, size in zip(letters, shape.as_list() if shape.rank is not None else (), strict=False):
            if size is None:
                continue
            known, owner = sizes.setdefault(letter, (size, name))
            if known != size:
                raise ValueError(
                    f"{name} has shape {tuple(shape)}, {letter}={size}, but {owner} has {letter}={known}; "
                    f"expected [{', '.join(letters)}]."
                )


def check_actions(action: tf.Tensor, num_actions: int | None) -> None:
    """Checks that actions `[B]` are integers; eagerly also that each is one of the `num_actions`.

    Raises:
        TypeError: for another dtype: a fraction would be rounded down.
        ValueError: for one out of range, whose value would be 0.
    """
    if not action.dtype.is_integer:
        raise TypeError(f"action has dtype {action.dtype.name}; expected integers.")
    if num_actions is not None and tf.executing_eagerly():
        values = action.numpy()
        wrong = values[(values < 0) | (values >= num_actions)]
        if wrong.size:
            raise ValueError(f"action holds {wrong[0]}; expected integers from 0 to {num_actions - 1}.")
