"""A training script on an environment that misbehaves, for tests that start it as a user would, and signal or kill it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import polyrl  # noqa: F401  Before TensorFlow.

# isort: split

from absl import flags
from faulty_envs import DEEDS, FaultyEnv
from tiny_agents import q_model_fn

from polyrl.envs import GymEnvironment
from polyrl.estimators import Agent
from polyrl.experiments import cli

flags.DEFINE_enum("deed", "raise", list(DEEDS), "What the environment does.")
flags.DEFINE_integer("at", 10**9, "At which of its steps.")
flags.DEFINE_integer("eval_at", 10**9, "The same of the environment that is evaluated on.")
flags.DEFINE_integer("length", 5, "Steps of an episode.")
flags.DEFINE_integer("eval_length", 5, "The same of the environment that is evaluated on.")
flags.DEFINE_string("pids", None, "Directory for the numbers of the processes that environments are in.")
flags.DEFINE_string("once", None, "File that tells that it has happened.")
cli.set_defaults(train_timesteps=10**9, num_envs=2, first_update=8, batch_size=4, jit="off", check_env=False, progress=False)


def main(_: Sequence[str]) -> Any:
    args = cli.FLAGS
    params = cli.read_hyper_parameters(args.model_dir)
    agent = Agent(q_model_fn(), cli.memory(params), args.model_dir, cli.run_config(params), params)
    common: dict[str, Any] = {"deed": args.deed, "pids": args.pids, "once": args.once}
    if args.env_backend == "async":
        limits = {"timeout": args.env_timeout, "restarts": args.env_restarts}
        common |= {"vectorization_mode": "async", "owner": os.getpid(), **limits}
    env = GymEnvironment(FaultyEnv, params["num_envs"], at=args.at, lengths=(args.length,), **common)
    eval_env = GymEnvironment(FaultyEnv, at=args.eval_at, lengths=(args.eval_length,), **common)
    experiment = cli.rl_experiment(agent, env, eval_env)
    return getattr(experiment, args.mode if args.mode == "train" else "train_and_evaluate")()


if __name__ == "__main__":
    cli.run(main)
