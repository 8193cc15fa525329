"""The environment."""

from __future__ import annotations

from typing import Any

from absl import flags

from polyrl.flags.choice import defined_in


class _Arguments(flags.ListParser):
    """`NAME=VALUE` with commas between them; anything else is refused with the flag's name."""

    def parse(self, argument: str | list[Any]) -> list[str]:
        given = [str(part).strip() for part in super().parse(argument)]
        names = [part.partition("=")[0] for part in given]
        if not all("=" in part and name.isidentifier() for part, name in zip(given, names, strict=True)):
            raise ValueError("expected NAME=VALUE, with commas between several, as map_name=8x8,is_slippery=False")
        if len(set(names)) < len(names):
            raise ValueError("a name is given twice")
        return given


flags.DEFINE_string(
    "env",
    "CartPole-v1",
    "Id of the environment; of an Atari game as in ALE/MsPacman-v5. Your own: module:Id-v0 for an id that the module "
    "registers, module:function for a class or function that makes one.",
)
flags.DEFINE_list("wrappers", [], "What the environment is wrapped in, the innermost first: minigrid.wrappers:ImgObsWrapper.")
flags.DEFINE(
    _Arguments(),
    "env_kwargs",
    [],
    "Arguments of the environment: map_name=8x8,is_slippery=False for FrozenLake-v1, max_episode_steps=400 for any id of "
    "gymnasium's, size=20 for DeepSea.",
    serializer=flags.CsvListSerializer(","),
)

PARAMETERS = defined_in(__name__)
"""The flags here: all are hyper-parameters."""
