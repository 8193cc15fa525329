"""Tables on stdout: text is shown as it is and whole; no word of it is broken where that can be avoided."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

WIDTH = 200
"""Of what goes to a file or a pipe; a table with longer words is wider."""


def show(table: Table, title: str | None = None, wrap_title: bool = False) -> None:
    """Prints a title in one line, and the table below it: as wide as the terminal, or as its words need.

    What has brackets or colons, as a path may, is no markup of Rich's, and no emoji. In a terminal that is too narrow for its
    words the table breaks them, and cuts none. With `wrap_title` a terminal shows the title in as many lines as it takes; a
    path in it could not be copied then.
    """
    console, terminal = _console(), sys.stdout.isatty()
    if title is not None:
        console.print(title, soft_wrap=not (terminal and wrap_title), highlight=False)
    for column in table.columns:
        column.overflow = "fold"
        column.min_width = None if terminal else _widest(column, str.split)
    if terminal and (room := _room(table)) >= 0:
        for column in table.columns:
            least = _widest(column, str.split)
            column.width = min(least + room, _widest(column, str.splitlines))  # Rich would break words of one for another's.
            room -= column.width - least
    console.print(table, crop=terminal)


def note(text: str) -> None:
    """Prints lines as they are, below a table."""
    _console().print(text, highlight=False, soft_wrap=not sys.stdout.isatty())


def width() -> int:
    """How many columns of characters there are."""
    return _console().width


def fits(table: Table) -> bool:
    """Whether the table can be shown without a broken word. Outside of a terminal each can be."""
    return not sys.stdout.isatty() or _room(table) >= 0


def _room(table: Table) -> int:
    """How many columns of characters the terminal has beyond those that the table's words need; negative if it has too few."""
    console = _console()
    for column in table.columns:
        column.width = _widest(column, str.split)
    # Unbounded: within the width of the terminal nothing is wider than that.
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).minimum
    for column in table.columns:
        column.width = None
    return console.width - needed


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDTH, markup=False, emoji=False)


def _widest(column: Any, parts: Callable[[str], list[str]]) -> int:
    """The width of the widest word or line in a column of a table."""
    return max((cell_len(part) for cell in (column.header, *column.cells) for part in parts(str(cell))), default=1)
