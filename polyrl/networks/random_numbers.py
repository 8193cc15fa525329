"""Random numbers for networks, which draw thousands in an update: a hash of seed and place, much quicker than Philox.

SplitMix64 (Steele et al. 2014): the 64 bits of the i-th number are a hash of a start, which is itself a hash of the seed, plus
i times an odd constant. It is elementwise, so XLA makes one kernel of it. The numbers are the same with and without XLA.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from polyrl.ops.inputs import on_tensors

GOLDEN, OTHER = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03
"""Odd constants, by which counters are spread over 64 bits."""


@on_tensors
def hashed_uniform(shape: Any, seed: tf.Tensor) -> tf.Tensor:
    """Uniform numbers in [0, 1), float32, multiples of 2^-24; the same seed int `[2]` gives the same ones."""
    places = tf.range(tf.reduce_prod(tf.cast(shape, tf.int32)))
    # The sign goes with int64, whatever the seed's own dtype.
    first, second = tf.unstack(tf.cast(tf.cast(seed, tf.int64), tf.uint64))
    start = _mixed(_mixed(first + _bits(GOLDEN)) + second * _bits(OTHER))
    hashed = _mixed(start + tf.cast(places, tf.uint64) * _bits(GOLDEN))
    upper = tf.cast(tf.bitwise.right_shift(hashed, _bits(40)), tf.int32)
    return tf.reshape(tf.cast(upper, tf.float32) * 2.0**-24, shape)


@on_tensors
def hashed_normal(size: int, seed: tf.Tensor) -> tf.Tensor:
    """Standard normal numbers, float32 `[size]`, two from two uniform ones (Box and Muller 1958).

    With and without XLA they agree up to rounding errors.
    """
    half = -(-size // 2)
    first, second = tf.split(hashed_uniform([2 * half], seed), 2)
    radius, angle = tf.sqrt(-2.0 * tf.math.log(1.0 - first)), 2.0 * math.pi * second
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=0)[:size]


def _mixed(bits: tf.Tensor) -> tf.Tensor:
    """A one-to-one function of 64 bits, each bit of which depends on all: Stafford's variant 13 of MurmurHash3's."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = _shifted(bits, shift) * _bits(factor)
    return _shifted(bits, 31)


def _shifted(bits: tf.Tensor, number: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, _bits(number)))


def _bits(number: int) -> tf.Tensor:
    return tf.constant(number, tf.uint64)
