"""C51 on an Atari game: `python experiments/atari_c51.py --game=Pong`."""

from __future__ import annotations

from collections.abc import Sequence
import functools
from typing import Any

from absl import flags
from polyrl import Agent, CategoricalDQNModel, EstimatorSpec, RLExperiment, run_experiment
from polyrl.experiments import atari, cli
from polyrl.networks import nature_cnn

flags.DEFINE_integer("num_atoms", 51, "Atoms of the return distribution.", lower_bound=2)
flags.DEFINE_float("min_q_value", -10.0, "The lowest atom, a discounted return of clipped rewards.")
flags.DEFINE_float("max_q_value", 10.0, "The highest atom, a discounted return of clipped rewards.")
flags.DEFINE_bool("double", False, "Let the online network choose the next action of the target.")
# The learning rate and the epsilon of Bellemare, Dabney and Munos 2017.
cli.set_defaults(**{**atari.DEFAULTS, "learning_rate": 2.5e-4}, adam_epsilon=0.01 / 32, model_dir="runs/atari_c51")


def model_fn(features: Any, labels: Any, mode: str, params: Any, num_actions: int = 0) -> EstimatorSpec:
    """The model, in each of the three modes."""
    model = CategoricalDQNModel(
        mode,
        nature_cnn(),
        num_actions=num_actions,
        num_atoms=params.num_atoms,
        min_q_value=params.min_q_value,
        max_q_value=params.max_q_value,
        double=params.double,
        name="C51",
        **atari.model_arguments(params),
    )
    return model(features, labels)


def experiment_fn(output_dir: str) -> RLExperiment:
    """The agent and what it is trained on."""
    own = ("num_atoms", "min_q_value", "max_q_value", "double")
    params = cli.read_hyper_parameters(output_dir, *atari.HYPER_PARAMETERS, *own, check_names=atari.check_names)
    env, eval_env = atari.environments(params)
    game_model_fn = functools.partial(model_fn, num_actions=env.num_actions)
    agent = Agent(game_model_fn, atari.memory(params), output_dir, cli.run_config(params), params)
    return cli.rl_experiment(agent, env, eval_env)


def main(argv: Sequence[str]) -> Any:
    """Runs the schedule that --mode names."""
    return run_experiment(experiment_fn, cli.FLAGS.model_dir, cli.FLAGS.mode)


if __name__ == "__main__":
    cli.run(main)
