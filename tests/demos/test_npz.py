"""Demonstrations in .npz files: damaged ones are refused, sound ones come back with all their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polyrl.demos import DemoEpisode, Demonstrations, load, save_npz


def demos(observations: Any = ((0, 1), (2, 3), (4, 5), (6, 7))) -> Demonstrations:
    return Demonstrations([DemoEpisode(np.asarray(observations), np.array([0, 1, 0]), np.ones(3), True, False)])


def error_of(path) -> str | None:
    """What is said of a file; None if it is read, and holds what was written."""
    try:
        assert load(path).fingerprint == demos().fingerprint
    except ValueError as error:
        return str(error)
    return None


def test_a_damaged_file_is_refused_whatever_is_damaged(tmp_path):
    path = tmp_path / "demos.npz"
    save_npz(demos(), path)
    sound = path.read_bytes()
    assert error_of(path) is None
    errors = []
    for place in range(0, len(sound), 5):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 255]) + sound[place + 1 :])
        errors.append(error_of(path))
    said = [error for error in errors if error is not None]
    assert len(said) > 50
    assert all("demos.npz" in error for error in said)


def test_a_file_of_a_single_array_is_refused(tmp_path):
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"one.npy holds a single array, as np.save writes it"):
        load(tmp_path / "one.npy")


def test_the_smallest_integer_does_not_become_state_0():
    assert demos([0, -(2**63), 1, 2]).episodes[0].observations.tolist() == [0, -(2**63), 1, 2]


def test_the_order_of_bytes_does_not_count(tmp_path):
    made = demos(np.ones([4, 2], ">i2"))
    save_npz(made, tmp_path / "demos.npz")
    assert load(tmp_path / "demos.npz").fingerprint == made.fingerprint
