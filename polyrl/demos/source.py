"""`load`: demonstrations from a file or a dataset."""

from __future__ import annotations

import os

from polyrl.demos.demonstrations import Demonstrations
from polyrl.demos.minari_dataset import load_minari
from polyrl.demos.npz import load_npz
from polyrl.paths import resolved


def load(source: str | os.PathLike[str]) -> Demonstrations:
    """Reads the .npz file at that path, or else the local Minari dataset with that id.

    Raises:
        TypeError: if it is neither a path nor a name.
        FileNotFoundError: if neither exists.
        ValueError: if it cannot be used; see `load_npz` and `load_minari`.
    """
    place, name = resolved("source", source), os.fspath(source)
    return load_npz(name) if name.endswith(".npz") or place.is_file() else load_minari(name)
