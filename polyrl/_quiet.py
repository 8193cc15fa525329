"""Imports TensorFlow without its start-up messages.

TensorFlow's C++ prints lines on absence of a GPU before any log level applies to it, so they are kept out at the file
descriptor. Whatever else is printed meanwhile, errors above all, is passed on. Set TF_CPP_MIN_LOG_LEVEL to see everything.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile

_NOISE = re.compile(rb"^(I\d{4} |WARNING: All log messages before absl|.*(cuda_|cudart|cuInit))")


def import_tensorflow() -> None:
    """Imports TensorFlow and looks for its devices, quietly unless the user chose a log level.

    It leaves the environment as it was: what is set for the import is none of the business of the user's own processes.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or "tensorflow" in sys.modules:
        return
    # TensorFlow would import Keras 3 at once, 0.6 seconds, which polyrl has no use for; `tf.keras` stays what it is.
    settings = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_USE_LEGACY_KERAS": "1"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            captured.seek(0)
            for line in captured:
                if not _NOISE.match(line):
                    sys.stderr.buffer.write(line)
