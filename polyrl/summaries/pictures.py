"""Pictures that are drawn pixel by pixel, for TensorBoard."""

from __future__ import annotations

import numpy as np

WIDTH, HEIGHT, MARGIN = 306, 120, 4
WHITE, BAR, MEAN, AXIS = 255, (66, 133, 244), (219, 68, 55), (120, 120, 120)


def distributions(probabilities: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Each distribution as bars over the support, from its lowest value to its highest, with a line at the mean.

    The highest bar of a picture fills it.

    Args:
        probabilities: `[B, N]`, those of a row sum to 1.
        support: `[N]`, evenly spaced.

    Returns:
        uint8 `[B, HEIGHT, WIDTH, 3]`.
    """
    rows, atoms = probabilities.shape
    pictures = np.full([rows, HEIGHT, WIDTH, 3], WHITE, np.uint8)
    edges = np.linspace(MARGIN, WIDTH - MARGIN, atoms + 1).round().astype(int)
    base = HEIGHT - MARGIN
    for picture, row in zip(pictures, probabilities, strict=True):
        picture[base : base + 1, MARGIN:-MARGIN] = AXIS
        heights = (row / max(row.max(), 1e-12) * (base - MARGIN)).round().astype(int)
        for height, left, right in zip(heights, edges[:-1], edges[1:], strict=True):
            picture[base - height : base, left : max(right - 1, left + 1)] = BAR
        place = np.interp(row @ support, [support[0], support[-1]], [(edges[0] + edges[1]) / 2, (edges[-2] + edges[-1]) / 2])
        picture[MARGIN:base, int(place)] = MEAN
    return pictures
