"""What the tests of random actions and numbers share."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp


def seed_of(number: int) -> tf.Tensor:
    return tf.constant([number, 17])


def chi_square_p_value(counts: np.ndarray) -> float:
    """The probability of counts at least as uneven as these when all are equally likely."""
    expected = counts.sum() / len(counts)
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float(tfp.distributions.Chi2(float(len(counts) - 1)).survival_function(statistic))
