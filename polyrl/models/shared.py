"""`Shared`: what all models of one name in a scope were given alike, as their networks are made once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from polyrl.configs.base import Config
from polyrl.models.same_function import equal, function_difference

OWN = (
    "mode",
    "graph_fn",
    "loss_config",
    "optimizer_config",
    "eval_metrics_config",
    "discount",
    "exploration_config",
    "use_target_graph",
    "target_update_frequency",
    "target_update_tau",
    "expert_loss",
    "double",
    "summaries",
    "clip_gradients",
    "clip_embed_gradients",
    "temperature",
)
"""Arguments in which models of one name may differ. The networks are made from the others."""


class Shared(NamedTuple):
    """What models of one name share: `graph_fn`, and the public attributes that are plain values or configs, except `OWN`."""

    graph_fn: Any
    arguments: dict[str, Any]

    @classmethod
    def of(cls, model: Any) -> Shared:
        arguments = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(model).items()
            if not name.startswith("_") and name not in OWN and _is_plain(value)
        }
        return cls(model.graph_fn, arguments)

    def check(self, model: Any) -> None:
        """Refuses a further model that was given something else: its networks are made already.

        Raises:
            ValueError: names the arguments that differ, with both values, or says in what the graph functions differ.
        """
        exists = f"A model name={model.name!r} with"
        first, own = self.arguments, Shared.of(model).arguments
        names = [name for name in sorted({*own, *first}) if not equal(own.get(name), first.get(name))]
        differences = [f"{name} is {first.get(name)!r} there, {own.get(name)!r} here" for name in names]
        if differences:
            raise ValueError(
                f"{exists} other arguments exists in this scope: {'; '.join(differences)}. Use the same arguments, or another "
                "name."
            )
        difference = function_difference(self.graph_fn, model.graph_fn)
        if difference is not None:
            raise ValueError(
                f"{exists} another graph_fn exists in this scope: {difference}. Its networks are built once: use the same "
                "function in every call and mode (its own argument `mode` says which mode it is), or another name."
            )


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str, np.ndarray, Config))
