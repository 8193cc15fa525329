"""Policies: what acts when no learning is going on."""

from polyrl.policies.base import BasePolicy
from polyrl.policies.categorical_q_policy import CategoricalQPolicy, ValueDistribution
from polyrl.policies.q_policy import QPolicy
from polyrl.policies.specs import (
    BoundedTensorSpec,
    PolicyInfo,
    PolicyStep,
    StepType,
    TensorSpec,
    TimeStep,
    Trajectory,
    time_step_spec,
)
from polyrl.policies.value import ValuePolicy
from polyrl.policies.wrappers import BoltzmannPolicy, EpsilonGreedyPolicy, GreedyPolicy, RandomPolicy

__all__ = [
    "BasePolicy",
    "BoltzmannPolicy",
    "BoundedTensorSpec",
    "CategoricalQPolicy",
    "EpsilonGreedyPolicy",
    "GreedyPolicy",
    "PolicyInfo",
    "PolicyStep",
    "QPolicy",
    "RandomPolicy",
    "StepType",
    "TensorSpec",
    "TimeStep",
    "Trajectory",
    "ValueDistribution",
    "ValuePolicy",
    "time_step_spec",
]
