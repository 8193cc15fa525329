"""`params.json`: what a `model_dir` was made with, so that nobody resumes it with something else by mistake."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import tensorflow as tf
import tf_keras

import polyrl
from polyrl.errors import CheckpointMismatchError

_FILE = "params.json"


def read_params(model_dir: Path) -> dict[str, Any] | None:
    """The hyper-parameters a `model_dir` was trained with; None if it holds no checkpoint, the best one included."""
    path = model_dir / _FILE
    trained = any(any(model_dir.glob(f"{folder}/ckpt-*/state.json")) for folder in ("checkpoints", "best"))
    return json.loads(path.read_text())["params"] if trained and path.is_file() else None


def write_params(model_dir: Path, params: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Writes hyper-parameters, run configuration and library versions beside the checkpoints."""
    versions = {
        "polyrl": polyrl.__version__,
        "tensorflow": tf.__version__,
        "tf_keras": tf_keras.__version__,
        "gymnasium": gymnasium.__version__,
        "python": platform.python_version(),
    }
    model_dir.mkdir(parents=True, exist_ok=True)
    content = {"params": dict(params), "config": dict(config), "versions": versions}
    (model_dir / _FILE).write_text(json.dumps(content, indent=2) + "\n")


def check_same_params(model_dir: Path, params: Mapping[str, Any]) -> None:
    """Raises a CheckpointMismatchError that shows each difference to what `model_dir` was trained with."""
    saved = read_params(model_dir)
    if saved is None:
        return
    given = json.loads(json.dumps(dict(params)))
    names = sorted(name for name in {*saved, *given} if saved.get(name) != given.get(name))
    if names:
        lines = [f"  {name}: {saved.get(name)} there, {given.get(name)} now" for name in names]
        raise CheckpointMismatchError(
            f"model_dir={str(model_dir)!r} was trained with other hyper-parameters:\n"
            + "\n".join(lines)
            + "\nUse the same (leave the flags out), or another model_dir."
        )
