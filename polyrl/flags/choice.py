"""Flags whose value is one of some names; another one is refused with the nearest name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from absl import flags

from polyrl.flags.other_names import hint
from polyrl.validation import suggestion

flags.disclaim_key_flags()  # A flag belongs to the module that calls `define_choice`.


OWN = re.compile(r"[^:]+:\w+")
"""How something in a module of the user's own is named."""

NOWHERE: Mapping[str, str] = MappingProxyType({})


class _Choices(flags.EnumParser):
    def __init__(self, values: Sequence[str], elsewhere: Mapping[str, str], own: bool):
        super().__init__(list(values))
        self._elsewhere, self._own = elsewhere, own

    def parse(self, argument: str) -> str:
        if self._own and OWN.fullmatch(str(argument)):
            return str(argument)
        try:
            return super().parse(argument)
        except ValueError as error:
            tip = hint(self._elsewhere, str(argument)) or suggestion(str(argument), self.enum_values)
            raise ValueError(f"{error}.{tip}") from None


class _ChoiceFlag(flags.EnumFlag):
    def __init__(self, name: str, default: str | None, help_text: str, values: Sequence[str], parser: _Choices):
        super().__init__(name, default, help_text, list(values))
        self.parser = parser


def define_choice(
    name: str,
    default: str | None,
    values: Sequence[str],
    help_text: str,
    elsewhere: Mapping[str, str] = NOWHERE,
    own: bool = False,
) -> None:
    """Defines a flag with one of `values`, as `flags.DEFINE_enum` does.

    `elsewhere` says, of values that other libraries know, what to use; with `own` also `module:name` is one.
    """
    flags.DEFINE_flag(_ChoiceFlag(name, default, help_text, values, _Choices(values, elsewhere, own)))


def defined_in(module: str) -> tuple[str, ...]:
    """The names of the flags that a module has defined, in their order."""
    return tuple(flag.name for flag in flags.FLAGS.flags_by_module_dict()[module])
