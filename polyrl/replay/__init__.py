"""Replay memories."""

from polyrl.replay.base import Replay
from polyrl.replay.prioritized import PrioritizedReplay
from polyrl.replay.prioritized_sequences import PrioritizedSequenceReplay
from polyrl.replay.rollouts import RolloutMemory, SequenceReplay
from polyrl.replay.uniform import UniformReplay

__all__ = [
    "PrioritizedReplay",
    "PrioritizedSequenceReplay",
    "Replay",
    "RolloutMemory",
    "SequenceReplay",
    "UniformReplay",
]
