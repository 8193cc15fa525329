"""Checkpoints as versions in a directory of exports, none of them twice."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tf_keras

from polyrl.estimators.prediction.predictor import Predictor
from polyrl.serving import formats, versions

DIRECTORY = "export"
"""Of a `model_dir`: where exports go, `export/<name>/<version>`."""


class Export(NamedTuple):
    """A version, and whether it was written now: what is there already is not written again."""

    path: Path
    is_new: bool


def export(
    predictor: Predictor,
    directory: Path,
    format: str = "saved_model",
    notes: Mapping[str, Any] | None = None,
    check: Callable[[Path], None] | None = None,
) -> Export:
    """Writes what a predictor has learned as the newest version, if no version there is of the same.

    Args:
        predictor: whose policy is exported, see `Predictor.export`.
        directory: of the versions, as `model_dir/export/policy`.
        format: one of `polyrl.serving.formats.FORMATS`.
        notes: is noted of the version in addition to where it comes from.
        check: is given the version's files before it becomes one; if it raises, there is no version.

    Raises:
        TypeError: if the model gives no policy.
        ValueError: if the format needs a package that is not installed.
    """
    formats.check_installed(format)
    identity = identity_of(predictor)
    for version in versions.found_in(directory):
        if versions.record_of(version).get("identity") == identity:
            return Export(version, False)

    def fill(staging: Path) -> None:
        if format == "saved_model":
            predictor.export(staging)
        else:
            with tempfile.TemporaryDirectory(prefix="polyrl-") as folder:
                predictor.export(folder)
                formats.convert(format, Path(folder), staging / formats.FILES[format])
        if check is not None:
            check(staging)

    record = {"identity": identity, "format": format, "checkpoint": _short(predictor.checkpoint), **(notes or {})}
    return Export(versions.write(directory, fill, record), True)


def _short(checkpoint: Path | None) -> str | None:
    """`best/ckpt-000002000`: exports are given away, paths of one machine need not be."""
    return None if checkpoint is None else checkpoint.relative_to(checkpoint.parents[1]).as_posix()


def identity_of(predictor: Predictor) -> dict[str, Any]:
    """What makes two exports the same: the counters, every number of the policy, how it computes and how it draws actions."""
    digest = hashlib.sha256()
    for variable in predictor.policy.variables:
        digest.update(variable.numpy().tobytes())
    acts = {name: getattr(predictor.policy, name, None) for name in ("temperature", "risk_level")}
    # Of other variables the bytes differ; and what has none, as an input of bytes, is no precision.
    layers = (part for part in predictor.policy.submodules if isinstance(part, tf_keras.layers.Layer))
    others = sorted({layer.compute_dtype for layer in layers if layer.dtype_policy.variable_dtype == "float32"} - {"float32"})
    precision = {"precision": others} if others else {}
    return {**predictor.counters, "weights": digest.hexdigest(), **acts, **precision}
