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
from polyrl.ops.quantile import (
    quantile_huber_loss,
    quantile_midpoints,
    quantile_q_learning,
    quantile_td_loss,
    quantile_value_at_risk,
)
from polyrl.ops.rescaling import signed_hyperbolic, signed_parabolic
from polyrl.ops.returns import NStepReturn, lambda_return, n_step_return
from polyrl.ops.soft import SoftPolicy, epsilon_greedy_value, munchausen_reward, soft_bootstrap, soft_policy
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
    "SoftPolicy",
    "boltzmann",
    "categorical_q_learning",
    "clipped_mass",
    "conditional_value_at_risk",
    "double_q_learning",
    "dueling",
    "epsilon_greedy",
    "epsilon_greedy_value",
    "expected_value",
    "lambda_return",
    "large_margin_loss",
    "mask_values",
    "munchausen_reward",
    "n_step_return",
    "normal",
    "normalized_advantage",
    "normalized_q_learning",
    "ornstein_uhlenbeck",
    "polyak_average",
    "project_distribution",
    "q_learning",
    "quantile_huber_loss",
    "quantile_midpoints",
    "quantile_q_learning",
    "quantile_td_loss",
    "quantile_value_at_risk",
    "sample_categorical",
    "sample_normalized",
    "scale_tril",
    "select_values",
    "signed_hyperbolic",
    "signed_parabolic",
    "soft_bootstrap",
    "soft_policy",
    "support",
    "td_loss",
    "uniform",
]
