"""Policies: what acts when no learning is going on."""

from polyrl.policies.base import BasePolicy
from polyrl.policies.categorical_q_policy import CategoricalQPolicy
from polyrl.policies.q_policy import QPolicy
from polyrl.policies.specs import BoundedTensorSpec, PolicyStep, StepType, TimeStep, time_step_spec

__all__ = [
    "BasePolicy",
    "BoundedTensorSpec",
    "CategoricalQPolicy",
    "PolicyStep",
    "QPolicy",
    "StepType",
    "TimeStep",
    "time_step_spec",
]
