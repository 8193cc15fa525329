"""What `--set` says of the parts of a model: `optimizer=rmsprop`, `optimizer.beta_1=0.95`, `loss.delta=2`."""

from __future__ import annotations

import ast
import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from polyrl.configs import Config, ExplorationConfig, LossConfig, OptimizerConfig
from polyrl.flags import FLAGS, other_names
from polyrl.flags.config import EQUIVALENT, OF_ALL_KINDS
from polyrl.validation import suggestion

PARTS: dict[str, type[Config]] = {"optimizer": OptimizerConfig, "exploration": ExplorationConfig, "loss": LossConfig}
"""By the name in front of the dot. The model's argument has `_config` after it."""


def applied(entries: Sequence[str], parts: Mapping[str, Config | None]) -> dict[str, Config | None]:
    """The configs of the parts, by the same names, with what the entries say.

    Args:
        entries: `PART=IDENTIFIER` for another kind of config, which keeps what all kinds have (learning rate, warm-up), or
            `PART.FIELD=VALUE`. What belongs to a part is checked together, and its kind counts first wherever it stands.
        parts: the configs as they are without; None where the model has no choice.

    Raises:
        ValueError: for a part, kind or field that does not exist; with the nearest name. Also for a field whose flag is on the
            command line, and for a second value of the same.
    """
    _check_once(entries)
    values = {part: config.to_dict() for part, config in parts.items() if config is not None}
    said: dict[str, list[str]] = {}
    for entry in sorted(entries, key=_depth):
        name, _, value = entry.partition("=")
        part, *path = name.split(".")
        if part not in values:
            if part in parts:
                raise ValueError(f"--set={entry}: this model has a {part} of its own, which has no settings here.")
            hint = other_names.hint(other_names.FLAGS, part) or suggestion(part, [*values, *FLAGS])
            raise ValueError(f"--set={entry}: there is no {part!r} here; use the name of a flag, or one of {[*values]}.{hint}")
        flag = EQUIVALENT.get(name)
        if flag is not None and FLAGS[flag].present:
            raise ValueError(f"--set={entry} and --{flag}={FLAGS[flag].value} set the same. Leave one of them out.")
        if not path and value != values[part].get("identifier"):
            _check_nothing_is_lost(part, entry)
        said.setdefault(part, []).append(f"--set={entry}")
        try:
            values[part] = _with_field(values[part], path, read(value)) if path else _of_kind(part, values[part], value)
        except (ValueError, TypeError) as error:
            raise ValueError(f"--set={entry}: {error}") from error
    made = dict(parts)
    for part, given in said.items():
        try:
            made[part] = PARTS[part].from_dict(values[part])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{' '.join(given)}: {error}") from error
    return made


def _check_nothing_is_lost(part: str, entry: str) -> None:
    """A ValueError for flags on the command line that set fields of the kind which this entry replaces."""
    fields = {name: flag for name, flag in EQUIVALENT.items() if name.startswith(f"{part}.") and name not in OF_ALL_KINDS}
    for name, flag in fields.items():
        if flag in FLAGS and FLAGS[flag].present:
            raise ValueError(
                f"--{flag}={FLAGS[flag].value} has no effect with --set={entry}. Leave it out; if that one has the field, say "
                f"--set={name}={FLAGS[flag].value}."
            )


def _depth(entry: str) -> int:
    """How many dots a name has: another kind of a part begins with its own fields, which come after it."""
    return entry.partition("=")[0].count(".")


def _check_once(entries: Sequence[str]) -> None:
    given: dict[str, str] = {}
    for entry in entries:
        name = entry.partition("=")[0]
        if given.setdefault(name, entry) != entry:
            raise ValueError(
                f"--set={entry}: --set={given[name]} is given too, which is another value. Leave one of them out."
            )


def _of_kind(part: str, values: Mapping[str, Any], identifier: str) -> dict[str, Any]:
    """The fields of the config of that identifier, with the values of those that all configs of the part have."""
    if identifier == values.get("identifier"):
        return dict(values)
    shared = {field.name for field in dataclasses.fields(PARTS[part])}
    new = PARTS[part].from_dict({"identifier": identifier}).to_dict()
    return {**new, **{name: value for name, value in values.items() if name in shared}, "identifier": identifier}


def _with_field(values: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(dict(values))
    inner = made
    for name in path[:-1]:
        if not isinstance(inner.get(name), dict):
            raise ValueError(f"{name!r} has no fields.")
        inner = inner[name]
    inner[path[-1]] = value
    return made


def read(value: str) -> Any:
    """A number, bool, None or tuple as Python writes it, true and false as flags have them, else the text."""
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
