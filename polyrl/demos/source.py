"""`load`: demonstrations by whatever name they have."""

from __future__ import annotations

import os
from pathlib import Path

from polyrl.demos.demonstrations import Demonstrations
from polyrl.demos.minari_dataset import load_minari
from polyrl.demos.npz import load_npz


def load(source: str | os.PathLike[str]) -> Demonstrations:
    """Reads the .npz file of that path, or else the local Minari dataset of that id.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it cannot be used; see `load_npz` and `load_minari`.
    """
    name = os.fspath(source)
    return load_npz(name) if name.endswith(".npz") or Path(name).is_file() else load_minari(name)
