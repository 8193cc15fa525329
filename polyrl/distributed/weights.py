"""The weights that a learner publishes and actors act with: all of the models' state but the optimizers'."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from polyrl.engine.fused_step import FusedStep
from polyrl.models.networks import Periods
from polyrl.models.scope import Scope

COUNTERS = ("global_step", "global_timestep", "global_episode")
LEARNS = (tf_keras.optimizers.Optimizer, tf_keras.optimizers.legacy.Optimizer, FusedStep, Periods)
"""Parts of a scope that only learning needs."""


class Weights:
    """Reads and takes over the weights of a scope. Its variables are looked for once, as that takes milliseconds.

    Args:
        scope: whose models and heads are built.
    """

    def __init__(self, scope: Scope):
        self._variables = _variables(scope)

    def read(self) -> dict[str, np.ndarray]:
        """The values of the variables, which are up to date, by name."""
        return {name: variable.numpy() for name, variable in self._variables.items()}

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Takes over weights, and the counters, which never go back: random numbers follow from them.

        Raises:
            ValueError: if they are those of another model. Nothing is taken over then.
        """
        there = {name: (values.shape, values.dtype) for name, values in weights.items()}
        here = {name: (tuple(variable.shape), variable.dtype.as_numpy_dtype) for name, variable in self._variables.items()}
        if there != here:
            differ = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
            raise ValueError(f"These weights are not of this model; they differ in {differ}.")
        for name, variable in self._variables.items():
            values = weights[name]
            variable.assign(np.maximum(values, variable.numpy()) if name in COUNTERS else values)


def _variables(scope: Scope) -> dict[str, tf.Variable]:
    found = {name: getattr(scope, name) for name in COUNTERS}
    for part, module in scope.parts.items():
        if not isinstance(module, LEARNS):
            variables = [module] if isinstance(module, tf.Variable) else getattr(module, "variables", ())
            found |= {f"{part}/{index}": variable for index, variable in enumerate(variables)}
    return found
