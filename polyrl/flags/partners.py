"""Flags that have an effect only together with another one: the table, and the check that refuses them without it.

Only flags that are given on the command line are refused, not defaults, nor values that a trained `model_dir` brings back.
Hyper-parameters, budgets, cadences and the sizes of evaluations are accepted in every mode, so that a command can be
reused with another `--mode`. Refused are flags that say what to act with, where to stop or what to write, in a mode that does
not do so: whoever gives them expects an effect.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from absl import flags

from polyrl.validation import suggestion

FLAGS = flags.FLAGS

GIVEN: Final = object()
"""In place of a partner's value: any, as long as there is one."""


MANY = 6
"""More values than these are not listed."""


class Need(NamedTuple):
    """What a flag needs: one of the accepted values of each partner. With `unused_because` it never has an effect."""

    partners: Mapping[str, tuple[Any, ...]]
    off: Any = None
    unused_because: str | None = None


_NEEDS: dict[str, Need] = {}
"""By flag; filled where modules are imported, as absl's flags are."""


def needs(*names: str, off: Any = None, **partners: Any) -> None:
    """Declares that flags have an effect only together with others; replaces what was declared for them before.

        needs("exploration_start", "exploration_timesteps", noise="gaussian")

    Args:
        names: the flags, all of them defined before this call.
        off: the value that switches such a flag off, and so needs nothing.
        **partners: for each partner the value it must have, or a tuple of values one of which it must have, or `GIVEN`: any
            but None. All partners are needed. A flag without partners needs nothing.

    Raises:
        ValueError: if a flag or a partner is not defined.
    """
    _check_defined(*names, *partners)
    accepted = {name: value if isinstance(value, tuple) else (value,) for name, value in partners.items()}
    _NEEDS.update(dict.fromkeys(names, Need(accepted, off)))


def unused(*names: str, because: str) -> None:
    """Declares that a program does not use these flags, and why: they are refused whenever they are given.

    Raises:
        ValueError: if a flag is not defined.
    """
    _check_defined(*names)
    _NEEDS.update(dict.fromkeys(names, Need({}, unused_because=because)))


def check_given(values: Mapping[str, Any], only: Collection[str] | None = None) -> None:
    """Refuses each flag of the command line that has no effect with the others.

    Args:
        values: the hyper-parameters as they will be used; they count in place of the flags of the same names.
        only: refuses for the sake of these partners alone, as the others are not settled yet; None: of all.

    Raises:
        ValueError: with a line for each such flag: its value, what makes it useless, and what would make it useful.
    """
    names = [name for name, need in _NEEDS.items() if only is None or need.partners.keys() <= {*only}]
    lines = [refusal for name in names if FLAGS[name].present and (refusal := _refusal(name, values)) is not None]
    if lines:
        raise ValueError("\n".join(lines))


def _refusal(name: str, values: Mapping[str, Any]) -> str | None:
    """Why a flag has no effect; None if it has one."""
    need, value = _NEEDS[name], FLAGS[name].value
    if need.unused_because is not None:
        return f"{_spelled(name, value)} has no effect: {need.unused_because}. Leave it out."
    if need.off is not None and value == need.off:
        return None
    found = {partner: values[partner] if partner in values else FLAGS[partner].value for partner in need.partners}
    missing = [partner for partner, accepted in need.partners.items() if not _accepts(accepted, found[partner])]
    if not missing:
        return None
    state = " and ".join(_state(partner, found[partner]) for partner in missing)
    remedy = " and ".join(_wanted(partner, need.partners[partner]) for partner in missing)
    return f"{_spelled(name, value)} has no effect {state}: it needs {remedy}. Use that, or leave --{name} out."


def _accepts(accepted: tuple[Any, ...], value: Any) -> bool:
    return value in accepted or (GIVEN in accepted and value is not None)


def _state(name: str, value: Any) -> str:
    """How a message describes a flag's value, as `with --mode=train` or `without --demos`."""
    if value is None or value is False:
        return f"without --{name}"
    return f"with {_spelled(name, value)}"


def _spelled(name: str, value: Any) -> str:
    """The flag as it is written on a command line."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={value}"


def _wanted(name: str, accepted: tuple[Any, ...]) -> str:
    """`--demos`, `no --demos`, `--mode=eval or --mode=infer`."""
    if GIVEN in accepted:
        return f"--{name}"
    if accepted == (None,):
        return f"no --{name}"
    if len(accepted) > MANY:
        return f"another --{name}"
    return " or ".join(_spelled(name, value) for value in accepted)


def _check_defined(*names: str) -> None:
    for name in names:
        if name not in FLAGS:
            raise ValueError(f"There is no flag --{name}; define it before it is declared.{suggestion(name, list(FLAGS))}")
