"""How the processes of a cluster begin a run together: what the chief says of it, and what the others make of that."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras.optimizers import Optimizer

from polyrl.errors import CheckpointMismatchError, add_note
from polyrl.estimators.checkpoints.fitting import described
from polyrl.estimators.signals import interruptible
from polyrl.estimators.strategies.learnt import Strategy
from polyrl.estimators.strategies.workers import SAME, Workers
from polyrl.estimators.training_result import TrainingResult
from polyrl.models.scope import Scope
from polyrl.policies import BoundedTensorSpec


@contextlib.contextmanager
def led(strategy: Strategy | None, learner: Any, tell: Callable[[str], None]) -> Iterator[Callable[[TrainingResult], None]]:
    """What is trained in the `with` block is learned by all processes, if this one is the chief of several.

    Args:
        strategy: of the run.
        learner: built, and restored: the others take its values.
        tell: shows a line.

    It gives a function that must be told how the run has ended.
    """
    if strategy is None:
        yield lambda result: None
        return
    gains = "" if strategy.count > 1 else " There is nobody to divide it among: leave the strategy out."
    tell(f"Each update is computed by {strategy.described}: variables are plain ones, XLA does not compile the loop.{gains}")
    if not isinstance(strategy, Workers) or strategy.count == 1:
        yield lambda result: None
        return
    state, num_envs, action = learner.built
    about = {
        "state": tf.nest.map_structure(_as_json, state) if isinstance(state, Mapping) else [_as_json(state)],
        "num_envs": num_envs,
        "action": _as_json(action),
        "rows": [{name: _as_json(spec) for name, spec in part.items()} for part in strategy.rows],
        "batches": _batches(learner),
        "learns": _learns(learner),
    }
    tell(f"Waiting for the other processes of the cluster, {strategy.count - 1} of them.")
    with strategy.leading(about, all_variables(learner.scope)) as say:
        yield say


def followed(strategy: Workers, learner: Any, tell: Callable[[str], None]) -> TrainingResult:
    """Takes part in the run of the chief, to its end; how that was.

    Raises:
        CheckpointMismatchError: if the models here are not those of the chief.
        LostWorkerError: if the chief, or another process, is gone.
        RuntimeError: if the chief's run has failed.
    """
    tell(f"Waiting for the chief of the cluster; this is worker {strategy.index} of {strategy.count} processes.")
    about = strategy.about()
    try:
        _check_same(about["batches"], _batches(learner))
        rows = _built(learner, about)
        _check_same(about["learns"], _learns(learner))
    except BaseException:
        strategy.answer(False)
        raise
    strategy.answer(True)
    tell("The run has begun.")

    def goes_on(number: int) -> None:
        tell(f"{signal.Signals(number).name}: this process goes on until the chief's run ends; another one ends it.")

    with interruptible(goes_on, lambda frame, is_first: not is_first):
        result = strategy.follow(learner.learn, rows, all_variables(learner.scope), learner.scope.global_timestep)
    learner.scope.global_timestep.assign(result.global_timestep)
    learner.scope.global_episode.assign(result.global_episode)
    tell(f"The chief's run ended: {result.stop_reason}. Checkpoint: {result.checkpoint}")
    return result


def all_variables(scope: Scope) -> list[tf.Variable]:
    """Those of the scope, and what its optimizers keep, which are no modules; each once."""
    found = {variable.ref(): variable for variable in scope.variables}
    for name in sorted(scope.parts):
        if isinstance(scope.parts[name], Optimizer):
            found |= {variable.ref(): variable for variable in scope.parts[name].variables}
    return list(found.values())


def _built(learner: Any, about: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Builds a learner for what the chief has said; the specs of a share."""
    state = about["state"]
    states = {name: _from_json(spec) for name, spec in state.items()} if isinstance(state, dict) else _from_json(state[0])
    rows = tuple({name: _from_json(spec) for name, spec in part.items()} for part in about["rows"])
    try:
        learner.build_following(states, about["num_envs"], _from_json(about["action"]), rows)
    except Exception as error:
        add_note(error, f"This process does not learn what the chief learns: it fails with a batch of the chief's run. {SAME}")
        raise
    return rows


def _batches(learner: Any) -> dict[str, Any]:
    """What is known before there is a model: the seed, and what batches are."""
    memory = learner.memory
    return {"seed": learner.scope.seed, "batch_size": memory.batch_size, "prioritized": memory.PRIORITIZED}


def _learns(learner: Any) -> dict[str, Any]:
    """Networks, optimizers, and the arguments of the models, as JSON."""
    scope = learner.scope
    shapes = [list(variable.shape) for variable in all_variables(scope)]
    found = {**described(scope), "arguments": scope.learners(), "shapes": shapes}
    return dict(json.loads(json.dumps(found, default=str)))


def _check_same(chief: Mapping[str, Any], here: Mapping[str, Any], path: str = "") -> None:
    for name in {**chief, **here}:
        theirs, own = chief.get(name), here.get(name)
        if isinstance(theirs, Mapping) and isinstance(own, Mapping):
            _check_same(theirs, own, f"{path}{name}/")
        elif theirs != own:
            raise CheckpointMismatchError(
                f"This process does not learn what the chief learns: {path}{name} is {own} here, and {theirs} there. {SAME}"
            )


def _as_json(spec: Any) -> dict[str, Any]:
    bounds = {"minimum": spec.minimum, "maximum": spec.maximum} if isinstance(spec, BoundedTensorSpec) else {}
    return {"shape": [int(size) for size in spec.shape], "dtype": tf.as_dtype(spec.dtype).name, **bounds}


def _from_json(found: Mapping[str, Any]) -> Any:
    shape, dtype = tuple(found["shape"]), tf.as_dtype(found["dtype"])
    if "minimum" not in found:
        return tf.TensorSpec(shape, dtype)
    return BoundedTensorSpec(shape, dtype, np.asarray(found["minimum"]), np.asarray(found["maximum"]))
