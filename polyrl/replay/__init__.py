"""Replay memories."""

from polyrl.replay.base import Replay
from polyrl.replay.uniform import UniformReplay

__all__ = ["Replay", "UniformReplay"]
