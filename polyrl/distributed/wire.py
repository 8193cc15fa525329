"""Arrays as bytes, and back: what processes send each other. Bytes that come in are data, never code.

    length of the header, 4 bytes | header, JSON | the arrays, one after another, each compressed or not

The header has what was said beside the arrays, and of each array its name, dtype, shape, and length in bytes.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

WORTH_COMPRESSING = 4_096
"""Bytes of an array of integers from which on it is compressed, if it may be."""

NUMBERS = re.compile(r"[<>|=]?[biuf][0-9]{1,2}")
"""Names of dtypes, as `numpy.dtype.str` has them."""


def pack(arrays: Mapping[str, Any], about: Mapping[str, Any] | None = None, compress: bool = False) -> bytes:
    """Arrays of numbers as bytes.

    Args:
        arrays: by name.
        about: what is said beside them, as JSON has it.
        compress: whether large arrays of integers, as images, are compressed.
    """
    described, bodies = [], []
    for name, values in arrays.items():
        array = np.asarray(values, order="C")
        small = not compress or array.dtype.kind == "f" or array.nbytes < WORTH_COMPRESSING
        body = array.tobytes() if small else zlib.compress(array.tobytes(), 1)
        described.append([name, array.dtype.str, list(array.shape), len(body), not small])
        bodies.append(body)
    header = json.dumps({"about": dict(about or {}), "arrays": described}).encode()
    return b"".join([len(header).to_bytes(4, "little"), header, *bodies])


def unpack(packed: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays, which cannot be written to, and what was said beside them.

    Raises:
        ValueError: if the bytes are not what `pack` makes.
    """
    try:
        begin = 4 + int.from_bytes(packed[:4], "little")
        header = json.loads(packed[4:begin])
        found = {}
        for name, dtype, shape, length, is_compressed in header["arrays"]:
            found[str(name)] = _array(memoryview(packed)[begin : begin + length], dtype, shape, is_compressed)
            begin += length
        about = dict(header["about"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, zlib.error) as error:
        raise _not_packed(packed, str(error)) from error
    if begin != len(packed):
        raise _not_packed(packed, f"they end at {begin}.")
    return found, about


def _not_packed(packed: bytes, why: str) -> ValueError:
    return ValueError(f"These {len(packed)} bytes are not arrays as polyrl.distributed.wire.pack makes them: {why}")


def _array(body: memoryview, dtype: str, shape: list[int], is_compressed: bool) -> np.ndarray:
    if NUMBERS.fullmatch(dtype) is None:  # Objects would be code, and NumPy reads much more than names into a dtype.
        raise ValueError(f"dtype {dtype!r} is not one of numbers")
    kind = np.dtype(dtype)
    if any(size < 0 for size in shape):
        raise ValueError(f"shape {shape}")
    wanted = math.prod(shape) * kind.itemsize
    if is_compressed:  # Not further than it may be: a few bytes can be made of gigabytes.
        decoder = zlib.decompressobj()
        data: Any = decoder.decompress(body, wanted + 1) if wanted else b""
    else:
        data = body
    if len(data) != wanted:
        raise ValueError(f"an array of {wanted} bytes has {len(data)}")
    return np.frombuffer(data, kind).reshape(shape)
