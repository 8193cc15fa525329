"""Common network torsos: functions that return a `graph_fn`."""

from polyrl.networks.torsos import embedding_mlp, mlp, nature_cnn

__all__ = ["embedding_mlp", "mlp", "nature_cnn"]
