"""A convolution as one product of matrices, which XLA is quick at also in a loop: of its own it is slow there on a CPU.

A step of DQN in the graph, with 16 filters of 3 x 3 on boards of 10 x 10 x 4, 128 units and batches of 32, takes 760
microseconds with XLA in this way, and 1,210 without XLA, where convolutions are quick and the rest is not
(`scripts/benchmarks/boards.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

LARGEST = 11_000
"""Numbers in the patches of an image up to which this beats a convolution without XLA: see docs/where_time_goes.md."""

FEW = 12
"""Channels up to which patches are put together by columns first and then by rows: 3 of slices of 3 are quicker than 9."""


def numbers(image: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> int:
    """How many numbers the patches of one image have: `[height, width, channels]`, `[height, width]` and `[2]`."""
    return math.prod(places(image, kernel, strides)) * math.prod(kernel) * image[-1]


def places(image: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> list[int]:
    """How many places a kernel has within an image, by height and width."""
    return [(side - size) // stride + 1 for side, size, stride in zip(image[:2], kernel, strides, strict=True)]


def convolve(images: tf.Tensor, kernel: tf.Tensor, strides: Sequence[int]) -> tf.Tensor:
    """`tf.nn.conv2d` without padding.

    Args:
        images: `[B, height, width, channels]`, all but B known.
        kernel: `[height, width, channels, filters]`, of the same dtype.
        strides: by height and width.

    Returns:
        `[B, rows, columns, filters]`.
    """
    height, width, channels, filters = kernel.shape
    rows, columns = places(images.shape[1:], (height, width), strides)
    down, right = ((count - 1) * stride + 1 for count, stride in zip((rows, columns), strides, strict=True))
    tops = [slice(top, top + down, strides[0]) for top in range(height)]
    lefts = [slice(left, left + right, strides[1]) for left in range(width)]
    if channels <= FEW:
        across = tf.concat([images[:, :, left] for left in lefts], -1)
        patches = tf.concat([across[:, top] for top in tops], -1)
    else:
        patches = tf.concat([images[:, top, left] for top in tops for left in lefts], -1)
    products = tf.matmul(tf.reshape(patches, [-1, height * width * channels]), tf.reshape(kernel, [-1, filters]))
    return tf.reshape(products, [-1, rows, columns, filters])
