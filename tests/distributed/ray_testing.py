"""The processes of Ray, as the system lists them."""

from __future__ import annotations

from pathlib import Path


def processes(kind: str) -> list[int]:
    """The ids of those that hold an object of this class."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            title = (directory / "cmdline").read_text()
        except OSError:
            continue
        if title.startswith(f"ray::{kind}"):
            found.append(int(directory.name))
    return sorted(found)


def descendants(ancestor: int, name: str) -> list[int]:
    """The ids of the processes of that name that a process has started, or one of those that it started."""
    parents, names = {}, {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            status = (directory / "stat").read_text()
        except OSError:
            continue
        names[int(directory.name)] = status[status.index("(") + 1 : status.rindex(")")]
        parents[int(directory.name)] = int(status[status.rindex(")") + 2 :].split()[1])

    def line(process: int) -> list[int]:
        found = [process]
        while parents.get(found[-1], 0) > 0:
            found.append(parents[found[-1]])
        return found

    return sorted(process for process, title in names.items() if title == name and ancestor in line(process))
