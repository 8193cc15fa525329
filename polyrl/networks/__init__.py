"""Common network torsos: functions that return a `graph_fn`."""

from polyrl.networks.any_mode import SameInEveryMode
from polyrl.networks.convolution import Conv2D
from polyrl.networks.impala import impala_cnn
from polyrl.networks.noisy_dense import NoisyDense
from polyrl.networks.other_keys import with_other_keys
from polyrl.networks.quantile_embedding import QuantileEmbedding
from polyrl.networks.recurrent import Recurrent, recurrent
from polyrl.networks.running_normalization import RunningNormalization
from polyrl.networks.torsos import cnn, embedding_mlp, mlp, nature_cnn

__all__ = [
    "Conv2D",
    "NoisyDense",
    "QuantileEmbedding",
    "Recurrent",
    "RunningNormalization",
    "SameInEveryMode",
    "cnn",
    "embedding_mlp",
    "impala_cnn",
    "mlp",
    "nature_cnn",
    "recurrent",
    "with_other_keys",
]
