"""Whether an export gives what the model predicts: states to ask, and the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Dict, Space

from polyrl.envs.observations import MASK
from polyrl.estimators.prediction.predictor import Predictor
from polyrl.serving import formats

CHECKED = 1_000
"""How many states an export is asked."""

LARGEST = 1e6
"""Spaces with larger bounds count as unbounded: no state is there."""

RTOL, ATOL = 1e-4, 1e-5
"""Of values, the second in units of the largest of them (at least 1): several times what other kernels round off."""


def drawn_states(space: Space[Any], state_spec: Mapping[str, Any], rows: int = CHECKED, seed: int = 0) -> Any:
    """Random states of an observation space, as a predictor takes a batch of them; masks leave at least one legal action.

    Args:
        space: of one environment.
        state_spec: see `Predictor.state_spec`; it may have a mask that the space has not.
        rows: how many.
        seed: of the draws.
    """
    space.seed(seed)
    rng = np.random.default_rng(seed)
    samples = [space.sample() for _ in range(rows)]
    if "dict" not in state_spec:
        return _plain(np.stack(samples), rng)
    found = {}
    for key, part in state_spec["dict"].items():
        if key == MASK:
            mask = rng.random([rows, *part["shape"]]) < 0.5
            mask[np.arange(rows), rng.integers(mask.shape[1], size=rows)] = True
            found[key] = mask.astype(part["dtype"])
        else:
            values = [sample[key] for sample in samples] if isinstance(space, Dict) else samples
            found[key] = _plain(np.stack(values), rng)
    return found


def check(predictor: Predictor, format: str, version: Path, states: Any) -> float:
    """Compares what an exported version answers with what the model predicts: the same actions and values.

    A model that remembers is asked as at the start of an episode. Another action counts as the same if it is worth the same.

    Args:
        predictor: that was exported.
        format: in which it was.
        version: the directory.
        states: a batch, as `Predictor.act` takes it.

    Returns:
        The largest difference of a value; 0.0 if the model predicts no `q`.

    Raises:
        RuntimeError: if they differ; the export must not be used.
    """
    inputs, rows = inputs_of(predictor, states)
    found, expected = formats.caller(format, version)(inputs), predictor.predictions(states)
    legal = inputs[MASK].astype(bool) if MASK in inputs else True
    action = found["action"] - np.asarray(predictor.first_action, found["action"].dtype)
    if action.dtype.kind == "f":
        _check_close(format, "action", action, expected.get("mean", expected["results"]))
    if "q" not in expected or "q" not in found:
        return 0.0
    q = found["q"].astype(np.float32)
    values = expected["q"] if action.dtype.kind != "f" else expected["v"]
    difference = _check_close(format, "q", q, values)
    if action.dtype.kind != "f":
        best = np.where(legal, values, -np.inf)
        chosen = best[np.arange(rows), action]
        _check_close(format, "q of the action", chosen, best.max(axis=1))
    return difference


def inputs_of(predictor: Predictor, states: Any) -> tuple[dict[str, np.ndarray], int]:
    """States as `serving_default` takes them, by name, with zeros for what a recurrent model remembers; and their number."""
    given = states if isinstance(states, Mapping) else {"state": states}
    specs = predictor.state_spec.get("dict", {"state": predictor.state_spec})
    inputs = {key: np.asarray(given[key]).astype(specs[key]["dtype"]) for key in specs}
    rows = len(inputs["state"])
    if predictor.policy.policy_state_spec != ():
        size = predictor.policy.policy_state_spec.shape[0]
        inputs["policy_state"] = np.zeros([rows, size], np.float32)
    return inputs, rows


def _plain(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if values.dtype.kind != "f":
        return values
    return np.where(np.abs(values) <= LARGEST, values, rng.normal(size=values.shape)).astype(values.dtype)


def _check_close(format: str, name: str, found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference; a RuntimeError if it is too large, or not a number."""
    scale = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)))
    wrong = ~np.isclose(found, expected, rtol=RTOL, atol=ATOL * scale)
    if found.shape != expected.shape or wrong.any():
        rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
        raise RuntimeError(
            f"The export as {format} differs from the model in {name}, in {len(rows)} of {len(expected)} states: "
            f"{found[rows[0]]} in place of {expected[rows[0]]}. It was not kept."
        )
    return float(np.abs(found - expected).max(initial=0.0))
