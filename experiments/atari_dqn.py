"""DQN on an Atari game: `python experiments/atari_dqn.py --game=Pong`."""

from __future__ import annotations

from collections.abc import Sequence
import functools
from typing import Any

from polyrl import Agent, DQNModel, EstimatorSpec, RLExperiment, run_experiment
from polyrl.experiments import atari, cli
from polyrl.networks import nature_cnn

cli.set_defaults(**atari.DEFAULTS, model_dir="runs/atari_dqn")


def model_fn(features: Any, labels: Any, mode: str, params: Any, num_actions: int = 0) -> EstimatorSpec:
    """The model, in each of the three modes."""
    model = DQNModel(mode, nature_cnn(), num_actions=num_actions, name="DQN", **atari.model_arguments(params))
    return model(features, labels)


def experiment_fn(output_dir: str) -> RLExperiment:
    """The agent and what it is trained on."""
    params = cli.read_hyper_parameters(output_dir, *atari.HYPER_PARAMETERS, check_names=atari.check_names)
    env, eval_env = atari.environments(params)
    game_model_fn = functools.partial(model_fn, num_actions=env.num_actions)
    agent = Agent(game_model_fn, atari.memory(params), output_dir, cli.run_config(params), params)
    return cli.rl_experiment(agent, env, eval_env)


def main(argv: Sequence[str]) -> Any:
    """Runs the schedule that --mode names."""
    return run_experiment(experiment_fn, cli.FLAGS.model_dir, cli.FLAGS.mode)


if __name__ == "__main__":
    cli.run(main)
