"""Flags whose value is one of some names; another one is refused with the nearest name."""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from polyrl.validation import suggestion

flags.disclaim_key_flags()  # A flag belongs to the module that calls `define_choice`.


class _Choices(flags.EnumParser):
    def parse(self, argument: str) -> str:
        try:
            return super().parse(argument)
        except ValueError as error:
            raise ValueError(f"{error}.{suggestion(str(argument), self.enum_values)}") from None


class _ChoiceFlag(flags.EnumFlag):
    def __init__(self, name: str, default: str | None, help_text: str, values: Sequence[str]):
        super().__init__(name, default, help_text, list(values))
        self.parser = _Choices(list(values))


def define_choice(name: str, default: str | None, values: Sequence[str], help_text: str) -> None:
    """Defines a flag with one of `values`, as `flags.DEFINE_enum` does."""
    flags.DEFINE_flag(_ChoiceFlag(name, default, help_text, values))


def defined_in(module: str) -> tuple[str, ...]:
    """The names of the flags that a module has defined, in their order."""
    return tuple(flag.name for flag in flags.FLAGS.flags_by_module_dict()[module])
