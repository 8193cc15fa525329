"""Presets: settings that are known to learn, by model and environment, as ml_collections configs.

A preset says what differs from the flags' defaults, by the flags' names: `polyrl.presets.get("cartpole_c51")`, or on the
command line `polyrl --config=cartpole_c51 --n_step=5`.
"""

import ml_collections

from polyrl.presets.control import PQN as _PQN
from polyrl.presets.control import PRESETS as _CONTROL
from polyrl.presets.diagnostics import PRESETS as _DIAGNOSTICS
from polyrl.presets.discrete import PRESETS as _DISCRETE
from polyrl.presets.family import PRESETS as _FAMILY
from polyrl.presets.images import PRESETS as _IMAGES
from polyrl.validation import suggestion

_PRESETS = {**_CONTROL, **_DIAGNOSTICS, **_DISCRETE, **_FAMILY, **_IMAGES}

NAMES = tuple(sorted(_PRESETS))
"""The names of all presets."""


def get(name: str) -> ml_collections.ConfigDict:
    """The preset of that name, a copy that may be changed.

    Raises:
        ValueError: for a name that is not in `NAMES`; with the nearest one.
    """
    if name not in _PRESETS:
        raise ValueError(f"name={name!r} is not a preset; use one of {', '.join(NAMES)}.{suggestion(str(name), NAMES)}")
    return ml_collections.ConfigDict(dict(_PRESETS[name]))


def of_model(model: str) -> ml_collections.ConfigDict:
    """Settings of a model on an environment without a preset; empty where the flags' defaults are for it."""
    return ml_collections.ConfigDict(dict(_PQN) if model == "pqn" else {})


def _is_of(known: str, env: str) -> bool:
    return known == env or known.rpartition("-v")[0] == env


def find(env: str, model: str) -> str | None:
    """The name of the preset of an environment and a model, as `--env` and `--model` name them; None if there is none.

    Of several it is the one that is named after the model, or the first. An id without a version is any version's.
    """
    names = [name for name in NAMES if _is_of(_PRESETS[name]["env"], env) and _PRESETS[name]["model"] == model]
    named = [name for name in names if name.endswith(f"_{model}")]
    return next(iter([*named, *names]), None)


__all__ = ["NAMES", "find", "get", "of_model"]
