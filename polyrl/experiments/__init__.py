"""Experiments: what a script needs between its command line and the agent."""

from polyrl.experiments.rl_experiment import RLExperiment, run_experiment

__all__ = ["RLExperiment", "run_experiment"]
