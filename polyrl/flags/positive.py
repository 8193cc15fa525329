"""Flags whose value is a number above 0; 0 itself is refused, as by what takes the number."""

from __future__ import annotations

from absl import flags

flags.disclaim_key_flags()  # A flag belongs to the module that calls `define_positive`.


class Positive(flags.FloatParser):
    """Numbers above 0, up to a bound if there is one."""

    def __init__(self, upper_bound: float | None = None):
        super().__init__(lower_bound=0.0, upper_bound=upper_bound)
        self.syntactic_help = "a number above 0" if upper_bound is None else f"a number above 0, at most {upper_bound:g}"

    def is_outside_bounds(self, val: float) -> bool:
        return val == 0.0 or super().is_outside_bounds(val)


def define_positive(name: str, default: float | None, help_text: str, upper_bound: float | None = None) -> None:
    """Defines a flag whose value is a number above 0, as `flags.DEFINE_float` does one of at least 0."""
    flags.DEFINE(Positive(upper_bound), name, default, help_text, serializer=flags.ArgumentSerializer())
