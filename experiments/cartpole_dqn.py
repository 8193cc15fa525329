"""DQN on CartPole-v1: `python experiments/cartpole_dqn.py --mode=train_and_eval`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polyrl import Agent, DQNModel, EstimatorSpec, RLExperiment, run_experiment
from polyrl.experiments import cli
import tensorflow as tf
import tf_keras

cli.set_defaults(
    model_dir="runs/cartpole_dqn", stop_at_reward=475.0, discount=0.98, batch_size=128, target_update_frequency=250
)


def graph_fn(mode: str, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The torso: two dense layers."""
    x = tf_keras.layers.Dense(64, "relu")(features["state"])
    return tf_keras.layers.Dense(64, "relu")(x)


def model_fn(features: Any, labels: Any, mode: str, params: Any) -> EstimatorSpec:
    """The model, in each of the three modes."""
    model = DQNModel(mode, graph_fn, num_states=4, num_actions=2, name="DQN", **cli.model_arguments(params))
    return model(features, labels)


def experiment_fn(output_dir: str) -> RLExperiment:
    """The agent and what it is trained on."""
    params = cli.read_hyper_parameters(output_dir)
    agent = Agent(model_fn, cli.memory(params), output_dir, cli.run_config(params), params)
    return cli.rl_experiment(agent, cli.environment("CartPole-v1", params))


def main(argv: Sequence[str]) -> Any:
    """Runs the schedule that --mode names."""
    return run_experiment(experiment_fn, cli.FLAGS.model_dir, cli.FLAGS.mode)


if __name__ == "__main__":
    cli.run(main)
