"""The environment."""

from __future__ import annotations

from absl import flags

from polyrl.flags.choice import defined_in

flags.DEFINE_string(
    "env",
    "CartPole-v1",
    "Id of the environment; of an Atari game as in ALE/MsPacman-v5. Your own: module:Id-v0 for an id that the module "
    "registers, module:function for a class or function that makes one.",
)
flags.DEFINE_list("wrappers", [], "What the environment is wrapped in, the innermost first: minigrid.wrappers:ImgObsWrapper.")

PARAMETERS = defined_in(__name__)
"""The flags here: all are hyper-parameters."""
