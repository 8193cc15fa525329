"""Tables on stdout: text is shown as it is, and outside of a terminal no word of it is broken."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

WIDTH = 200
"""Of what goes to a file or a pipe; a table with longer words is wider."""


def show(table: Table, title: str | None = None, wrap_title: bool = False) -> None:
    """Prints a title in one line, and the table below it: as wide as the terminal, or as its words need.

    What has brackets or colons, as a path may, is no markup of Rich's, and no emoji. With `wrap_title` a
    terminal shows the title in as many lines as it takes; a path in it could not be copied then.
    """
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else WIDTH, markup=False, emoji=False)
    if title is not None:
        console.print(title, soft_wrap=not (terminal and wrap_title), highlight=False)
    if not terminal:
        for column in table.columns:
            words = (word for cell in (column.header, *column.cells) for word in str(cell).split())
            column.min_width = max([column.min_width or 0, *map(len, words)])
    console.print(table, crop=terminal)
