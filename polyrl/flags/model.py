"""The model."""

from __future__ import annotations

from typing import NamedTuple

from absl import flags

from polyrl.flags import other_names
from polyrl.flags.choice import define_choice, defined_in
from polyrl.flags.partners import GIVEN, needs
from polyrl.flags.positive import define_positive
from polyrl.flags.sizes import define_sizes


class Made(NamedTuple):
    """What a name of `--model` stands for: a class of `polyrl.models`, and the flags that are arguments of it alone."""

    class_name: str
    own: tuple[str, ...] = ()
    continuous: bool = False


_QUANTILE = ("kappa",)
_SOFT = ("entropy_temperature", "munchausen_scale", "log_policy_minimum")
_ATOMS = ("num_atoms", "min_q_value", "max_q_value")
_SAMPLES = ("num_samples", "num_policy_samples")
MODELS: dict[str, Made] = {
    "dqn": Made("DQNModel"),
    "c51": Made("CategoricalDQNModel", _ATOMS),
    "qr_dqn": Made("QRDQNModel", ("num_quantiles", *_QUANTILE)),
    "iqn": Made("IQNModel", (*_SAMPLES, *_QUANTILE)),
    "munchausen_dqn": Made("MunchausenDQNModel", _SOFT),
    "munchausen_iqn": Made("MunchausenIQNModel", (*_SOFT, *_SAMPLES, *_QUANTILE)),
    "rainbow": Made("RainbowModel", _ATOMS),
    "expected_sarsa": Made("ExpectedSarsaModel"),
    "pqn": Made("PQNModel", ("trace_decay",)),
    "r2d2": Made("R2D2Model", ("rescaling_slope",)),
    "naf": Made("NAFModel", continuous=True),
}
"""By the name of `--model`."""

DISCRETE = tuple(name for name, made in MODELS.items() if not made.continuous)
"""The models of discrete actions."""

INITIALIZERS = ("keras", "torch", "he", "orthogonal")

define_choice("model", "dqn", [*MODELS], "The model, see docs/family.md.", other_names.MODELS)
define_sizes("head_units", [], "Units of hidden layers in each head.")
flags.DEFINE_bool("noisy", None, "Learned noise in the weights of heads and torso, which explores; of rainbow by default.")
flags.DEFINE_bool("double", None, "Let the online network choose the next action of the target; of rainbow by default.")
define_choice("initializer", "keras", INITIALIZERS, "How the weights of torso and heads begin.")
flags.DEFINE_float(
    "learning_rate_final", None, "Learning rate at the end of its linear decay; it is constant by default.", lower_bound=0.0
)
flags.DEFINE_integer("learning_rate_updates", 100_000, "With --learning_rate_final: updates of the decay.", lower_bound=1)
define_positive("adam_epsilon", 1e-7, "Epsilon of Adam, added to the root of the mean squared gradient.")
flags.DEFINE_integer("warmup_timesteps", 0, "Environment steps of uniformly random actions at the start.", lower_bound=0)
define_positive("reward_scale", 1.0, "Rewards are multiplied by it before they are learned from.")
define_positive("clip_rewards", None, "Rewards are clipped to plus and minus this, after --reward_scale; not by default.")
flags.DEFINE_integer("num_atoms", 51, "c51, rainbow: atoms of the return distribution.", lower_bound=2)
flags.DEFINE_float("min_q_value", -10.0, "c51, rainbow: the lowest atom, in units of the discounted return.")
flags.DEFINE_float("max_q_value", 10.0, "c51, rainbow: the highest atom, in units of the discounted return.")
flags.DEFINE_integer("num_quantiles", 50, "qr_dqn: quantiles of each return.", lower_bound=1)
flags.DEFINE_float(
    "kappa",
    1.0,
    "qr_dqn, iqn, munchausen_iqn: where the Huber loss of quantiles turns from a square to a line, in units of the return.",
    lower_bound=0.0,
)
flags.DEFINE_integer("num_samples", 32, "iqn, munchausen_iqn: fractions for each state in an update.", lower_bound=1)
flags.DEFINE_integer("num_policy_samples", 32, "iqn, munchausen_iqn: fractions to act by.", lower_bound=1)
define_positive(
    "entropy_temperature", 0.03, "Munchausen: temperature of the softmax policy of the values, in units of the values."
)
flags.DEFINE_float(
    "munchausen_scale",
    0.9,
    "Munchausen: share of the policy's logarithm in the reward.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_float(
    "log_policy_minimum",
    -1.0,
    "Munchausen: the policy's logarithm, times --entropy_temperature, is raised to this where it is lower.",
    upper_bound=0.0,
)
flags.DEFINE_float("rescaling_slope", 1e-3, "r2d2: epsilon, the slope that the rescaling of values adds.", lower_bound=0.0)
flags.DEFINE_float(
    "risk_level",
    1.0,
    "Models of distributions: --mode=infer, and the exported signature action, go by the mean of the worst returns, as many "
    "as have this probability together.",
    lower_bound=1e-6,
    upper_bound=1.0,
)
flags.DEFINE_float("trace_decay", 0.65, "pqn: lambda of its returns.", lower_bound=0.0, upper_bound=1.0)

PARAMETERS = tuple(name for name in defined_in(__name__) if name != "risk_level")
"""The flags here that are hyper-parameters: all but how a trained model acts."""

DISTRIBUTIONAL = tuple(name for name, made in MODELS.items() if {*_ATOMS, *_QUANTILE} & {*made.own})
"""The models that learn distributions of returns."""

needs("learning_rate_updates", learning_rate_final=GIVEN)
for _name in {name for made in MODELS.values() for name in made.own}:
    needs(_name, model=tuple(model for model, made in MODELS.items() if _name in made.own))
_REPLAYING = tuple(model for model in MODELS if model != "pqn")
needs("memory_size", "target_update_timesteps", "target_update_tau", model=_REPLAYING)
needs("target_update_frequency", model=_REPLAYING, target_update_timesteps=None)
needs("risk_level", off=1.0, mode=("infer", "export", "serve"), model=DISTRIBUTIONAL)
needs("n_step", off=1, model=_REPLAYING)
needs("prioritized", off=False, model=_REPLAYING)
needs("dueling", "head_units", "noisy", "double", "reward_scale", "clip_rewards", model=DISCRETE)
needs("demos", model=tuple(model for model in _REPLAYING if model in DISCRETE))
