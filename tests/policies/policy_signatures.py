"""The parameters of the public policy classes, and the names of the tests of policies, for tests that each has one."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from polyrl import policies


def test_names() -> set[str]:
    """`file.py::test` for each test of policies."""
    return {
        f"{file.name}::{name}"
        for file in Path(__file__).parent.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }


test_names.__test__ = False  # type: ignore[attr-defined]


def parameters() -> set[str]:
    """`Class.method.parameter` of each public class's public methods and constructor, under the class that defines them."""
    found = set()
    for public in (getattr(policies, name) for name in policies.__all__):
        classes = inspect.getmro(public) if inspect.isclass(public) else ()
        for owner in (each for each in classes if each.__module__.startswith("polyrl.")):
            for name, member in vars(owner).items():
                function = member.__func__ if isinstance(member, classmethod) else member
                if inspect.isfunction(function) and (name == "__init__" or not name.startswith("_")):
                    names = list(inspect.signature(function).parameters)[1:]
                    found |= {f"{owner.__name__}.{name}.{parameter}" for parameter in names}
        if inspect.isfunction(public):
            found |= {f"{public.__name__}.{parameter}" for parameter in inspect.signature(public).parameters}
    return found
