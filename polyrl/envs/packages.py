"""Ids of optional packages, which gymnasium does not know before the package is imported: MinAtar and MiniGrid."""

from __future__ import annotations

from gymnasium.envs.registration import EnvSpec

from polyrl.envs import minatar
from polyrl.envs.backends import import_package
from polyrl.validation import suggestion

MINIGRID = ("MiniGrid-", "BabyAI-")
"""How the ids of the package `minigrid` begin, which registers them itself when it is imported."""


def import_for(env_id: str) -> EnvSpec | None:
    """Imports the package that an id belongs to, if it is of one known here; its spec, if gymnasium will not know it then.

    Raises:
        ValueError: if the package is not installed; says how to install it. Also for an id that MinAtar does not have.
    """
    if env_id.startswith(MINIGRID):
        import_package("minigrid", f"env_id={env_id!r}", "minigrid", "another environment")
        return None
    if not env_id.startswith(minatar.NAMESPACE):
        return None
    import_package("minatar", f"env_id={env_id!r}", "minatar", "another environment")
    specs = minatar.specs()
    if env_id not in specs:
        newest = ", ".join(name for name in specs if name.endswith("-v1"))
        raise ValueError(
            f"env_id={env_id!r} is not of MinAtar; use one of {newest}, or -v0 for all six actions.{suggestion(env_id, specs)}"
        )
    return specs[env_id]
