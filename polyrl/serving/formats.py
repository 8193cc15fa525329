"""A SavedModel's `serving_default` as a TFLite or an ONNX file, and all three called alike."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl._quiet import filtered_stderr

SERVING = "serving_default"
"""The signature that servers call."""

FILES = {"tflite": "model.tflite", "onnx": "model.onnx"}
FORMATS = ("saved_model", *FILES)
OPSET = 17
"""Of ONNX: the newest that tf2onnx writes without calling it experimental."""

Arrays = Mapping[str, np.ndarray]


def check_installed(format: str) -> None:
    """Refuses a format that is not known, or needs packages that are not installed.

    Raises:
        ValueError: which says what to install.
    """
    if format not in FORMATS:
        raise ValueError(f"export_format={format!r} is unknown; use one of {', '.join(FORMATS)}.")
    needed = ("tf2onnx", "onnxruntime") if format == "onnx" else ()
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"export_format={format!r} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed. Install with `pip install 'polyrl[onnx]'`, or use saved_model or tflite."
        )


def convert(format: str, saved_model: Path, file: Path) -> None:
    """Writes the `serving_default` of a SavedModel in another format.

    What the SavedModel refuses (NaN, states that do not exist, masks without a legal action) the other formats do not check.

    Raises:
        ValueError: if it computes in bfloat16.
        RuntimeError: if the converter fails; with what it said.
    """
    check_installed(format)
    if _computes_in_bfloat16(saved_model):
        raise ValueError(
            f"export_format={format!r} cannot hold a model that computes in bfloat16. Use saved_model, or export the same "
            "weights in float32: --precision=float32."
        )
    if format == "tflite":
        with filtered_stderr():
            file.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[SERVING]).convert())
        return
    # In a process of its own: it changes TensorFlow's options, and writes much to the console.
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", str(saved_model), "--tag", "serve"]
    command += ["--signature_def", SERVING, "--opset", str(OPSET), "--output", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not file.is_file():
        raise RuntimeError(f"tf2onnx could not convert {saved_model}: {done.stderr.strip()[-2_000:]}")


def caller(format: str, path: Path) -> Callable[[Arrays], dict[str, np.ndarray]]:
    """`serving_default` of an exported version as a function of arrays by name, run by what the format is made for."""
    check_installed(format)
    if format == "tflite":
        return _tflite(path / FILES[format])
    if format == "onnx":
        return _onnx(path / FILES[format])
    loaded = tf.saved_model.load(str(path))
    function = loaded.signatures[SERVING]

    def call(inputs: Arrays) -> dict[str, np.ndarray]:
        _ = loaded  # Its variables live as long as it does.
        return {name: value.numpy() for name, value in function(**_tensors(inputs)).items()}

    return call


def _computes_in_bfloat16(saved_model: Path) -> bool:
    """Whether anything in `serving_default` is of this dtype."""
    definition = tf.saved_model.load(str(saved_model)).signatures[SERVING].graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    return any(value.type == tf.bfloat16.as_datatype_enum for node in nodes for value in node.attr.values())


def _tensors(inputs: Arrays) -> dict[str, tf.Tensor]:
    return {name: tf.constant(value) for name, value in inputs.items()}


def _tflite(file: Path) -> Callable[[Arrays], dict[str, np.ndarray]]:
    with filtered_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It announces LiteRT, another package with the same interpreter.
        interpreter = tf.lite.Interpreter(model_path=str(file))
        interpreter.allocate_tensors()  # It announces its delegate.
        run: Any = interpreter.get_signature_runner(SERVING)
    return lambda inputs: dict(run(**inputs))


def _onnx(file: Path) -> Callable[[Arrays], dict[str, np.ndarray]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))
