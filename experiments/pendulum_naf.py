"""NAF on Pendulum-v1, with continuous actions: `python experiments/pendulum_naf.py --mode=train_and_eval`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from polyrl import Agent, EstimatorSpec, NAFModel, RLExperiment, run_experiment
from polyrl.configs import (
    ExplorationConfig,
    MeanSquaredErrorConfig,
    OrnsteinUhlenbeckExplorationConfig,
    RandomDecayExplorationConfig,
)
from polyrl.experiments import cli
import tensorflow as tf
import tf_keras

flags.DEFINE_enum(
    "noise",
    "gaussian",
    ["gaussian", "ornstein_uhlenbeck"],
    "Noise of the actions while training. gaussian: independent at each step, with the scale of the --exploration flags. "
    "ornstein_uhlenbeck: temporally correlated, with the constant scale --exploration_final.",
)
cli.needs("exploration_start", "exploration_timesteps", noise="gaussian")
cli.set_defaults(
    model_dir="runs/pendulum_naf",
    num_envs=1,
    train_timesteps=50_000,
    memory_size=100_000,
    batch_size=128,
    discount=0.97,
    target_update_frequency=1,
    target_update_tau=0.01,
    exploration_final=0.1,
    eval_frequency=5_000,
    dueling="none",
)


def graph_fn(mode: str, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The torso: two dense layers."""
    x = tf_keras.layers.Dense(64, "relu")(features["state"])
    return tf_keras.layers.Dense(64, "relu")(x)


def exploration(params: Any) -> ExplorationConfig:
    """The noise, in units of half the range of torques."""
    if params.noise == "ornstein_uhlenbeck":
        return OrnsteinUhlenbeckExplorationConfig(sigma=params.exploration_final)
    return RandomDecayExplorationConfig(
        exploration_rate=params.exploration_start,
        min_exploration_rate=params.exploration_final,
        decay_steps=params.exploration_timesteps,
    )


def model_fn(features: Any, labels: Any, mode: str, params: Any) -> EstimatorSpec:
    """The model, in each of the three modes; an action is one torque from -2 to 2."""
    arguments = {
        **cli.model_arguments(params),
        "loss_config": MeanSquaredErrorConfig(),
        "exploration_config": exploration(params),
    }
    model = NAFModel(mode, graph_fn, 3, 1, action_low=-2.0, action_high=2.0, name="NAF", **arguments)
    return model(features, labels)


def experiment_fn(output_dir: str) -> RLExperiment:
    """The agent and what it is trained on."""
    params = cli.read_hyper_parameters(output_dir, "noise")
    agent = Agent(model_fn, cli.memory(params), output_dir, cli.run_config(params), params)
    return cli.rl_experiment(agent, cli.environment("Pendulum-v1", params))


def main(argv: Sequence[str]) -> Any:
    """Runs the schedule that --mode names."""
    return run_experiment(experiment_fn, cli.FLAGS.model_dir, cli.FLAGS.mode)


if __name__ == "__main__":
    cli.run(main)
