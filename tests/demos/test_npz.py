"""Demonstrations in .npz files: damaged ones are refused, sound ones come back with all their numbers."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
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


def forge(path: Path, shape: tuple[int, ...], entry: int | None = None) -> None:
    """Writes demonstrations whose observations have another shape in their header, and in the archive so many bytes."""
    save_npz(demos(), path)
    with np.load(path) as file:
        columns = dict(file)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, column in columns.items():
            content = io.BytesIO()
            header = np.lib.format.header_data_from_array_1_0(column)
            np.lib.format.write_array_header_1_0(content, header | ({"shape": shape} if name == "observations" else {}))
            archive.writestr(f"{name}.npy", content.getvalue() + column.tobytes())
    if entry is not None:
        content = bytearray(path.read_bytes())
        place = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)  # The second array: the observations.
        assert content[place + 46 :].startswith(b"observations")
        content[place + 24 : place + 28] = entry.to_bytes(4, "little")
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("shape", "entry", "words"),
    [
        # Also of what there is memory for.
        *(
            ((rows, 2), None, rf"observations.npy claims to be int64 \({rows}, 2\), and has 64 bytes")
            for rows in (3, 5, 2**20)
        ),
        ((2**40, 2), None, r"observations.npy claims to be int64 \(1099511627776, 2\)"),
        ((2**62, 2**62), None, r"observations.npy claims to be int64"),
        ((2**27, 2), 2**31 + 128, r"observations.npy claims to have 2147483776 bytes, more than a file of \d+ bytes holds"),
    ],
)
def test_a_size_that_the_file_cannot_hold_is_refused_before_memory_is_taken(tmp_path, shape, entry, words):
    forge(tmp_path / "demos.npz", shape, entry)
    with pytest.raises(ValueError, match=rf"demos.npz cannot be read .*{words}"):
        load(tmp_path / "demos.npz")


def test_forging_nothing_leaves_a_sound_file(tmp_path):
    forge(tmp_path / "demos.npz", (4, 2))
    assert error_of(tmp_path / "demos.npz") is None


def test_what_compresses_well_is_read(tmp_path):
    episode = DemoEpisode(np.zeros([100_001, 8], np.float32), np.zeros(100_000, int), np.zeros(100_000), True, False)
    save_npz(Demonstrations([episode]), tmp_path / "demos.npz")
    assert (tmp_path / "demos.npz").stat().st_size < 10_000
    assert load(tmp_path / "demos.npz").steps == 100_000


def test_the_smallest_integer_does_not_become_state_0():
    assert demos([0, -(2**63), 1, 2]).episodes[0].observations.tolist() == [0, -(2**63), 1, 2]


def test_the_order_of_bytes_does_not_count(tmp_path):
    made = demos(np.ones([4, 2], ">i2"))
    save_npz(made, tmp_path / "demos.npz")
    assert load(tmp_path / "demos.npz").fingerprint == made.fingerprint


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int8])
def test_lengths_may_be_integers_of_any_kind(tmp_path, dtype):
    """Unsigned ones become floats beside signed ones, and floats do not cut an array."""
    path = tmp_path / "demos.npz"
    save_npz(demos(), path)
    with np.load(path) as file:
        columns = dict(file)
    np.savez(path, **{**columns, "lengths": columns["lengths"].astype(dtype)})
    assert error_of(path) is None
    np.savez(path, **{**columns, "lengths": np.array([2**64 - 1], np.uint64)})
    assert "lengths must be integers" in str(error_of(path))


def test_arrays_of_other_rows_are_refused_before_memory_is_taken_for_them(tmp_path):
    """Compressed, many rows are a small file: their number is in the header."""
    path = tmp_path / "demos.npz"
    columns = {"lengths": np.array([3]), "actions": np.zeros(3, np.int64), "rewards": np.zeros(3)}
    columns |= {"terminated": np.array([True]), "truncated": np.array([False])}
    np.savez_compressed(path, observations=np.zeros([30_000_000, 1], np.uint8), **columns)
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="expected 4 rows of observations"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_an_array_that_nobody_reads_takes_no_memory(tmp_path):
    path = tmp_path / "demos.npz"
    save_npz(demos(), path)
    columns = dict(np.load(path))
    np.savez_compressed(path, more=np.zeros(30_000_000, np.uint8), **columns)
    tracemalloc.start()
    try:
        assert load(path).fingerprint == demos().fingerprint
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
