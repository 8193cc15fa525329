"""Pure, batched, shape-checked functions: targets, losses, projections, returns. They do not depend on the models."""

from polyrl.ops.categorical import (
    SMALLEST_RISK_LEVEL,
    categorical_q_learning,
    clipped_mass,
    conditional_value_at_risk,
    expected_value,
    project_distribution,
    support,
)
from polyrl.ops.exploration import (
    boltzmann,
    epsilon_greedy,
    normal,
    ornstein_uhlenbeck,
    sample_categorical,
    uniform,
)
from polyrl.ops.masks import mask_values
from polyrl.ops.naf import normalized_advantage, normalized_q_learning, sample_normalized, scale_tril
from polyrl.ops.returns import NStepReturn, n_step_return
from polyrl.ops.targets import polyak_average
from polyrl.ops.value import (
    LossOutput,
    double_q_learning,
    dueling,
    large_margin_loss,
    q_learning,
    select_values,
    td_loss,
)

__all__ = [
    "SMALLEST_RISK_LEVEL",
    "LossOutput",
    "NStepReturn",
    "boltzmann",
    "categorical_q_learning",
    "clipped_mass",
    "conditional_value_at_risk",
    "double_q_learning",
    "dueling",
    "epsilon_greedy",
    "expected_value",
    "large_margin_loss",
    "mask_values",
    "n_step_return",
    "normal",
    "normalized_advantage",
    "normalized_q_learning",
    "ornstein_uhlenbeck",
    "polyak_average",
    "project_distribution",
    "q_learning",
    "sample_categorical",
    "sample_normalized",
    "scale_tril",
    "select_values",
    "support",
    "td_loss",
    "uniform",
]
