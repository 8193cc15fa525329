"""The text of `--help`: every flag of polyrl and of the program, in groups."""

from __future__ import annotations

import itertools
import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from absl import flags

from polyrl.flags.other_names import FLAGS as ELSEWHERE
from polyrl.flags.other_names import hint
from polyrl.flags.positive import Positive
from polyrl.paths import INSTALLED
from polyrl.validation import suggestion

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
    "distributed",
    "demonstrations",
)
"""The modules whose flags come first; the others follow."""

HELP = ("--help", "-help", "-h", "--helpshort", "--helpfull")


def show(arguments: Iterable[str], description: str, package: str = "__main__") -> bool:
    """Prints the help, if a command line asks for it: all by `--help`, by `--help=WORD` the flags that have the word.

    Args:
        arguments: of the command line; what comes after `--` is no flag.
        description: see `help_text`.
        package: see `help_text`.

    Raises:
        SystemExit: if no flag has the word; the message has the nearest one that some have.
    """
    before = list(itertools.takewhile(lambda argument: argument != "--", arguments))
    asked = [argument.partition("=") for argument in before if argument.partition("=")[0] in HELP]
    if not asked:
        return False
    name, _, word = asked[0]
    following = before[before.index(name) + 1 :] if name in before and not word else []
    if following and not following[0].startswith("-"):  # As `--help seed`.
        word = following[0]
    word = word.strip().lstrip("-").replace("-", "_").lower()
    if not word:
        print(help_text(description, package), end="")
        return True
    found = _groups(package, word)
    if not found:
        sys.exit(f"No flag has {word!r} in its name or its help.{_nearest(word, package)} --help shows all flags.")
    print(f"Flags that have {word!r} in their name or their help:", *found, sep="\n\n")
    return True


def help_text(description: str, package: str = "__main__") -> str:
    """A paragraph for each flag, in groups: the program's own first, then the modules of polyrl by their titles.

    Flags of the libraries beneath are left out: of what is installed, but for the program's own package.

    Args:
        description: what the program is.
        package: of the program, which may be installed as its libraries are.
    """
    paragraphs = [textwrap.fill(" ".join(paragraph.split()), WIDTH) for paragraph in description.split("\n\n")]
    return "\n\n".join([*paragraphs, *_groups(package)]).strip() + "\n"


def _groups(package: str, word: str = "") -> list[str]:
    """The titles of modules with a paragraph for each of their flags that has the word, as far as any has."""
    groups = [(title, [_paragraph(flag) for flag in found if _has(flag, word)]) for title, found in _defined(package)]
    return [f"{title}\n\n" + "\n".join(paragraphs) for title, paragraphs in groups if paragraphs]


def _defined(package: str) -> list[tuple[str, list[Any]]]:
    """Titles and flags of the modules of the program and of polyrl."""
    modules = flags.FLAGS.flags_by_module_dict()
    own = sorted((name for name in modules if _is_own(name, package)), key=lambda name: name in sys.modules)
    shared = sorted((name for name in modules if name.startswith("polyrl.")), key=_place)
    return [(_title_of_own(name), modules[name]) for name in own] + [(_title(name), modules[name]) for name in shared]


def _has(flag: Any, word: str) -> bool:
    """Whether the word, or each of several, is in a flag's name or begins a word of its help: `lr` is no part of `already`."""
    return all(each in flag.name or any(part.startswith(each) for part in _words(flag)) for each in word.split())


def _words(flag: Any) -> list[str]:
    """The words of a flag's help, also those within names."""
    return re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)*", flag.help.lower()) + re.findall(r"[a-z0-9]+", flag.help.lower())


def _nearest(word: str, package: str) -> str:
    """What is meant by a word that no flag has: a name that other libraries use, or the most similar word."""
    found = [flag for _, group in _defined(package) for flag in group]
    names = [part for flag in found for part in (flag.name, *flag.name.split("_")) if len(part) > 3]
    others = [text for flag in found for text in _words(flag) if len(text) > 3]
    if " " in word:
        return ""
    return hint(ELSEWHERE, word) or suggestion(word, names) or suggestion(word, others)


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
