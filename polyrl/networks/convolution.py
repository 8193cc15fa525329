"""`Conv2D`: a convolution that XLA can compile well if its images are small; and which layers keep XLA out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.engine import functional, patches
from polyrl.networks.bias import add_bias
from polyrl.validation import check_float

KINDS = tuple(
    getattr(tf_keras.layers, name)
    for name in ("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
)


@tf_keras.saving.register_keras_serializable("polyrl")
class Conv2D(tf_keras.layers.Conv2D):
    """`tf_keras.layers.Conv2D`, with which XLA compiles a run if its images are small. The weights fit one another.

    On a CPU, XLA's convolutions are slow in a loop, so that with those of tf-keras a run does without XLA. This one is a
    product of matrices in what XLA compiles, see `polyrl.engine.patches`, and a convolution elsewhere. In bfloat16 it also has
    a bias whose gradient is right, see `polyrl.networks.bias`.

    Args:
        scale: what the images, of any dtype, are multiplied by, as 1/255. The kernel is, as there are fewer numbers in it; in
            float16 the images.

    Attributes:
        is_small: whether it is such a product for the images that it was built for: without padding, dilation or groups, in
            float32, on images of a known shape whose patches have at most `patches.LARGEST` numbers, and without a GPU.
    """

    is_small = False

    def __init__(self, *arguments: Any, scale: float = 1.0, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.scale = check_float("scale", scale)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return config if self.scale == 1.0 else {**config, "scale": self.scale}

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        self.is_small = self._fits(tuple(input_shape))

    def _fits(self, shape: Sequence[int | None]) -> bool:
        image = [side or 0 for side in shape[1:]]  # 0: not known.
        is_plain = self.padding == "valid" and self.groups == 1 and set(self.dilation_rate) == {1}
        is_plain = is_plain and self.data_format == "channels_last" and self.compute_dtype == "float32"
        if not is_plain or len(image) != 3 or not all(image) or tf.config.list_physical_devices("GPU"):
            return False
        return patches.numbers(image, self.kernel_size, self.strides) <= patches.LARGEST

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The convolution without its bias."""
        if self.scale != 1.0:
            inputs = tf.cast(inputs, self.compute_dtype)
            if self.compute_dtype == "float16":  # The kernel's gradient would overflow: it is as much larger as images are.
                inputs = inputs * self.scale
            else:
                kernel = kernel * self.scale  # Not in place: it is a variable.
        if functional.active() and inputs.shape.rank is not None and self._fits(inputs.shape):
            return patches.convolve(inputs, tf.convert_to_tensor(kernel), self.strides)
        return super().convolution_op(inputs, kernel)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The convolution, `[B, rows, columns, filters]`."""
        if self.compute_dtype != "bfloat16" or not self.use_bias or self.data_format != "channels_last":
            return super().call(inputs)
        return self.activation(add_bias(self.convolution_op(inputs, self.kernel), tf.convert_to_tensor(self.bias)))


def keeps_out_xla(modules: Iterable[tf.Module]) -> bool:
    """Whether one of the modules is a convolution that XLA slows down: on a CPU all but a `Conv2D` of small images."""
    if tf.config.list_physical_devices("GPU"):
        return False
    # One that is not built is called by nobody.
    return any(isinstance(module, KINDS) and module.built and not getattr(module, "is_small", False) for module in modules)
