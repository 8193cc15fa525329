"""A run that begins again in a `model_dir` that holds another one."""

from __future__ import annotations

import os
from pathlib import Path

REPLACED = "replaced-"


def set_aside_run(model_dir: Path) -> Path | None:
    """Moves everything in a `model_dir` into a directory `replaced-<number>` in it; returns that, or None if it is empty.

    The caller has claimed the directory, so that no run trains in it, see `polyrl.estimators.checkpoints.claims`.
    """
    entries = [path for path in model_dir.iterdir() if not path.name.startswith(REPLACED)]
    if not entries:
        return None
    number = 0
    while (aside := model_dir / f"{REPLACED}{number}").exists():
        number += 1
    aside.mkdir()
    for path in entries:
        os.replace(path, aside / path.name)
    return aside
