"""`params.json`: what a `model_dir` was made with, so that nobody resumes it with something else by mistake."""

from __future__ import annotations

import contextlib
import datetime
import enum
import json
import math
import numbers
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import ml_collections
import numpy as np
import tensorflow as tf
import tf_keras

import polyrl
from polyrl.configs.base import Config
from polyrl.errors import CheckpointMismatchError, DamagedCheckpointError
from polyrl.estimators.checkpoints.files import write_text
from polyrl.paths import HAD_CHECKPOINTS
from polyrl.validation import suggestion

FILE = "params.json"
"""Of a run's directory: its hyper-parameters, its RunConfig, and the versions of libraries."""

SHOWN = 6
"""How many hyper-parameters a message lists that one side alone has: those of another program are many."""


def frozen_params(params: Any) -> ml_collections.FrozenConfigDict:
    """Hyper-parameters as plain values, which `params.json` gives back as they were: what a `model_fn` gets.

    NumPy scalars become Python's numbers, lists and arrays tuples, dicts and ConfigDicts nested ConfigDicts.

    Raises:
        TypeError: for a key that is not a str, or a value of a kind that JSON does not know; the message names the key.
        ValueError: for NaN or infinity, a key that a ConfigDict cannot have, or a dict or list that holds itself.
    """
    given = {} if params is None else params
    if not isinstance(given, (Mapping, ml_collections.ConfigDict)):
        hint = " Use vars(params)." if hasattr(params, "__dict__") else ""
        raise TypeError(f"params={params!r} must be a dict of hyper-parameters.{hint}")
    _check_no_cycle("params", given, ())
    return Params(_plain_dict("params", given))


class Params(ml_collections.FrozenConfigDict):
    """Hyper-parameters that say, of a name they do not have, which ones there are."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_"):  # What Python itself asks for, as in copying.
                raise
            raise AttributeError(self._missing(name)) from None

    def __getitem__(self, name: str) -> Any:
        try:
            return super().__getitem__(name)
        except KeyError:
            raise KeyError(self._missing(name)) from None

    def _missing(self, name: Any) -> str:
        return f"params has no {name!r}; it has {sorted(self.keys())}.{suggestion(str(name), self.keys())}"


def _check_no_cycle(path: str, value: Any, above: tuple[int, ...]) -> None:
    """A ValueError for a dict or list that holds itself, at any depth."""
    if id(value) in above:
        raise ValueError(f"{path} is one of the dicts or lists that hold it; params.json could not end.")
    if isinstance(value, (Mapping, ml_collections.ConfigDict)):
        for key, item in _items(value):
            _check_no_cycle(f"{path}[{key!r}]", item, (*above, id(value)))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_no_cycle(f"{path}[{index}]", item, (*above, id(value)))


def _plain_dict(path: str, values: Any) -> dict[str, Any]:
    plain = {}
    for key, value in _items(values):
        if not isinstance(key, str):
            raise TypeError(f"{path} has the key {key!r}; keys must be of type str, as {str(key)!r}: JSON has no others.")
        if not key or "." in key or hasattr(ml_collections.FrozenConfigDict, key):
            raise ValueError(
                f"{path} has the key {key!r}, which model_fn could not read as params.<key>; use another name, without dots."
            )
        plain[str(key)] = _plain(f"{path}[{key!r}]", value)
    return plain


def _items(values: Any) -> Iterator[tuple[Any, Any]]:
    """The items of a dict or a ConfigDict; references to other values are followed."""
    return ((key, values[key]) for key in values)


def _plain(path: str, value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        if not math.isfinite(value):
            raise ValueError(
                f"{path}={value} must be finite: JSON does not know it, and a NaN would not equal itself when the run is "
                "resumed. Use None where there is no value."
            )
        return float(value)
    if isinstance(value, (Mapping, ml_collections.ConfigDict)):
        return _plain_dict(path, value)
    if isinstance(value, (list, tuple)):
        items = [_plain(f"{path}[{index}]", item) for index, item in enumerate(value)]
        if any(isinstance(item, dict) for item in items):
            raise TypeError(f"{path}={value!r} must not hold dicts in a list; use a dict of dicts.")
        return tuple(items)
    raise TypeError(
        f"{path}={value!r} must be a number, a str, a bool, None, or a list or dict of these, as params.json can hold it"
        f"{_remedy(path, value)}."
    )


def _remedy(path: str, value: Any) -> str:
    """What to give instead of an object, or nothing."""
    if isinstance(value, Config):
        kind = type(value).__name__
        return f"; give its values and build {kind}(...) in model_fn, or give {kind}.to_dict() and use from_dict there"
    if isinstance(value, (set, frozenset)):
        return "; use a sorted list"
    if tf.is_tensor(value) or isinstance(value, tf.Variable):
        return "; use its value, x.numpy()"
    if isinstance(value, Path):
        return "; use str(path)"
    if isinstance(value, enum.Enum):
        return "; use its value, x.value, or its name"
    if isinstance(value, (tf.DType, np.dtype)):
        return "; use its name, x.name"
    if isinstance(value, (datetime.date, datetime.timedelta, np.datetime64, np.timedelta64)):
        return "; use str(x)"
    if hasattr(value, "__dict__") and not callable(value):
        return "; use vars(x), a dict"
    return ""


def read_params(model_dir: Path) -> dict[str, Any] | None:
    """The hyper-parameters a `model_dir` was trained with; None if it holds no checkpoint, the best one included.

    Raises:
        DamagedCheckpointError: if the file cannot be read.
    """
    path = model_dir / FILE
    trained = any(any(model_dir.glob(f"{folder}/ckpt-*")) for folder in ("checkpoints", "best"))
    if not trained or not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_bytes())["params"])
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedCheckpointError(
            f"{path} is damaged ({type(error).__name__}: {error}): it does not say which hyper-parameters were used. Put it "
            "back from a copy; or remove it, if you give the same ones as before: the next training writes it again."
        ) from error


def with_trained(model_dir: Path, params: Mapping[str, Any] | None) -> Any:
    """The hyper-parameters that a run was trained with, and in their place those given; see `frozen_params`.

    Raises:
        ValueError: for a key that the run was not trained with.
    """
    trained = read_params(model_dir)
    given = frozen_params(params).to_dict()
    for key in given:
        if trained and key not in trained:
            raise ValueError(
                f"params[{key!r}] is not one of those that {model_dir} was trained with: {sorted(trained)}."
                f"{suggestion(key, trained)}"
            )
    return frozen_params({**(trained or {}), **given})


def had_checkpoints(model_dir: Path) -> bool:
    """Whether `params.json` says that there have been checkpoints in the `model_dir`.

    Raises:
        DamagedCheckpointError: if the file is there and cannot be read.
    """
    path = model_dir / FILE
    try:
        return bool(json.loads(path.read_bytes()).get(HAD_CHECKPOINTS, False))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DamagedCheckpointError(
            f"{path} is damaged: it cannot be read ({error}), so nobody knows whether a run has been trained there. Put it "
            "back from a copy, remove what is there to begin again, or use another model_dir."
        ) from error


def is_noted(model_dir: Path) -> bool:
    """Whether there is a `params.json`."""
    return (model_dir / FILE).exists()


def note_checkpoints(model_dir: Path) -> None:
    """Notes in `params.json` that there are checkpoints, if that is not so already."""
    path = model_dir / FILE
    with contextlib.suppress(OSError, ValueError, TypeError):
        if path.is_file() and not had_checkpoints(model_dir):
            write_text(path, json.dumps({**json.loads(path.read_bytes()), HAD_CHECKPOINTS: True}, indent=2) + "\n")


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
    content = {
        "params": dict(params),
        "config": dict(config),
        "versions": versions,
        HAD_CHECKPOINTS: had_checkpoints(model_dir),
    }
    write_text(model_dir / FILE, json.dumps(content, indent=2) + "\n")


OTHERWISE = (
    "Use the same, or another model_dir; Agent.train(overwrite=True) moves what is there aside. On the command line: leave "
    "the flags out, or use --overwrite, which moves it."
)


def check_same_params(model_dir: Path, params: Mapping[str, Any], otherwise: str = OTHERWISE) -> None:
    """Raises a CheckpointMismatchError that shows each difference to what `model_dir` was trained with; `otherwise`: and what
    to do."""
    saved = read_params(model_dir)
    if saved is None:
        return
    given = json.loads(json.dumps(dict(params)))  # As the file gives them back.
    names = sorted(name for name in saved.keys() & given.keys() if saved[name] != given[name])
    lines = [f"  {name}: {saved[name]} there, {given[name]} now" for name in names]
    for here, there, where in ((given, saved, "now only"), (saved, given, "there only")):
        alone = [f"{name}={here[name]}" for name in sorted(here.keys() - there.keys()) if here[name] is not None]
        more = f", and {len(alone) - SHOWN} more" if len(alone) > SHOWN else ""
        lines += [f"  {where}: {', '.join(alone[:SHOWN])}{more}"] if alone else []
    if lines:
        raise CheckpointMismatchError(
            f"model_dir={str(model_dir)!r} was trained with other hyper-parameters:\n" + "\n".join(lines) + f"\n{otherwise}"
        )
