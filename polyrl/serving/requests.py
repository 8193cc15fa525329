"""Requests and answers of TensorFlow Serving's REST form: JSON in rows or columns, to arrays and back.

https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

ROWS, COLUMNS = "instances", "inputs"
ANSWERS = {ROWS: "predictions", COLUMNS: "outputs"}
SIGNATURE = "signature_name"

Specs = Mapping[str, tf.TensorSpec]


class RequestError(Exception):
    """A request that is refused, and with which status of HTTP."""

    def __init__(self, message: str, status: int = HTTPStatus.BAD_REQUEST):
        super().__init__(message)
        self.status = int(status)


class Request(NamedTuple):
    """A body: the signature it names, or None; `instances` or `inputs`; and what stands there."""

    signature: str | None
    form: str
    given: Any


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """A body without its `Content-Encoding`; of more than `most` bytes, so many and one.

    Raises:
        RequestError: for an encoding other than gzip, or for what is not gzip.
    """
    if encoding.strip().lower() == "identity":
        return body
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        raise RequestError(f"Content-Encoding: {encoding} is unknown; send gzip, or none.", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        found = stream.decompress(body, most + 1)
    except zlib.error as error:
        raise RequestError(f"The body is not gzip, as its Content-Encoding says: {error}.") from None
    if not stream.eof and len(found) <= most:
        raise RequestError("The body is not gzip, as its Content-Encoding says: its end is missing.")
    return found


def parsed(body: bytes) -> Request:
    """Reads the body of a `:predict`.

    Raises:
        RequestError: if it is not JSON, or has not exactly one of the two forms.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The body is not JSON: {error}.") from None
    if not isinstance(request, dict):
        raise RequestError("The body must be a JSON object with 'instances' or 'inputs'.")
    forms = [form for form in ANSWERS if form in request]
    if len(forms) != 1:
        raise RequestError(f"The body must have either 'instances' or 'inputs'; it has {sorted(request)}.")
    if unknown := sorted(request.keys() - {SIGNATURE, *ANSWERS}):
        raise RequestError(f"The body has {unknown}, which nothing reads; it may have '{SIGNATURE}' in addition.")
    signature = request.get(SIGNATURE)
    if not (signature is None or isinstance(signature, str)):
        raise RequestError(f"'{SIGNATURE}' must be a string.")
    return Request(signature or None, forms[0], request[forms[0]])


def arrays(request: Request, specs: Specs) -> dict[str, np.ndarray]:
    """The inputs of a signature, by name, of the shapes and dtypes that it takes.

    Raises:
        RequestError: for inputs that are missing or unknown, wrong shapes, numbers that the dtype cannot hold, NaN.
    """
    columns = _by_column(request.given, specs) if request.form == ROWS else _by_name(request.given, specs)
    return {name: _array(name, columns[name], specs[name]) for name in specs}


def answer(request: Request, outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What is answered to a request: a row for each instance, or each output by its name; a single output has no name.

    Raises:
        RequestError: if rows are asked for, and the outputs have not as many each.
    """
    if request.form == COLUMNS:
        values: Any = {name: value.tolist() for name, value in outputs.items()}
        return {ANSWERS[COLUMNS]: values if len(values) != 1 else next(iter(values.values()))}
    if len({value.shape[:1] for value in outputs.values()}) > 1 or any(value.ndim == 0 for value in outputs.values()):
        shapes = {name: value.shape for name, value in outputs.items()}
        raise RequestError(f"The outputs have not as many rows each, {shapes}; ask for columns, with 'inputs'.")
    lists = [value.tolist() for value in outputs.values()]
    rows: Any = lists[0] if len(lists) == 1 else [dict(zip(outputs, row, strict=True)) for row in zip(*lists, strict=True)]
    return {ANSWERS[ROWS]: rows}


def _by_column(rows: Any, specs: Specs) -> dict[str, Any]:
    """Rows as columns: the values of each input in a list."""
    if not isinstance(rows, list) or not rows:
        raise RequestError("'instances' must be a list of at least one instance.")
    named = [isinstance(row, dict) for row in rows]
    if not any(named) and len(specs) == 1:
        return {next(iter(specs)): rows}
    if not all(named):
        raise RequestError(f"Each of the 'instances' must be an object with the inputs {sorted(specs)}.")
    for index, row in enumerate(rows):
        _check_names(f"instances[{index}]", row, specs)
    return {name: [row[name] for row in rows] for name in specs}


def _by_name(inputs: Any, specs: Specs) -> dict[str, Any]:
    if isinstance(inputs, dict):
        _check_names("'inputs'", inputs, specs)
        return inputs
    if len(specs) != 1:
        raise RequestError(f"'inputs' must be an object with the inputs {sorted(specs)}.")
    return {next(iter(specs)): inputs}


def _check_names(where: str, given: Mapping[str, Any], specs: Specs) -> None:
    if given.keys() != specs.keys():
        raise RequestError(f"{where} has the inputs {sorted(given)}; expected {sorted(specs)}.")


def _array(name: str, value: Any, spec: tf.TensorSpec) -> np.ndarray:
    """One input, checked."""
    dtype = np.dtype(spec.dtype.as_numpy_dtype)
    of = "true and false" if dtype.kind == "b" else spec.dtype.name
    wanted = f"expected {of} of shape {_shape(spec)}"
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        raise RequestError(f"{name}: lists of different lengths; {wanted}.") from None
    fits = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}.get(dtype.kind, "")
    mixed = dtype.kind != "b" and any(_bools(value))
    if array.size and (array.dtype.kind not in fits or mixed):
        raise RequestError(f"{name}: got {'true and false' if mixed else _kind(array)}; {wanted}.")
    if not spec.shape.is_compatible_with(array.shape):
        raise RequestError(f"{name}: got shape {list(array.shape)}; {wanted}.")
    if dtype.kind in "iu" and array.size and not (np.iinfo(dtype).min <= array.min() and array.max() <= np.iinfo(dtype).max):
        raise RequestError(f"{name}: got numbers that {dtype} cannot hold; {wanted}.")
    if dtype.kind != "f":
        return array.astype(dtype)
    if not np.isfinite(array).all():
        raise RequestError(f"{name}: got NaN or infinity; expected finite numbers.")
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if not np.isfinite(converted).all():
        raise RequestError(f"{name}: got numbers that {dtype} cannot hold; {wanted}.")
    return converted


def _bools(value: Any) -> Iterator[bool]:
    """Whether the values in a nest of lists are bools, which NumPy takes for numbers among numbers."""
    if isinstance(value, list):
        if value and not isinstance(value[0], list):
            yield bool in set(map(type, value))
        else:
            for each in value:
                yield from _bools(each)


def _kind(array: np.ndarray) -> str:
    kinds = {"b": "true and false", "f": "numbers with a fraction", "U": "strings", "i": "integers", "u": "integers"}
    return kinds.get(array.dtype.kind, "values that are not all numbers")


def _shape(spec: tf.TensorSpec) -> str:
    return f"[{', '.join('n' if size is None else str(size) for size in spec.shape)}]"
