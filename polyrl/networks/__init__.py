"""Torsos that people reuse: functions that make a `graph_fn`; and a layer for heads."""

from polyrl.networks.narrow import NarrowDense
from polyrl.networks.torsos import embedding_mlp, mlp, nature_cnn

__all__ = ["NarrowDense", "embedding_mlp", "mlp", "nature_cnn"]
