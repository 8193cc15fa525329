"""Any model of the family on any environment, by flags: what `experiments/train.py` and the benchmarks are made of.

It defines flags in addition to those of `polyrl.experiments.cli`, for programs that import it. A preset gives flags other
defaults; what is given on the command line comes before it.
"""

from __future__ import annotations

import functools
from typing import Any

from absl import flags

from polyrl import models, networks, presets
from polyrl.configs import (
    AdamConfig,
    DecayExplorationConfig,
    ExplorationConfig,
    GreedyExplorationConfig,
    InitializerConfig,
    MeanSquaredErrorConfig,
    OrthogonalConfig,
    PolynomialDecayConfig,
    TorchInitializerConfig,
    VarianceScalingConfig,
)
from polyrl.envs import action_bounds, num_states_and_actions
from polyrl.envs.gym import EnvLike
from polyrl.estimators import Agent, EstimatorSpec
from polyrl.experiments import cli, memories, torsos, worlds
from polyrl.experiments.rl_experiment import RLExperiment
from polyrl.validation import suggestion

QUANTILE = ("kappa",)
SOFT = ("entropy_temperature", "munchausen_scale", "log_policy_minimum")
ATOMS = ("num_atoms", "min_q_value", "max_q_value")
SAMPLES = ("num_samples", "num_policy_samples")
MODELS: dict[str, tuple[type[models.BaseQModel], tuple[str, ...]]] = {
    "dqn": (models.DQNModel, ()),
    "c51": (models.CategoricalDQNModel, ATOMS),
    "qr_dqn": (models.QRDQNModel, ("num_quantiles", *QUANTILE)),
    "iqn": (models.IQNModel, (*SAMPLES, *QUANTILE)),
    "munchausen_dqn": (models.MunchausenDQNModel, SOFT),
    "munchausen_iqn": (models.MunchausenIQNModel, (*SOFT, *SAMPLES, *QUANTILE)),
    "rainbow": (models.RainbowModel, ATOMS),
    "expected_sarsa": (models.ExpectedSarsaModel, ()),
    "pqn": (models.PQNModel, ("trace_decay",)),
    "r2d2": (models.R2D2Model, ("rescaling_slope",)),
    "naf": (models.NAFModel, ()),
}
"""By the name of `--model`: the class, and the flags that are arguments of it alone."""

INITIALIZERS: dict[str, InitializerConfig | None] = {
    "keras": None,
    "torch": TorchInitializerConfig(),
    "he": VarianceScalingConfig(2.0, "fan_in"),
    "orthogonal": OrthogonalConfig(),
}

flags.DEFINE_enum("preset", None, presets.NAMES, "Settings to begin with; any other flag that is given replaces its value.")
flags.DEFINE_enum("model", "dqn", [*MODELS], "The model, see docs/family.md.")
flags.DEFINE_list("head_units", [], "Units of hidden layers in each head.")
flags.DEFINE_bool("noisy", None, "Learned noise in the weights of heads and torso, which explores; of rainbow by default.")
flags.DEFINE_bool("double", None, "Let the online network choose the next action of the target; of rainbow by default.")
flags.DEFINE_enum("initializer", "keras", [*INITIALIZERS], "How the weights of torso and heads begin.")
flags.DEFINE_float("learning_rate_final", None, "Learning rate at the end of its linear decay; it is constant by default.")
flags.DEFINE_integer("learning_rate_updates", 100_000, "With --learning_rate_final: updates of the decay.", lower_bound=1)
flags.DEFINE_float("adam_epsilon", 1e-7, "Epsilon of Adam.", lower_bound=0.0)
flags.DEFINE_integer("warmup_timesteps", 0, "Environment steps of uniformly random actions at the start.", lower_bound=0)
flags.DEFINE_float("reward_scale", 1.0, "Rewards are multiplied by it before they are learned from.", lower_bound=0.0)
flags.DEFINE_float("clip_rewards", None, "And then clipped to plus and minus this number.", lower_bound=0.0)
flags.DEFINE_integer("num_atoms", 51, "C51: atoms of the return distribution.", lower_bound=2)
flags.DEFINE_float("min_q_value", -10.0, "C51: the lowest atom.")
flags.DEFINE_float("max_q_value", 10.0, "C51: the highest atom.")
flags.DEFINE_integer("num_quantiles", 50, "QR-DQN: quantiles of each return.", lower_bound=1)
flags.DEFINE_float("kappa", 1.0, "Quantile losses: where the Huber loss turns from a square to a line.", lower_bound=0.0)
flags.DEFINE_integer("num_samples", 32, "IQN: fractions for each state in an update.", lower_bound=1)
flags.DEFINE_integer("num_policy_samples", 32, "IQN: fractions to act by.", lower_bound=1)
flags.DEFINE_float("entropy_temperature", 0.03, "Munchausen: of the softmax policy.", lower_bound=1e-6)
flags.DEFINE_float("munchausen_scale", 0.9, "Munchausen: share of the policy's logarithm in the reward.", lower_bound=0.0)
flags.DEFINE_float("log_policy_minimum", -1.0, "Munchausen: where that logarithm is clipped.", upper_bound=0.0)
flags.DEFINE_float("rescaling_slope", 1e-3, "R2D2: epsilon of the rescaling of values.", lower_bound=0.0)
flags.DEFINE_float("trace_decay", 0.65, "PQN: lambda of its returns.", lower_bound=0.0, upper_bound=1.0)

PARAMETERS = (
    *(*worlds.PARAMETERS, *torsos.PARAMETERS, *memories.PARAMETERS, "model", "head_units", "noisy", "double", "initializer"),
    *("learning_rate_final", "learning_rate_updates", "adam_epsilon", "warmup_timesteps", "reward_scale", "clip_rewards"),
    *(*ATOMS, "num_quantiles", *QUANTILE, *SAMPLES, *SOFT, "trace_decay", "rescaling_slope"),
)
"""The flags here, of environments and of torsos that are hyper-parameters."""

cli.needs("learning_rate_updates", learning_rate_final=cli.GIVEN)
for _name in {name for _, names in MODELS.values() for name in names}:
    cli.needs(_name, model=tuple(model for model, (_, names) in MODELS.items() if _name in names))
_REPLAYING = tuple(model for model in MODELS if model != "pqn")
cli.needs("memory_size", "target_update_frequency", "target_update_tau", model=_REPLAYING)
cli.needs("n_step", off=1, model=_REPLAYING)
cli.needs("prioritized", off=False, model=_REPLAYING)
_DISCRETE = tuple(model for model, (model_class, _) in MODELS.items() if not model_class.CONTINUOUS)
cli.needs("dueling", "head_units", "noisy", "double", "reward_scale", "clip_rewards", "burn_in", model=_DISCRETE)
cli.needs("demos", model=tuple(model for model in _REPLAYING if model in _DISCRETE))

_NOT_OF_NOISE = ("initializer", "exploration_start", "exploration_final", "exploration_timesteps")
"""Flags that say how weights without noise begin, and how a model without noise explores."""


def use_preset() -> None:
    """Gives flags the values of `--preset` as their defaults; a ValueError for a preset with a flag that does not exist."""
    if cli.FLAGS.preset is None:
        return
    for name, value in presets.get(cli.FLAGS.preset).items():
        if name not in cli.FLAGS:
            raise ValueError(f"--preset={cli.FLAGS.preset} has no flag --{name}.{suggestion(name, list(cli.FLAGS))}")
        cli.FLAGS.set_default(name, list(map(str, value)) if isinstance(value, tuple) else value)


def is_noisy(params: Any) -> bool:
    """Whether heads and torso have noise: as `--noisy` says; without it, of Rainbow."""
    return params["model"] == "rainbow" if params["noisy"] is None else params["noisy"]


def torso(params: Any, num_states: Any) -> networks.SameInEveryMode:
    """The torso that the hyper-parameters describe, for a number of discrete states or the shape of a state."""
    return memories.torso(params, torsos.torso(params, num_states, is_noisy(params), _initializer(params)))


def model_arguments(params: Any) -> dict[str, Any]:
    """The arguments of the model, but for mode, torso, states and actions."""
    rate: Any = params.learning_rate
    if params.learning_rate_final is not None:
        rate = PolynomialDecayConfig(rate, params.learning_rate_updates, params.learning_rate_final)
    exploration: ExplorationConfig = DecayExplorationConfig(
        exploration_rate=params.exploration_start,
        min_exploration_rate=params.exploration_final,
        decay_steps=params.exploration_timesteps,
        warmup_timesteps=params.warmup_timesteps,
    )
    if is_noisy(params):
        exploration = GreedyExplorationConfig(warmup_timesteps=params.warmup_timesteps)
    given = cli.model_arguments(params)
    if params.model == "pqn":
        del given["target_update_frequency"], given["target_update_tau"]
    trained = {"optimizer_config": AdamConfig(rate, epsilon=params.adam_epsilon), "exploration_config": exploration}
    if params.model == "naf":
        del given["dueling"]
        return {**given, **trained, "loss_config": MeanSquaredErrorConfig()}
    own = {name: params[name] for name in ("reward_scale", "clip_rewards", "burn_in", *MODELS[params.model][1])}
    own |= {name: params[name] for name in ("noisy", "double") if params[name] is not None}
    return {
        **given,
        **trained,
        **own,
        "head_units": [int(size) for size in params.head_units],
        "head_initializer": _initializer(params),
    }


def _initializer(params: Any) -> InitializerConfig | None:
    return None if is_noisy(params) else INITIALIZERS[params.initializer]


def model_fn(features: Any, labels: Any, mode: str, params: Any, spaces: Any = None) -> EstimatorSpec:
    """The model, in each of the three modes; `spaces` are its arguments that the environment decides."""
    model_class, _ = MODELS[params.model]
    model = model_class(mode, torso(params, spaces["num_states"]), **spaces, **model_arguments(params))
    return model(features, labels)


def spaces_of(env: EnvLike, model: str) -> dict[str, Any]:
    """The arguments of a model that the environment decides: numbers of states and actions, and the bounds of the latter."""
    num_states, num_actions = num_states_and_actions(env)
    if not MODELS[model][0].CONTINUOUS:
        return {"num_states": num_states, "num_actions": num_actions}
    low, high = action_bounds(env)
    return {"num_states": num_states, "num_actions": len(low), "action_low": low, "action_high": high}


def experiment_fn(output_dir: str) -> RLExperiment:
    """The agent and what it is trained on."""
    use_preset()
    params = cli.read_hyper_parameters(output_dir, *PARAMETERS)
    useless = [name for name in _NOT_OF_NOISE if cli.FLAGS[name].present and is_noisy(params)]
    if useless:
        raise ValueError(f"--{' and --'.join(useless)}: no effect on a noisy model. Leave them out, or say --nonoisy.")
    env, evaluated = worlds.environments(params)
    spaces = spaces_of(evaluated, params["model"])
    for refusal in (
        worlds.useless_flags(params),
        torsos.useless_flags(params, spaces["num_states"]),
        memories.useless_flags(params),
    ):
        if refusal is not None:
            raise ValueError(refusal)
    function, memory = functools.partial(model_fn, spaces=spaces), memories.memory(params)
    agent = Agent(function, memory, output_dir, cli.run_config(params), params)
    return cli.rl_experiment(agent, env, evaluated)
