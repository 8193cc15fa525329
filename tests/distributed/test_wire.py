"""Arrays as bytes: what comes back is what was sent, and bytes that are something else are refused."""

from __future__ import annotations

import json
import pickle
import zlib

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.extra import numpy as npst

from polyrl.distributed.wire import pack, unpack

ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.sampled_from(["?", "u1", "i4", "i8", "f4", "f8"]).flatmap(
        lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=3, min_side=0))
    ),
    max_size=4,
)


@hypothesis.given(ARRAYS, st.booleans())
@hypothesis.settings(deadline=None, max_examples=50)
def test_what_comes_back_is_what_was_sent(arrays: dict[str, np.ndarray], compress: bool) -> None:
    found, about = unpack(pack(arrays, {"actor": 3, "episodes": [[1.5, 2]]}, compress))
    assert about == {"actor": 3, "episodes": [[1.5, 2]]}
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype
        assert found[name].shape == values.shape
        assert found[name].tobytes() == values.tobytes()  # NaN, too.


def test_images_are_compressed_and_come_back() -> None:
    images = {"state": np.zeros([20, 84, 84, 4], np.uint8) + np.arange(4, dtype=np.uint8)}
    packed = pack(images, compress=True)
    assert len(packed) < images["state"].nbytes / 20
    np.testing.assert_array_equal(unpack(packed)[0]["state"], images["state"])


def forged(described: list[object], body: bytes) -> bytes:
    header = json.dumps({"about": {}, "arrays": described}).encode()
    return len(header).to_bytes(4, "little") + header + body


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x00",
        b"nothing of the kind",
        pack({"a": np.ones(3)})[:-1],
        pack({"a": np.ones(3)}) + b"more",
        pickle.dumps({"a": 1}),
        forged([["a", "O", [1], 8, False]], b"\x00" * 8),
        forged([["a", "|V8", [1], 8, False]], b"\x00" * 8),
        forged([["a", "<f4", [-2], 8, False]], b"\x00" * 8),
        forged([["a", "<f4", [3], 8, False]], b"\x00" * 8),
        forged([["a", "<f4", [2.5], 10, False]], b"\x00" * 10),
        forged([["a", "u1", [10], 8, True]], b"\x00" * 8),
        forged([["a"]], b""),
        forged([["a", None, [1], 8, False]], b"\x00" * 8),
        forged([["a", "f4,(", [1], 8, False]], b"\x00" * 8),
        forged([["a", ",i8", [1], 8, False]], b"\x00" * 8),
        forged([["a", "<08", [1], 8, False]], b"\x00" * 8),
        forged([["a", "<f3", [1], 3, False]], b"\x00" * 3),
        (200_000).to_bytes(4, "little") + b"[" * 200_000,
    ],
)
def test_other_bytes_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"are not arrays as polyrl\.distributed\.wire\.pack makes them"):
        unpack(packed)


def test_a_few_bytes_do_not_become_gigabytes() -> None:
    bomb = zlib.compress(b"\x00" * (64 << 20), 9)
    with pytest.raises(ValueError, match="are not arrays"):
        unpack(forged([["a", "u1", [16], len(bomb), True]], bomb))
