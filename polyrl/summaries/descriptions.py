"""What each panel shows, for TensorBoard and for docs/tensorboard.md."""

from __future__ import annotations

from typing import Final

DESCRIPTIONS: Final = {
    "rollout/ep_rew_mean": "mean return (sum of rewards) of the last 100 training episodes",
    "rollout/ep_rew_min": "the smallest of them",
    "rollout/ep_rew_max": "the largest of them",
    "rollout/ep_len_mean": "their mean length, in environment steps",
    "rollout/exploration_rate": "epsilon, standard deviation of the noise, or temperature; see exploration",
    "train/loss": "mean loss since the last write",
    "train/expert_loss": "with `use_expert_demo`: mean large-margin loss, weighted, of the demonstrations in the last batch",
    "pretrain/loss": "mean loss of each 100 updates of pre-training; here the x-axis is `global_step` (gradient updates)",
    "train/td_error": "mean absolute TD error of the last batch; C51: of the expected values",
    "train/td_error_distribution": "histogram of the signed TD error: target minus prediction",
    "train/q_mean": "mean action value of the last batch, over states and (legal) actions",
    "train/q_max": "the largest action value; it should level off near the largest possible discounted return",
    "train/target_mean": "mean bootstrap target of the last batch",
    "train/clipped_mass": "C51: the share of the targets' mass beyond the support, which is moved to its ends; above some "
    "hundredths for long, choose another support",
    "train/return_distribution": "C51: the mean return distribution of the actions in the last batch",
    "train/learning_rate": "the optimizer's learning rate at this step of its schedule",
    "train/grad_norm": "global norm of the gradients before clipping",
    "train/grad_norm_clipped": "after clipping",
    "gradients/<variable>": "histogram of each variable's gradient, after clipping",
    "variables/<variable>": "histogram of each variable of the online network",
    "activations/<layer>": "histogram of the output of each layer with weights on the last batch; of several "
    "`<layer>/0`, `<layer>/1`, ...",
    "activations/<layer>/zero_fraction": "share of zeros in that output, of layers that can be zero, as with ReLU: near "
    "1 the layer is dead",
    "input/state": "the newest channel of the first images of the last batch",
    "train/n_updates": "gradient updates done (`global_step`)",
    "time/fps": "environment steps per second since the last write, of training alone",
    "time/updates_per_sec": "gradient updates per second since the last write, of training alone",
    "time/episodes": "episodes ended (`global_episode`)",
    "time/time_elapsed": "seconds since this process started training",
    "replay/size": "transitions in the replay memory",
    "eval/mean_reward": "mean return over the episodes of an evaluation",
    "eval/std_reward": "their standard deviation",
    "eval/min_reward": "the smallest",
    "eval/max_reward": "the largest",
    "eval/mean_ep_length": "their mean length, in environment steps",
    "eval/loss": "mean loss of the model over the steps of the evaluation",
    "eval/return_distribution": "C51: the return distributions of the best actions in the first states of an evaluation, over "
    "the support; the red line is the mean",
    "eval/<metric>": "each metric of the model's `eval_metrics_config`",
    "eval/video": "with `--record_frequency` or a `VideoHook`: a greedy episode, animated",
}
"""By tag; `<...>` stands for a name."""


def description(tag: str) -> str | None:
    """What the panel of a tag shows; None for a tag that is not polyrl's."""
    if tag in DESCRIPTIONS:
        return DESCRIPTIONS[tag]
    group = tag.partition("/")[0]
    zeros = "activations/<layer>/zero_fraction"
    names = {
        "gradients": "gradients/<variable>",
        "variables": "variables/<variable>",
        "activations": zeros if tag.endswith("/zero_fraction") else "activations/<layer>",
        "eval": "eval/<metric>",
    }
    return DESCRIPTIONS.get(names.get(group, ""))
