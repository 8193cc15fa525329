"""What the tests of the configs share: an example of each config, with as few fields at their defaults as possible."""

from __future__ import annotations

from polyrl import configs
from polyrl.configs import Config, DecayExplorationConfig

# One of each, no field at its default where that could hide that the field is lost.
EXAMPLES = [
    configs.ConstantExplorationConfig(value=0.25, warmup_timesteps=7),
    configs.GreedyExplorationConfig(warmup_timesteps=7),
    configs.RandomExplorationConfig(),
    DecayExplorationConfig(0.9, "exponential_decay", 5, 500, 0.7, True, 20, 0.1),
    DecayExplorationConfig(decay_type="piecewise_constant", boundaries=(10, 20), values=(0.9, 0.5, 0.1)),
    DecayExplorationConfig(power=2.0, cycle=True, warmup_timesteps=7),
    configs.RandomDecayExplorationConfig(0.9, "inverse_time_decay", 5, 500, 0.7, True, 20, 0.1),
    configs.RandomDecayExplorationConfig(power=2.0, cycle=True, warmup_timesteps=7),
    configs.RandomDecayExplorationConfig(decay_type="piecewise_constant", boundaries=(10, 20), values=(0.9, 0.5, 0.1)),
    configs.OrnsteinUhlenbeckExplorationConfig(sigma=0.2, mu=0.1, theta=0.3, dt=0.5, warmup_timesteps=7),
    configs.BoltzmannExplorationConfig(temperature=2.0, final_temperature=0.5, decay_steps=100, warmup_timesteps=7),
    configs.VarianceScalingConfig(scale=2.0, mode="fan_in", distribution="truncated_normal"),
    configs.OrthogonalConfig(gain=2.0),
    configs.RandomUniformConfig(limit=0.1),
    configs.TorchInitializerConfig(),
    configs.HuberLossConfig(delta=2.0),
    configs.MeanSquaredErrorConfig(),
    configs.MeanAbsoluteErrorConfig(),
    configs.LogCoshConfig(),
    configs.MetricConfig("MeanSquaredError", "q", "labels.reward", "error", {"dtype": "float64"}, "labels.weights"),
    configs.ExponentialDecayConfig(0.5, 10, 0.9, staircase=True),
    configs.InverseTimeDecayConfig(0.5, 10, 0.9, staircase=True),
    configs.PolynomialDecayConfig(0.5, 10, 0.1, power=2.0, cycle=True),
    configs.PiecewiseConstantDecayConfig((10, 20), (0.3, 0.2, 0.1)),
    configs.CosineDecayConfig(0.5, 10, alpha=0.1),
    configs.CosineDecayRestartsConfig(0.5, 10, t_mul=3.0, m_mul=0.9, alpha=0.1),
    configs.SGDConfig(learning_rate=0.1, momentum=0.5, nesterov=True),
    configs.RMSpropConfig(learning_rate=0.1, rho=0.8, momentum=0.5, epsilon=0.01, centered=True),
    configs.AdagradConfig(learning_rate=0.1, initial_accumulator_value=0.2, epsilon=0.01),
    configs.AdadeltaConfig(learning_rate=0.1, rho=0.8, epsilon=0.01),
    configs.AdamConfig(learning_rate=0.1, beta_1=0.8, beta_2=0.9, epsilon=0.01, amsgrad=True),
    configs.AdamWConfig(learning_rate=0.1, weight_decay=0.2, beta_1=0.8, beta_2=0.9, epsilon=0.01, amsgrad=True),
    configs.AdamaxConfig(learning_rate=0.1, beta_1=0.8, beta_2=0.9, epsilon=0.01),
    configs.NadamConfig(learning_rate=0.1, beta_1=0.8, beta_2=0.9, epsilon=0.01),
    configs.FtrlConfig(0.1, -0.6, 0.2, 0.01, 0.02, 0.3),
    configs.LionConfig(learning_rate=0.1, beta_1=0.8, beta_2=0.7),
    configs.AdamConfig(learning_rate=configs.CosineDecayConfig(0.5, 10)),
    configs.SGDConfig(learning_rate=configs.PiecewiseConstantDecayConfig((10,), (0.3, 0.2))),
]

EXPORTED = [getattr(configs, name) for name in configs.__all__]

CONCRETE = [each for each in EXPORTED if each.IDENTIFIER]

FAMILIES = [configs.ExplorationConfig, configs.LossConfig, configs.OptimizerConfig, configs.ScheduleConfig]


def name_of(value) -> str:
    return type(value).__name__ if isinstance(value, Config) else getattr(value, "__name__", str(value))
