"""Has TensorFlow be imported without its start-up messages, and compute the same in each process.

`import polyrl` does not import TensorFlow, which takes seconds. Whoever needs it does, a module of polyrl or the user's
program; an import hook is there for that first time.

TensorFlow's C++ prints lines on the absence of a GPU before any log level applies to it. They are kept out at the file
descriptor; whatever else is printed meanwhile, errors above all, is passed on. In a notebook `sys.stderr` does not write to
the descriptor, but what is written there is shown below the cell. It is left alone where `sys.stderr` is None or closed.
TF_CPP_MIN_LOG_LEVEL=0 shows all.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

_NOISE = re.compile(
    rb"^(I\d{4} |WARNING: All log messages before absl|INFO: Created TensorFlow Lite|.*(cuda_|cudart|cuInit)"
    rb"|E\d{4} .*NodeDef mentions attribute)"
)

# TensorFlow would import Keras 3 at once, 0.6 seconds, which polyrl has no use for; `tf.keras` stays what it is.
_SETTINGS = {"TF_USE_LEGACY_KERAS": "1"}
_LEVEL, _QUIET = "TF_CPP_MIN_LOG_LEVEL", "2"
"""TensorFlow's log level: 0 shows all, 1 leaves out what is for information, 2 also warnings, 3 also errors."""


def prepare_tensorflow() -> None:
    """Has TensorFlow's import, which may be later, be quiet, and TensorFlow compute alike."""
    if "tensorflow" in sys.modules:
        compute_alike()
    elif not any(isinstance(finder, _TensorFlowFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TensorFlowFinder())


class _TensorFlowFinder(MetaPathFinder):
    """Finds TensorFlow, once, as it is found without this class, and has `_TensorFlowLoader` load it."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _TensorFlowLoader(spec.loader.name, spec.loader.path)
        return spec


class _TensorFlowLoader(SourceFileLoader):
    """Loads TensorFlow and looks for its devices, quietly unless the user chose a log level that shows them."""

    def exec_module(self, module: ModuleType) -> None:
        from polyrl.engine.collection import without_collection  # Not before TensorFlow is wanted.

        quiet = os.environ.get(_LEVEL, _QUIET) >= _QUIET
        with contextlib.ExitStack() as stack:
            if quiet:
                stack.enter_context(_environment())
                stack.enter_context(filtered_stderr())
            with without_collection(then_old=True):
                super().exec_module(module)
            if quiet:
                module.config.list_physical_devices()
        compute_alike()


def compute_alike() -> None:
    """Has TensorFlow compute the same bits in each process.

    Two of its graph optimizers are off. "remapping" joins the gradients of a dense layer's kernel and bias into one operation
    of oneDNN: in one process of four, the bias then had other last bits. "arithmetic_optimization" turns a sum of three or
    more tensors into one operation, which adds them in the order in which memory becomes free: on a busy machine each process
    came to other weights. A run that was resumed there was another run.
    """
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"remapping": False, "arithmetic_optimization": False})


def leave_out_cast_warnings() -> None:
    """Leaves NumPy's warning of numbers beyond the range of float32 out where polyrl casts them: an error follows it."""
    warnings.filterwarnings("ignore", "overflow encountered in cast", RuntimeWarning, r"polyrl\.")


@contextlib.contextmanager
def leaving_the_root_logger() -> Iterator[None]:
    """Inside of it, what TensorFlow logs gives Python's root logger no handler where it has none.

    absl would add one, and from the first checkpoint on polyrl's warnings would have another look.
    """
    had_none = not logging.root.handlers
    try:
        yield
    finally:
        for handler in list(logging.root.handlers) if had_none else ():
            logging.root.removeHandler(handler)


def _has_descriptor() -> bool:
    """Whether descriptor 2 is open, and is that of errors: where `sys.stderr` is closed it may be any file."""
    try:
        sys.stderr.flush()
        os.fstat(2)
    except (AttributeError, OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """The settings of the import; the user's own processes start with the environment as it was."""
    settings = {_LEVEL: os.environ.get(_LEVEL, _QUIET), **_SETTINGS}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def filtered_stderr() -> Iterator[None]:
    """Keeps TensorFlow's start-up messages off descriptor 2 inside of the `with` block; passes on all else at its end."""
    if not _has_descriptor():
        yield
        return
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            captured.seek(0)
            for line in captured:
                if not _NOISE.match(line):
                    os.write(2, line)
