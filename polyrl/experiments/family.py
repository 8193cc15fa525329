"""Any model of the family on any environment, by flags: what the command `polyrl` and the benchmarks are made of.

Its flags are those of `polyrl.flags.command`.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from polyrl import models
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
from polyrl.envs import action_bounds, num_states_and_actions, other_keys
from polyrl.envs.environment import Environment
from polyrl.envs.gym import EnvLike
from polyrl.estimators import Agent, EstimatorSpec, RunConfig, threads
from polyrl.estimators.checkpoints.params import frozen_params
from polyrl.experiments import cli, memories, settings, torsos, worlds
from polyrl.experiments.rl_experiment import RLExperiment, run_experiment
from polyrl.flags import TRAINING_MODES, command
from polyrl.flags.model import DISCRETE, DISTRIBUTIONAL, MODELS
from polyrl.replay import Replay

logger = logging.getLogger("polyrl")

INITIALIZERS: dict[str, InitializerConfig | None] = {
    "keras": None,
    "torch": TorchInitializerConfig(),
    "he": VarianceScalingConfig(2.0, "fan_in"),
    "orthogonal": OrthogonalConfig(),
}

NO_KEYS: Mapping[str, int | None] = MappingProxyType({})
"""Of observations that are a state alone."""

_NOT_OF_NOISE = ("initializer", "exploration_start", "exploration_final", "exploration_timesteps")
"""Flags that say how weights without noise begin, and how a model without noise explores."""


def is_noisy(params: Any) -> bool:
    """Whether heads and torso have noise: as `--noisy` says; without it, of Rainbow."""
    return params["model"] == "rainbow" if params["noisy"] is None else params["noisy"]


def torso(params: Any, num_states: Any, keys: Mapping[str, int | None] = NO_KEYS) -> torsos.GraphFn:
    """The torso that the hyper-parameters describe, for a number of discrete states or the shape of a state.

    `keys` are what else an observation has, as `polyrl.envs.other_keys` gives it.
    """
    return memories.torso(params, torsos.torso(params, num_states, is_noisy(params), _initializer(params), keys))


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
        given = {name: value for name, value in given.items() if not name.startswith("target_update")}
    model_class = class_of(params.model)
    loss = MeanSquaredErrorConfig() if params.model == "naf" else model_class.LOSS
    parts = {
        "optimizer": AdamConfig(rate, epsilon=params.adam_epsilon),
        "exploration": exploration,
        "loss": None if model_class.OWN_LOSS is not None else loss,
    }
    trained = {f"{name}_config": config for name, config in settings.applied(params.set, parts).items()}
    if params.model == "naf":
        del given["dueling"]
        return {**given, **trained}
    own = {name: params[name] for name in ("reward_scale", "clip_rewards", "burn_in", *MODELS[params.model].own)}
    own |= {name: params[name] for name in ("noisy", "double") if params[name] is not None}
    if params.model in DISTRIBUTIONAL:
        own["risk_level"] = cli.FLAGS.risk_level
    return {
        **given,
        **trained,
        **own,
        "head_units": [int(size) for size in params.head_units],
        "head_initializer": _initializer(params),
    }


def class_of(model: str) -> type[models.BaseQModel]:
    """The class that `--model` names."""
    return getattr(models, MODELS[model].class_name)


def _initializer(params: Any) -> InitializerConfig | None:
    return None if is_noisy(params) else INITIALIZERS[params.initializer]


def model_fn(
    features: Any,
    labels: Any,
    mode: str,
    params: Any,
    spaces: Any = None,
    keys: Mapping[str, int | None] = NO_KEYS,
    arguments: Mapping[str, Any] | None = None,
) -> EstimatorSpec:
    """The model, in each of the three modes.

    `spaces` are its arguments that the environment decides, `arguments` the others: a process without the command's flags, as
    an actor, is given them.
    """
    given = model_arguments(params) if arguments is None else arguments
    return class_of(params.model)(mode, torso(params, spaces["num_states"], keys), **spaces, **given)(features, labels)


def spaces_of(env: EnvLike, model: str) -> dict[str, Any]:
    """The arguments of a model that the environment decides: numbers of states and actions, and the bounds of the latter.

    Raises:
        ValueError: for a model of discrete actions and an environment of continuous ones, and the reverse.
    """
    num_states, num_actions = num_states_and_actions(env)
    continuous = num_actions == 0
    if continuous != MODELS[model].continuous:
        have, fitting = ("continuous", "--model=naf") if continuous else ("discrete", f"one of {', '.join(DISCRETE)}")
        raise ValueError(f"--model={model} does not fit the environment, whose actions are {have}: use {fitting}.")
    if not continuous:
        return {"num_states": num_states, "num_actions": num_actions}
    low, high = action_bounds(env)
    return {"num_states": num_states, "num_actions": len(low), "action_low": low, "action_high": high}


def run() -> Any:
    """Runs the schedule that `--mode` names; what `--config` gives counts as given."""
    fixed = command.settle()
    return run_experiment(functools.partial(experiment_fn, fixed=fixed), cli.FLAGS.model_dir, cli.FLAGS.mode)


def _run_config(params: dict[str, Any], num_states: Any) -> RunConfig:
    """As the flags say; with one core for each operation if they do not, and the network is too small for more."""
    config = cli.run_config(params)
    is_open = config.threads is None and threads.VARIABLE not in os.environ and threads.cores() > 1
    if is_open and torsos.is_small(params, num_states) and threads.can_use_threads(1):
        logger.info("Each operation runs on one core, as the network is too small for more; --threads says otherwise.")
        return config.replace(threads=1)
    return config


def _check_names(params: dict[str, Any]) -> None:
    worlds.check_names(params)
    torsos.check_name(params)
    model_arguments(frozen_params(params))


def _distributed(env: EnvLike, memory: Replay, actors: int) -> tuple[Environment, Replay]:
    """Environment and memory in processes of their own."""
    from polyrl.distributed import RemoteActors, RemoteReplay  # Ray is an extra.

    if not isinstance(env, Environment):
        raise ValueError(f"--actors={actors}: each actor opens environments of its own, and this is one that is open already.")
    remote = RemoteReplay(memory, cli.FLAGS.memory_shards)
    return RemoteActors(env, actors, address=cli.FLAGS.ray_address), remote


def experiment_fn(output_dir: str, fixed: Collection[str] = ()) -> RLExperiment:
    """The agent and what it is trained on; `fixed` names flags whose values a trained `output_dir` must have too."""
    worlds.complete_version()
    params = cli.read_hyper_parameters(output_dir, *command.PARAMETERS, fixed=fixed, check_names=_check_names)
    useless = [name for name in _NOT_OF_NOISE if cli.FLAGS[name].present and is_noisy(params)]
    if useless:
        raise ValueError(f"--{' and --'.join(useless)}: no effect on a noisy model. Leave them out, or say --nonoisy.")
    start, final = params["exploration_start"], params["exploration_final"]
    if final > start:
        raise ValueError(
            f"--exploration_final={final:g} is above --exploration_start={start:g}: exploration decays from the second to the "
            "first."
        )
    torsos.check_name(params)
    env, evaluated = worlds.environments(params)
    spaces = spaces_of(evaluated, params["model"])
    for refusal in (
        worlds.useless_flags(params),
        torsos.useless_flags(params, spaces["num_states"]),
        memories.useless_flags(params),
    ):
        if refusal is not None:
            raise ValueError(refusal)
    memory: Replay = memories.memory(params)
    arguments = model_arguments(frozen_params(params))
    function = functools.partial(model_fn, spaces=spaces, keys=other_keys(evaluated), arguments=arguments)
    if params["actors"] is not None and cli.FLAGS.mode in TRAINING_MODES:
        env, memory = _distributed(env, memory, params["actors"])
    agent = Agent(function, memory, output_dir, _run_config(params, spaces["num_states"]), params)
    return cli.rl_experiment(agent, env, evaluated)
