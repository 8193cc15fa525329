"""polyrl: an Estimator-style experiment framework for value-based reinforcement learning on TensorFlow and tf-keras.

The names that most programs need are here: `from polyrl import Agent, DQNModel, RunConfig`. Each is imported at its first use.
`import polyrl` itself imports neither TensorFlow nor any other module of polyrl.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from polyrl._quiet import leave_out_cast_warnings, prepare_tensorflow

prepare_tensorflow()
leave_out_cast_warnings()

__version__ = "0.1.0"

if TYPE_CHECKING:
    from polyrl.envs import GymEnvironment
    from polyrl.estimators import (
        Agent,
        EstimatorSpec,
        EvalSpec,
        Predictor,
        RunConfig,
        TrainSpec,
        WarmStartSettings,
        train_and_evaluate,
    )
    from polyrl.experiments import RLExperiment, run_experiment
    from polyrl.models import (
        BaseQModel,
        CategoricalDQNModel,
        DDQNModel,
        DQNModel,
        ExpectedSarsaModel,
        IQNModel,
        MunchausenDQNModel,
        MunchausenIQNModel,
        NAFModel,
        PQNModel,
        QRDQNModel,
        R2D2Model,
        RainbowModel,
    )
    from polyrl.modes import Modes
    from polyrl.replay import PrioritizedReplay, PrioritizedSequenceReplay, RolloutMemory, SequenceReplay, UniformReplay

_MODULES = {
    "Agent": "polyrl.estimators",
    "BaseQModel": "polyrl.models",
    "CategoricalDQNModel": "polyrl.models",
    "DDQNModel": "polyrl.models",
    "DQNModel": "polyrl.models",
    "EstimatorSpec": "polyrl.estimators",
    "EvalSpec": "polyrl.estimators",
    "ExpectedSarsaModel": "polyrl.models",
    "GymEnvironment": "polyrl.envs",
    "IQNModel": "polyrl.models",
    "Modes": "polyrl.modes",
    "MunchausenDQNModel": "polyrl.models",
    "MunchausenIQNModel": "polyrl.models",
    "NAFModel": "polyrl.models",
    "PQNModel": "polyrl.models",
    "Predictor": "polyrl.estimators",
    "PrioritizedReplay": "polyrl.replay",
    "PrioritizedSequenceReplay": "polyrl.replay",
    "QRDQNModel": "polyrl.models",
    "R2D2Model": "polyrl.models",
    "RLExperiment": "polyrl.experiments",
    "RainbowModel": "polyrl.models",
    "RolloutMemory": "polyrl.replay",
    "RunConfig": "polyrl.estimators",
    "SequenceReplay": "polyrl.replay",
    "TrainSpec": "polyrl.estimators",
    "UniformReplay": "polyrl.replay",
    "WarmStartSettings": "polyrl.estimators",
    "run_experiment": "polyrl.experiments",
    "train_and_evaluate": "polyrl.estimators",
}
"""Where each name is defined."""

__all__ = [
    "Agent",
    "BaseQModel",
    "CategoricalDQNModel",
    "DDQNModel",
    "DQNModel",
    "EstimatorSpec",
    "EvalSpec",
    "ExpectedSarsaModel",
    "GymEnvironment",
    "IQNModel",
    "Modes",
    "MunchausenDQNModel",
    "MunchausenIQNModel",
    "NAFModel",
    "PQNModel",
    "Predictor",
    "PrioritizedReplay",
    "PrioritizedSequenceReplay",
    "QRDQNModel",
    "R2D2Model",
    "RLExperiment",
    "RainbowModel",
    "RolloutMemory",
    "RunConfig",
    "SequenceReplay",
    "TrainSpec",
    "UniformReplay",
    "WarmStartSettings",
    "run_experiment",
    "train_and_evaluate",
]


_ELSEWHERE = {
    **dict.fromkeys(("DQN", "DQNAgent"), "DQNModel"),
    **dict.fromkeys(("C51", "C51Model", "CategoricalDQN", "CategoricalDqnAgent"), "CategoricalDQNModel"),
    **dict.fromkeys(("QRDQN", "IQN", "NAF", "PQN", "R2D2", "Rainbow"), "the class with Model behind that name"),
    **dict.fromkeys(("ReplayBuffer", "TFUniformReplayBuffer", "ReplayMemory"), "UniformReplay"),
    **dict.fromkeys(("PrioritizedReplayBuffer", "PER"), "PrioritizedReplay"),
    **dict.fromkeys(("Estimator", "Trainer", "Experiment"), "Agent, or RLExperiment"),
    **dict.fromkeys(("ModeKeys",), "Modes"),
}
"""What names of other libraries are called here."""


if not TYPE_CHECKING:  # Type checkers take the names from the imports above, and report those that do not exist.

    def __getattr__(name: str) -> Any:
        """Imports a name at its first use; an AttributeError with the nearest name if there is none."""
        if name in _MODULES:
            value = getattr(importlib.import_module(_MODULES[name]), name)
            globals()[name] = value  # It is found without this function from now on.
            return value
        # With an `obj` of its own Python does not add a second suggestion.
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{_hint(name)}", name=name, obj=None)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


def _hint(name: str) -> str:
    modules = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    if name in modules:
        return f" It is a module that has not been imported: use `import {__name__}.{name}`."
    if name in _ELSEWHERE:
        return f" Use {_ELSEWHERE[name]}."
    from polyrl.validation import suggestion

    return suggestion(name, [*_MODULES, *modules])
