"""A policy as a SavedModel, in the terms of the environment that it was trained in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from polyrl._quiet import leaving_the_root_logger
from polyrl.estimators.inputs import discrete_states
from polyrl.paths import PATTERN, resolved_directory
from polyrl.policies import BasePolicy
from polyrl.policies.export import in_the_environments_terms, serving_default
from polyrl.serving.formats import SERVING

EXPORTED = frozenset(("saved_model.pb", "variables", "assets", "assets.extra", "fingerprint.pb", "keras_metadata.pb"))
"""What TensorFlow writes into the directory of a SavedModel."""


@leaving_the_root_logger()
def save(policy: BasePolicy, path: str | os.PathLike[str], state_spec: Mapping[str, Any], first_action: int) -> None:
    """Writes the policy; see `Predictor.export`.

    Args:
        policy: of a model, which counts discrete states and actions from 0.
        path: a directory; it is made.
        state_spec: the environment's states, see `polyrl.estimators.inputs.describe_state`.
        first_action: the action that the policy counts as 0.

    Raises:
        FileExistsError: if the directory holds other files than those of an export, which would come among them.
        ValueError: for a path with `[`, `]` or a backslash, which TensorFlow could not load it from.
    """
    directory = resolved_directory("path", path)
    unreadable = sorted(PATTERN - set("*?") & set(str(directory)))
    if unreadable:
        raise ValueError(
            f"path={str(directory)!r} has {' '.join(unreadable)}, and tf.saved_model.load takes that for a pattern; "
            "export to another directory."
        )
    if others := sorted({name.name for name in directory.glob("*")} - EXPORTED):
        raise FileExistsError(
            f"path={str(directory)!r} holds {others[0]!r}, which is not of an export; give a directory of its own. An export "
            "that is there already would be replaced."
        )
    directory.mkdir(parents=True, exist_ok=True)  # If it cannot be made, the error is the system's, with the path.
    tf.saved_model.save(policy, str(directory), signatures=signatures(policy, state_spec, first_action))


def signatures(policy: BasePolicy, state_spec: Mapping[str, Any], first_action: int) -> dict[str, Any]:
    """The policy's own signatures, and `serving_default`, which take and give what the environment does."""
    discrete = discrete_states(state_spec)
    states = {f"observation_{key}": found for key, found in discrete.items()}
    found = in_the_environments_terms(policy.signatures(), states, first_action)
    return found | in_the_environments_terms({SERVING: serving_default(policy)}, discrete, first_action)
