"""`Shared`: what all models of one name in a scope were given alike, as their networks are made once."""

from __future__ import annotations

import inspect
import json
from typing import Any, NamedTuple, TypeVar

import numpy as np

from polyrl.configs.base import Config
from polyrl.models.same_function import function_difference, values_difference

M = TypeVar("M", bound="KeepsArguments")

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
    "target_update_timesteps",
    "target_update_tau",
    "use_expert_demo",
    "expert_margin",
    "expert_weight",
    "double",
    "reward_scale",
    "clip_rewards",
    "burn_in",
    "kappa",
    "entropy_temperature",
    "munchausen_scale",
    "log_policy_minimum",
    "summaries",
    "clip_gradients",
    "clip_embed_gradients",
    "temperature",
    "risk_level",
)
"""Arguments in which models of one name may differ: each goes by its own. The networks are made from the others, and the
optimizer from the `optimizer_config` of the first one that learns, which must be that of all that do.
"""

OF_THE_WEIGHTS = (
    *("num_states", "num_actions", "dueling", "action_low", "action_high"),
    *("num_atoms", "min_q_value", "max_q_value", "num_quantiles"),
)
"""Arguments that give trained weights their meaning: with others the same weights are another policy."""

SHOWN = ("mode", "graph_fn", "name", "summaries", "eval_metrics_config", "temperature", "risk_level")
"""Arguments that change nothing of what is learned, and the graph function."""


class KeepsArguments:
    """Keeps the arguments that the constructor of a subclass is given, by name."""

    _given: dict[str, Any]

    def __new__(cls: type[M], *args: Any, **kwargs: Any) -> M:
        made = super().__new__(cls)
        made._given = _bound(cls.__init__, args, kwargs)
        return made

    def described(self) -> dict[str, Any]:
        """The class, and the arguments that decide what is learned, as JSON has them; without functions and other objects."""
        given = {name: _plain(getattr(self, name, value)) for name, value in self._given.items() if name not in SHOWN}
        found = {name: value.described() if isinstance(value, Config) else value for name, value in given.items()}
        plain = {name: json.loads(json.dumps(value)) for name, value in found.items() if _is_json(value)}
        return {"class": type(self).__name__, **plain}


class Shared(NamedTuple):
    """What models of one name share: the arguments of their constructor, except `OWN`, as they were understood; `graph_fn`."""

    graph_fn: Any
    arguments: dict[str, Any]

    @classmethod
    def of(cls, model: Any) -> Shared:
        """What a model, which `KeepsArguments`, shares."""
        # What a constructor of a base class was given stands in the attributes of its arguments' names.
        constructors = [vars(kind)["__init__"] for kind in type(model).__mro__[:-1] if "__init__" in vars(kind)]
        base = {name for constructor in constructors for name in inspect.signature(constructor).parameters}
        given = {name: None for name in base if hasattr(model, name)} | model._given
        # As the constructor understood it, where it keeps it under the same name: `num_states=4` is `(4,)`.
        kept = {name: _plain(getattr(model, name, value)) for name, value in given.items() if name not in OWN}
        return cls(model.graph_fn, kept)

    def of_the_weights(self) -> dict[str, Any]:
        """Those of `OF_THE_WEIGHTS`, as `KeepsArguments.described` has them."""
        return {name: json.loads(json.dumps(self.arguments[name])) for name in OF_THE_WEIGHTS if name in self.arguments}

    def check(self, other: Shared, name: str) -> None:
        """Refuses a further model of this name that was given something else: its networks are made already.

        Raises:
            ValueError: names the arguments that differ, with both values, or says in what the graph functions differ.
        """
        exists = f"A model name={name!r} with"
        first, own = self.arguments, other.arguments
        each = (values_difference({key: first[key]}, {key: own.get(key)}) for key in sorted(first))
        differences = [text.removeprefix("its ") for text in each if text is not None]
        if differences:
            raise ValueError(
                f"{exists} other arguments exists in this scope: {'; '.join(differences)}. Use the same arguments, or another "
                "name."
            )
        difference = function_difference(self.graph_fn, other.graph_fn)
        if difference is not None:
            raise ValueError(
                f"{exists} another graph_fn exists in this scope: {difference}. Its networks are built once: use the same "
                "function in every call and mode (its own argument `mode` says which mode it is), or another name."
            )


def _bound(constructor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call of a constructor by name, those left out with their defaults; nothing if it cannot be called so.

    Those that it takes by `**` count by their own names.
    """
    signature = inspect.signature(constructor)
    try:
        # Partial: a constructor that hands on the rest may give its parent's required ones itself.
        bound = signature.bind_partial(None, *args, **kwargs)
    except TypeError:  # The constructor itself says so better.
        return {}
    bound.apply_defaults()
    _, *named = bound.arguments.items()  # The first is `self`.
    given = dict(named)
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            given |= given.pop(name)
    return given


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
