"""Common network torsos: functions that return a `graph_fn`."""

from polyrl.networks.any_mode import SameInEveryMode
from polyrl.networks.torsos import embedding_mlp, mlp, nature_cnn

__all__ = ["SameInEveryMode", "embedding_mlp", "mlp", "nature_cnn"]
