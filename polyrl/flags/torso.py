"""The network below the heads."""

from __future__ import annotations

from absl import flags

from polyrl.flags.choice import define_choice, defined_in
from polyrl.flags.sizes import define_sizes

READS: dict[str, tuple[str, ...]] = {
    "mlp": ("units", "layer_norm", "normalize_inputs"),
    "embedding": ("units", "layer_norm"),
    "cnn": ("filters", "categories", "units", "layer_norm", "precision"),
    "nature_cnn": ("precision",),
    "impala_cnn": ("width", "precision"),
}
"""By the name of `--torso`: the flags that it reads."""

define_choice(
    "torso",
    "auto",
    ["auto", *READS],
    "The network below the heads. auto: by the states; discrete ones: embedding; images with sides of at least 36: "
    "nature_cnn; smaller ones: cnn; vectors, and boards without channels: mlp. Your own, a graph_fn(mode, features): "
    "module:function.",
    own=True,
)
define_sizes("units", [64, 64], "Units of the torso's dense layers.")
define_sizes("filters", [16], "cnn: filters of each convolution, 3 by 3 without padding.")
flags.DEFINE_integer(
    "categories", None, "cnn: numbers in an image are categories, fewer than this, as with MiniGrid 11.", lower_bound=2
)
flags.DEFINE_integer("width", 1, "impala_cnn: multiplies the filters of all convolutions.", lower_bound=1)
define_choice(
    "precision",
    None,
    ["float32", "bfloat16"],
    "Images: what the torso computes in, float32 by default; weights, heads and losses are float32. bfloat16 is faster where "
    "the processor has instructions for it, avx512_bf16 or amx_bf16, and slower elsewhere.",
)
flags.DEFINE_bool("layer_norm", False, "Normalise each layer of the torso before its activation.")
flags.DEFINE_bool("normalize_inputs", False, "Normalise states by their running statistics, which are saved.")

PARAMETERS = defined_in(__name__)
"""The flags here: all are hyper-parameters."""
