"""Export and serving."""

from __future__ import annotations

from absl import flags

from polyrl.flags import run  # noqa: F401  It defines --mode.
from polyrl.flags.choice import define_choice
from polyrl.flags.partners import needs

define_choice(
    "export_format",
    "saved_model",
    ["saved_model", "tflite", "onnx"],
    "What --mode=export writes. saved_model: for TensorFlow and its servers. tflite: for phones and small devices. onnx: for "
    "other runtimes.",
)
flags.DEFINE_string("model_name", "policy", "Name of the export, below <model_dir>/export, and of the model that is served.")
flags.DEFINE_string("host", "127.0.0.1", "Address that --mode=serve listens at; 0.0.0.0: all of this machine's.")
flags.DEFINE_integer("port", 8501, "Port that --mode=serve listens at; 0: one that is free.", lower_bound=0, upper_bound=65535)

needs("export_format", mode="export", off="saved_model")
needs("model_name", mode=("export", "serve"))
needs("host", "port", mode="serve")
