"""`parse`: reads a command line into the flags; what is wrong with it is one line, and the end of the program."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Sequence

from absl import app, flags

from polyrl.flags import FLAGS, other_names
from polyrl.flags.value_errors import in_words


def parse(arguments: Sequence[str], check: Callable[[], None] | None = None) -> list[str]:
    """Parses the flags, and returns the program's name; ends the program with one message if they are wrong.

    To be called once: what flags that may be repeated have would be there twice.

    Args:
        arguments: the command line, the program's name first.
        check: is called with the flags parsed, and raises a ValueError for what is wrong with them; not with `--debug`, which
            shows where an error comes from.
    """
    app.define_help_flags()
    try:
        rest = FLAGS(arguments)
    except flags.Error as error:
        is_unknown, is_meant = isinstance(error, flags.UnrecognizedFlagError), "Did you mean" in str(error)
        tip = other_names.hint(other_names.FLAGS, error.flagname, near=not is_meant) if is_unknown else ""
        if is_unknown and _is_of_the_command(error.flagname):
            tip = " It is a flag of the command polyrl; this program decides that itself."
        text = str(error).partition(". Did you mean")[0] if tip else in_words(str(error))
        _end(f"{text}{'' if text.endswith(('.', '?')) else '.'}{tip} --help shows all flags.")
    if len(rest) > 1:
        _end(f"Unknown arguments: {' '.join(rest[1:])}.{meant(rest[1:])} Flags begin with --; --help shows all.")
    if check is not None and not FLAGS.debug:
        try:
            check()
        except ValueError as error:
            _end(f"{type(error).__name__}: {error}")
    return rest


def _is_of_the_command(name: str) -> bool:
    """Whether a flag that this program does not have is one of the command; to be asked before the program ends."""
    with contextlib.suppress(flags.Error):  # The program may have defined one by the same name.
        importlib.import_module("polyrl.flags.command")  # It defines them.
    return name in FLAGS


def meant(arguments: Sequence[str]) -> str:
    """What the first of some arguments that are no flags may have been meant to be, as a sentence, or nothing."""
    if FLAGS["mode"].value == "compare":
        return f" Directories of runs are --runs={','.join(arguments)}."
    for each in arguments:
        if "=" in each:
            flag = "" if each.partition("=")[0] in FLAGS else "set="
            return f" A setting is --{flag}{each}{', and the flag is repeated for each' if flag else ''}."
        if ":" in each or "-v" in each:
            return f" An environment is --env={each}."
    return ""


def _end(text: str) -> None:
    print(text, file=sys.stderr)
    sys.exit(1)
