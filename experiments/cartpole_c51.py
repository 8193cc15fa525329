"""C51 on CartPole-v1: `python experiments/cartpole_c51.py --mode=train_and_eval`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from polyrl import Agent, CategoricalDQNModel, EstimatorSpec, RLExperiment, run_experiment
from polyrl.experiments import cli
import tensorflow as tf
import tf_keras

flags.DEFINE_integer("num_atoms", 51, "Atoms of the return distribution.", lower_bound=2)
flags.DEFINE_float("min_q_value", 0.0, "The lowest atom, a discounted return.")
flags.DEFINE_float("max_q_value", 100.0, "The highest atom, a discounted return.")
flags.DEFINE_bool("double", False, "Let the online network choose the next action of the target.")
cli.set_defaults(model_dir="runs/cartpole_c51", stop_at_reward=475.0)


def graph_fn(mode: str, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The torso: two dense layers."""
    x = tf_keras.layers.Dense(64, "relu")(features["state"])
    return tf_keras.layers.Dense(64, "relu")(x)


def model_fn(features: Any, labels: Any, mode: str, params: Any) -> EstimatorSpec:
    """The model, in each of the three modes."""
    model = CategoricalDQNModel(
        mode,
        graph_fn,
        num_states=4,
        num_actions=2,
        num_atoms=params.num_atoms,
        min_q_value=params.min_q_value,
        max_q_value=params.max_q_value,
        double=params.double,
        name="C51",
        **cli.model_arguments(params),
    )
    return model(features, labels)


def experiment_fn(output_dir: str) -> RLExperiment:
    """The agent and what it is trained on."""
    params = cli.read_hyper_parameters(output_dir, "num_atoms", "min_q_value", "max_q_value", "double")
    agent = Agent(model_fn, cli.memory(params), output_dir, cli.run_config(params), params)
    return cli.rl_experiment(agent, cli.environment("CartPole-v1", params))


def main(argv: Sequence[str]) -> Any:
    """Runs the schedule that --mode names."""
    return run_experiment(experiment_fn, cli.FLAGS.model_dir, cli.FLAGS.mode)


if __name__ == "__main__":
    cli.run(main)
