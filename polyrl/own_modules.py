"""What `'module:name'` names: an environment, a wrapper or a network in a module of the user's own."""

from __future__ import annotations

import importlib
import os
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from polyrl.paths import INSTALLED
from polyrl.validation import sentence, suggestion

_OTHERS = (Path(__file__).parent, Path(sysconfig.get_path("stdlib")))
"""Directories of code that is not the user's: polyrl's, and Python's, in which what is installed may be."""


def import_own(argument: str, value: str) -> ModuleType:
    """Imports the module of `value`, which is `'module:name'`.

    Raises:
        ValueError: if it cannot be imported, whatever the reason; it names the argument and the value, where the module was
            looked for, or the line that failed.
    """
    module, _, name = value.rpartition(":")
    try:
        return importlib.import_module(module)
    except ImportError as error:
        dotted = module.removesuffix(".py").strip("./").replace("/", ".")
        path = f" A module is named as in an import: {dotted}:{name}." if dotted != module else ""
        if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0] and not path:
            here = [file.stem for file in Path().glob("*.py")]
            path = f" It is looked for in the working directory, {os.getcwd()}, and where PYTHONPATH says."
            path += suggestion(error.name, here)
        cause: Exception = error
        why = f"{sentence(error)}{path}"
    except Exception as error:
        place = own_line(error)
        file, line = (error.filename, error.lineno) if isinstance(error, SyntaxError) else (place.filename, place.lineno)
        cause = error
        why = f"{type(error).__name__} in {file}, line {line}: {getattr(error, 'msg', error)}."
    raise ValueError(f"{argument}={value!r}: the module {module!r} cannot be imported: {why}") from cause


def import_name(argument: str, value: str) -> Any:
    """What `value`, which is `'module:name'`, names.

    Raises:
        ValueError: as `import_own`, or if the module has no such name, with the nearest one.
    """
    imported = import_own(argument, value)
    module, _, name = value.rpartition(":")
    if not hasattr(imported, name):
        hint = suggestion(name, [other for other in vars(imported) if not other.startswith("_")])
        raise ValueError(f"{argument}={value!r}: the module {module!r} has no {name!r}.{hint}")
    return getattr(imported, name)


def own_line(error: BaseException) -> traceback.FrameSummary:
    """Where an error comes from: the last line that is neither of a library nor of polyrl, if there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_of_others(Path(frame.filename))]
    return (own or frames)[-1]


def own_place(error: BaseException) -> str:
    """`', in FILE, line N'` of the last line that is neither of a library nor of polyrl; empty without one."""
    place = own_line(error)
    return "" if _is_of_others(Path(place.filename)) else f", in {place.filename}, line {place.lineno}"


def _is_of_others(path: Path) -> bool:
    return bool({*path.parts} & INSTALLED) or any(other in path.parents for other in _OTHERS) or path.name.startswith("<")
