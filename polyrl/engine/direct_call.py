"""`direct_call`: a traced function without TensorFlow's checks of its inputs.

A call of two tensors takes 21 microseconds, and 47 with the checks; with more inputs they take longer
(`scripts/benchmarks/engine.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def direct_call(function: Any) -> Callable[..., list[tf.Tensor]]:
    """Runs a concrete function that returns a list, on tensors of exactly its specs."""
    captured = function.captured_inputs
    # TensorFlow does not promise to keep these attributes.
    call_flat = getattr(getattr(function, "inference_fn", None), "call_flat", None)
    return function if call_flat is None else lambda *inputs: call_flat(*inputs, *captured)
