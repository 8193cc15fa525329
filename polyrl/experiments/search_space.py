"""What a sweep searches: `learning_rate=1e-4..1e-2:log`, `n_step=1,3,5`, `optimizer.beta_1=0.8..0.99`."""

from __future__ import annotations

import ast
import dataclasses
import re
from typing import Any

from polyrl.configs.base import known_configs
from polyrl.envs.backends import import_package
from polyrl.experiments.settings import PARTS
from polyrl.flags import FLAGS, other_names
from polyrl.flags.config import NOT_CONFIGURED
from polyrl.flags.value_errors import in_words
from polyrl.validation import suggestion

FORM = "LOW..HIGH, with :log for a logarithmic scale"
RANGE = re.compile(r"(?P<low>[^:]+?)\.\.(?P<high>[^:]+?)(?P<log>:log)?")


def search_space(entries: list[str]) -> dict[str, Any]:
    """optuna's distributions by the names that are searched: flags that the program has defined, and fields of parts.

    Raises:
        ValueError: for an entry that cannot be read, a name that is no flag, or a value that the flag does not take.
    """
    optuna = import_package("optuna", "A sweep", "tune", "scripts/benchmarks/learning.py for single settings")
    made = optuna.distributions
    found: dict[str, Any] = {}
    for entry in entries:
        name, equals, values = entry.partition("=")
        if not equals or not values:
            raise ValueError(f"--search {entry}: expected NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=A,B,C.")
        if name in found:
            raise ValueError(f"--search {entry}: {name} is there twice.")
        _check_name(entry, name)
        ranged = RANGE.fullmatch(values)
        if ranged is None and ".." in values:
            raise ValueError(f"--search {entry}: expected {FORM}.")
        if ranged is None:
            choices = [_read(value) for value in values.split(",")]
            if len(set(choices)) < 2:
                raise ValueError(f"--search {entry}: there is nothing to choose; give different values, or {FORM}.")
            ends, found[name] = choices, made.CategoricalDistribution(choices)
        else:
            low, high = ends = [_read(ranged[end]) for end in ("low", "high")]
            if not all(isinstance(end, (int, float)) for end in ends) or low >= high:
                raise ValueError(f"--search {entry}: expected two numbers, the smaller one first.")
            log = ranged["log"] is not None
            if log and low <= 0:
                raise ValueError(f"--search {entry}: a logarithmic scale needs numbers above 0.")
            integers = all(isinstance(end, int) for end in ends) and not _is_float(name)
            kind = made.IntDistribution if integers else made.FloatDistribution
            found[name] = kind(low, high, log=log)
        _check_values(entry, name, ends)
    return found


def _check_name(entry: str, name: str) -> None:
    part, _, field = name.partition(".")
    if part in PARTS and field:
        fields = {field.name for kind in known_configs(PARTS[part]) for field in dataclasses.fields(kind)}
        if field.partition(".")[0] not in fields:
            hint = suggestion(field, fields) or f" They have {', '.join(sorted(fields))}."
            raise ValueError(f"--search {entry}: no {part} has a field {field!r}.{hint}")
        return
    if part in PARTS or (name in FLAGS and name not in (*NOT_CONFIGURED, "set")):
        return
    known = [*PARTS, *(known for known in FLAGS if known not in NOT_CONFIGURED)]
    meant = other_names.hint(other_names.FLAGS, name) or suggestion(name, known)
    raise ValueError(f"--search {entry}: {name!r} is no flag that a run has, and no part of a model.{meant}")


def _check_values(entry: str, name: str, values: list[Any]) -> None:
    if name in PARTS:
        kinds = {kind.IDENTIFIER for kind in known_configs(PARTS[name])}
        for value in values:
            if value not in kinds:
                hint = suggestion(str(value), kinds) or f" Known: {', '.join(sorted(kinds))}."
                raise ValueError(f"--search {entry}: {value!r} is no {name}.{hint}")
    if name not in FLAGS:
        return
    for value in values:
        try:
            FLAGS[name].parser.parse(str(value))
        except (ValueError, TypeError) as error:
            raise ValueError(f"--search {entry}: --{name}={value}: {in_words(str(error))}") from None


def _is_float(name: str) -> bool:
    return name in FLAGS and FLAGS[name].flag_type() == "float"


def _read(text: str) -> Any:
    """A number, or the text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if type(value) in (int, float) else text


def as_flags(params: dict[str, Any]) -> list[str]:
    """The flags of a run with these values."""
    return [f"--{name}={value}" if name in FLAGS else f"--set={name}={value}" for name, value in params.items()]
