"""Flags whose value is a list of sizes, one for each layer; anything else is refused with the flag's name."""

from __future__ import annotations

from typing import Any

from absl import flags

flags.disclaim_key_flags()  # A flag belongs to the module that calls `define_sizes`.


class _Sizes(flags.ListParser):
    def parse(self, argument: str | list[Any]) -> list[str]:
        parts = [str(part).strip() for part in super().parse(argument)]
        if not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise ValueError("expected integers of at least 1 with commas between them, one for each layer, as 64,64")
        return parts


def define_sizes(name: str, default: list[int], help_text: str) -> None:
    """Defines a flag whose value is a list of integers of at least 1, each as text; an empty one is allowed."""
    flags.DEFINE(_Sizes(), name, [str(size) for size in default], help_text, serializer=flags.CsvListSerializer(","))
