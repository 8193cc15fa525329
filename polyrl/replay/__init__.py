"""Replay memories."""

from polyrl.replay.uniform import UniformReplay

__all__ = ["UniformReplay"]
