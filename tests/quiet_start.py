"""Imports TensorFlow with descriptor 2 closed to it: its start-up messages would follow pytest's summary line."""

from __future__ import annotations

import os

_stderr, _nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
os.dup2(_nowhere, 2)
try:
    import polyrl  # noqa: F401  First.

    # isort: split
    import tensorflow as tf

    tf.config.list_physical_devices()
finally:
    os.dup2(_stderr, 2)
    os.close(_stderr)
    os.close(_nowhere)
