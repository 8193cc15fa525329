"""What `--set` says of the parts of a model: `optimizer=rmsprop`, `optimizer.beta_1=0.95`, `loss.delta=2`."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from polyrl.configs import Config, ExplorationConfig, LossConfig, OptimizerConfig
from polyrl.flags import FLAGS
from polyrl.validation import suggestion

PARTS: dict[str, type[Config]] = {"optimizer": OptimizerConfig, "exploration": ExplorationConfig, "loss": LossConfig}
"""By the name in front of the dot. The model's argument has `_config` after it."""


def applied(entries: Sequence[str], parts: Mapping[str, Config | None]) -> dict[str, Config | None]:
    """The configs of the parts, by the same names, with what the entries say.

    Args:
        entries: `PART=IDENTIFIER` for another kind of config, which keeps the fields that it shares with the one before, or
            `PART.FIELD=VALUE`.
        parts: the configs as they are without; None where the model has no choice.

    Raises:
        ValueError: for a part, kind or field that does not exist; with the nearest name.
    """
    made = dict(parts)
    for entry in entries:
        name, _, value = entry.partition("=")
        part, *path = name.split(".")
        config = made.get(part)
        if config is None:
            known = [name for name, config in parts.items() if config is not None]
            hint = suggestion(part, [*known, *FLAGS])
            raise ValueError(f"--set={entry}: there is no {part!r} here; use the name of a flag, or one of {known}.{hint}")
        try:
            made[part] = _with_field(config, path, _read(value)) if path else _of_kind(PARTS[part], config, value)
        except (ValueError, TypeError) as error:
            raise ValueError(f"--set={entry}: {error}") from error
    return made


def _of_kind(base: type[Config], config: Config, identifier: str) -> Config:
    """The config of that identifier, with the values of the fields that both have."""
    values = config.to_dict()
    new = base.from_dict({"identifier": identifier}).to_dict()
    return base.from_dict({**new, **{name: value for name, value in values.items() if name in new}, "identifier": identifier})


def _with_field(config: Config, path: Sequence[str], value: Any) -> Config:
    values = config.to_dict()
    inner = values
    for name in path[:-1]:
        if not isinstance(inner.get(name), dict):
            raise ValueError(f"{name!r} has no fields.")
        inner = inner[name]
    inner[path[-1]] = value
    return type(config).from_dict(values)


def _read(value: str) -> Any:
    """A number, bool or tuple as Python writes it, else the text."""
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
