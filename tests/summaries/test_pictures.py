"""Distributions as pictures."""

from __future__ import annotations

import numpy as np
import pytest

from polyrl.summaries.pictures import BAR, HEIGHT, MEAN, WIDTH, distributions


def is_colour(picture, colour):
    return (picture == colour).all(axis=-1)


@pytest.mark.parametrize("atom", [0, 3, 10])
def test_all_mass_on_one_atom_is_one_bar_with_the_mean_in_it(atom):
    probabilities = np.eye(11)[[atom]]
    (picture,) = distributions(probabilities, np.linspace(-5.0, 5.0, 11))
    assert picture.shape == (HEIGHT, WIDTH, 3)
    columns = np.flatnonzero(is_colour(picture, BAR).any(axis=0))
    (mean,) = np.flatnonzero(is_colour(picture, MEAN).any(axis=0))
    assert columns.min() <= mean <= columns.max()
    assert abs(mean / WIDTH - (atom + 0.5) / 11) < 0.02
    assert columns.max() - columns.min() < WIDTH / 11


def test_heights_are_in_proportion():
    (picture,) = distributions(np.array([[0.25, 0.5, 0.25, 0.0]]), np.arange(4.0))
    heights = is_colour(picture, BAR).sum(axis=0)
    quarter, half = (heights[int(WIDTH * place)] for place in (0.12, 0.3))
    assert half == pytest.approx(2 * quarter, abs=1)
    assert heights[int(WIDTH * 0.9)] == 0
