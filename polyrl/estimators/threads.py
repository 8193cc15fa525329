"""Among how many cores TensorFlow divides an operation: a small network is computed faster by one than by several."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from polyrl.models.q_network import QNetwork
from polyrl.networks.convolution import KINDS
from polyrl.networks.quantile_embedding import QuantileEmbedding

VARIABLE = "TF_NUM_INTRAOP_THREADS"
"""TensorFlow's environment variable for it."""

SMALL = 5_000_000
"""Up to so many multiplications, a product of a batch with a layer's weights, or a convolution of it, is faster on one core:
measured with two cores, see docs/performance.md."""


def use_threads(threads: int | None) -> None:
    """Has TensorFlow divide each operation among so many threads, in all of this process; None changes nothing.

    Raises:
        ValueError: if TensorFlow has computed something already, and divides it among another number.
    """
    if threads is None or threads == threads_in_use():
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise ValueError(
            f"threads={threads} comes too late: TensorFlow computes in this process already, with {threads_in_use()}. Give "
            f"it to the process's first Agent, before anything is computed; or set {VARIABLE}={threads} for the program."
        ) from error


def can_use_threads(threads: int) -> bool:
    """`use_threads`, and whether that was not too late."""
    try:
        use_threads(threads)
    except ValueError:
        return False
    return True


def use_one_core() -> None:
    """Has TensorFlow compute on one core in this process, one operation after another, unless it has computed already.

    Of several processes on the same cores each then takes one: operations that are handed from thread to thread cost a
    process twice as much where others run.
    """
    if can_use_threads(1):
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_inter_op_parallelism_threads(1)


def has_computed() -> bool:
    """Whether TensorFlow has computed something in this process, after which it takes some settings no more."""
    chosen = tf.config.threading.get_inter_op_parallelism_threads()
    try:
        tf.config.threading.set_inter_op_parallelism_threads(chosen + 1)  # It refuses a change, and has no question for it.
    except RuntimeError:
        return True
    tf.config.threading.set_inter_op_parallelism_threads(chosen)
    return False


def threads_in_use() -> int:
    """Among how many threads TensorFlow divides an operation in this process."""
    given = os.environ.get(VARIABLE, "").strip()  # TensorFlow passes over what is no number.
    chosen = tf.config.threading.get_intra_op_parallelism_threads()
    return chosen or (int(given) if given.isdecimal() else 0) or cores()


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def advice(networks: Iterable[QNetwork], batch_size: int) -> str | None:
    """What is to be said of networks that more than one core slows down; None if there is nothing.

    Args:
        networks: those of the models.
        batch_size: rows of an update.
    """
    largest = max((_multiplications(network) for network in networks), default=0) * batch_size
    if threads_in_use() == 1 or not 0 < largest <= SMALL:
        return None
    return (
        f"TensorFlow divides each operation among {threads_in_use()} cores, for which this network is too small: it is faster "
        "on one, by RunConfig(threads=1) or --threads=1."
    )


def _multiplications(network: QNetwork) -> int:
    """Of one row with the largest of its weights; with IQN's fractions each row is several, with a convolution each place."""
    layers = network.model.submodules
    rows = [layer.num_samples for layer in layers if isinstance(layer, QuantileEmbedding)]
    weights = [int(variable.shape.num_elements()) for variable in network.model.trainable_variables]
    convolved = [_places(layer) * layer.count_params() for layer in layers if isinstance(layer, KINDS) and layer.built]
    return max([*weights, *convolved], default=0) * max(rows, default=1)


def _places(layer: Any) -> int:
    """At how many places of an image a convolution is computed; a large number if its images are of no known size."""
    shape = getattr(layer, "output_shape", None)  # A layer called by another one has none.
    if not isinstance(shape, tuple) or None in shape[1:]:
        return SMALL
    return math.prod(shape[1:-1] if layer.data_format == "channels_last" else shape[2:])
