"""The agent, its loop, its hooks and its checkpoints."""

from polyrl.estimators.agent import Agent
from polyrl.estimators.checkpoints.manager import CheckpointManager
from polyrl.estimators.checkpoints.variables import WarmStartSettings
from polyrl.estimators.prediction.predictor import Predictor
from polyrl.estimators.run_config import RunConfig
from polyrl.estimators.training_result import TrainingResult
from polyrl.estimators.training_specs import EvalSpec, TrainSpec, train_and_evaluate
from polyrl.spec import EstimatorSpec

__all__ = [
    "Agent",
    "CheckpointManager",
    "EstimatorSpec",
    "EvalSpec",
    "Predictor",
    "RunConfig",
    "TrainSpec",
    "TrainingResult",
    "WarmStartSettings",
    "train_and_evaluate",
]
