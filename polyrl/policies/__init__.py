"""Policies: they map time steps to actions, without an agent or an environment."""

from polyrl.policies.base import BasePolicy
from polyrl.policies.categorical_q_policy import CategoricalQPolicy, ValueDistribution
from polyrl.policies.discrete import DiscretePolicy
from polyrl.policies.naf_policy import NAFPolicy
from polyrl.policies.q_policy import QPolicy
from polyrl.policies.quantile_q_policy import QuantileQPolicy
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
    "DiscretePolicy",
    "EpsilonGreedyPolicy",
    "GreedyPolicy",
    "NAFPolicy",
    "PolicyInfo",
    "PolicyStep",
    "QPolicy",
    "QuantileQPolicy",
    "RandomPolicy",
    "StepType",
    "TensorSpec",
    "TimeStep",
    "Trajectory",
    "ValueDistribution",
    "ValuePolicy",
    "time_step_spec",
]
