"""Demonstrations: recorded expert episodes, for pre-training and for the replay memory (DQfD)."""

from polyrl.demos.demonstrations import DemoEpisode, Demonstrations
from polyrl.demos.minari_dataset import load_minari, save_minari
from polyrl.demos.npz import load_npz, save_npz
from polyrl.demos.source import load

__all__ = ["DemoEpisode", "Demonstrations", "load", "load_minari", "load_npz", "save_minari", "save_npz"]
