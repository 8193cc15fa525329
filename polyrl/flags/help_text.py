"""The text of `--help`: every flag of polyrl and of the program, in groups."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from absl import flags

from polyrl.flags.positive import Positive

WIDTH = 100
_ABSL = "repeat this option to specify a list of values"
"""What absl adds to flags that may be repeated; their own text says it."""
ORDER = (
    "run",
    "seeds",
    "warm_start",
    "config",
    "environment",
    "games",
    "atari",
    "model",
    "torso",
    "memory",
    "learning",
    "demonstrations",
)
"""The modules whose flags come first; the others follow."""

HELP = ("--help", "-help", "-h", "--helpshort", "--helpfull")
INSTALLED = {"site-packages", "dist-packages"}
"""Directories that hold what is installed."""


def is_asked_for(arguments: Iterable[str]) -> bool:
    """Whether a command line asks for help; what comes after `--` is no flag."""
    before = list(arguments)
    before = before[: before.index("--")] if "--" in before else before
    return any(argument in HELP for argument in before)


def help_text(description: str, package: str = "__main__") -> str:
    """A paragraph for each flag, in groups: the program's own first, then the modules of polyrl by their titles.

    Flags of the libraries beneath are left out: of what is installed, but for the program's own package.

    Args:
        description: what the program is.
        package: of the program, which may be installed as its libraries are.
    """
    modules = flags.FLAGS.flags_by_module_dict()
    own = sorted((name for name in modules if _is_own(name, package)), key=lambda name: name in sys.modules)
    shared = sorted((name for name in modules if name.startswith("polyrl.")), key=_place)
    groups = [(_title_of_own(name), name) for name in own] + [(_title(name), name) for name in shared]
    texts = [f"{title}\n\n" + "\n".join(_paragraph(flag) for flag in modules[name]) for title, name in groups]
    paragraphs = [textwrap.fill(" ".join(paragraph.split()), WIDTH) for paragraph in description.split("\n\n")]
    return "\n\n".join([*paragraphs, *texts]).strip() + "\n"


def _is_own(module: str, package: str) -> bool:
    """Whether flags are of the program: absl calls the module of `__main__` by the path that it was started with."""
    if module.startswith("polyrl."):
        return False
    if module not in sys.modules or module.partition(".")[0] == package:
        return True
    file = getattr(sys.modules[module], "__file__", None)
    return file is not None and not INSTALLED & {*Path(file).parts}


def _title_of_own(module: str) -> str:
    return f"The module {module}" if module in sys.modules else "This program"


def _place(module: str) -> int:
    name = module.rpartition(".")[2]
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _title(module: str) -> str:
    return (sys.modules[module].__doc__ or module).splitlines()[0].rstrip(".")


def _paragraph(flag: Any) -> str:
    """`--name=<kind> (default)` and the text below it."""
    values = getattr(flag.parser, "enum_values", None)
    kind = "|".join(values) if values else _kind(flag)
    if len(kind) > WIDTH - 30:
        kind = kind.replace("|", " | ")
    head = f"  --[no]{flag.name}" if flag.boolean else f"  --{flag.name}={kind}"
    default = "" if flag.default is None else f"  (default: {_default(flag)})"
    text = (flag.help.split(">: ", 1)[1] if values else flag.help).removesuffix(_ABSL).rstrip("; \n")
    head = textwrap.fill(head + default, WIDTH, subsequent_indent=" " * 8, break_on_hyphens=False)
    bounds = _bounds(flag.parser)
    return f"{head}\n" + textwrap.fill(text + bounds, WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)


def _default(flag: Any) -> str:
    return "none" if flag.default == [] else flag.default_as_str.strip("'") or "none"


def _kind(flag: Any) -> str:
    return {"int": "<integer>", "float": "<number>"}.get(
        flag.flag_type(), "<a,b,...>" if "list" in flag.flag_type() else "<text>"
    )


def _bounds(parser: Any) -> str:
    """What numbers are allowed, if not all are."""
    low, high = (getattr(parser, name, None) for name in ("lower_bound", "upper_bound"))
    if low is None and high is None:
        return ""
    if isinstance(parser, Positive):
        return " Above 0." if high is None else f" Above 0, at most {high:g}."
    if low is None or high is None:
        return f" At least {low:g}." if high is None else f" At most {high:g}."
    return f" From {low:g} to {high:g}."
