"""Torsos that people reuse: functions that make a `graph_fn`."""

from polyrl.networks.torsos import mlp, nature_cnn

__all__ = ["mlp", "nature_cnn"]
