"""Whole configurations."""

from __future__ import annotations

import json
import re
import runpy
import sys
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags

from polyrl import presets
from polyrl.flags import other_names
from polyrl.flags.choice import defined_in
from polyrl.flags.value_errors import in_words
from polyrl.paths import nearest
from polyrl.validation import suggestion

FLAGS = flags.FLAGS
COMMAND = "polyrl"
PARTS = ("optimizer", "exploration", "loss")
"""The parts of a model that `--set` reaches."""

EQUIVALENT = {
    "optimizer.learning_rate": "learning_rate",
    "optimizer.epsilon": "adam_epsilon",
    "exploration.exploration_rate": "exploration_start",
    "exploration.min_exploration_rate": "exploration_final",
    "exploration.decay_steps": "exploration_timesteps",
    "exploration.warmup_timesteps": "warmup_timesteps",
}
"""Fields of the parts that flags set too."""

OF_ALL_KINDS = ("optimizer.learning_rate", "exploration.warmup_timesteps")
"""Those that another kind of the part has too."""

FILE = "config.json"
"""The file of a run's directory that holds its whole configuration."""

PROGRAM = "program"
"""Beside the settings in a run's `config.json`: the program that wrote it, and that they are flags of."""

NOT_CONFIGURED = (
    "config",
    "set",
    "model_dir",
    "mode",
    "overwrite",
    "debug",
    "progress",
    "checkpoint",
    "output",
    "seeds",
    "jobs",
)
"""Flags that say what is done with a run now, not what the run is."""

flags.DEFINE_string(
    "config",
    None,
    "Settings to begin with; any flag that is given replaces its value. A preset (--mode=list shows them), a run's "
    "config.json, or a Python file whose get_config() returns a ConfigDict.",
)
flags.DEFINE_multi_string(
    "set",
    [],
    "NAME=VALUE, may be repeated. A field of a part of the model: optimizer=rmsprop, optimizer.beta_1=0.95, loss.delta=2, "
    "exploration=boltzmann. Or any flag by its name.",
)

PARAMETERS = defined_in(__name__)[1:]
"""The flag here that is a hyper-parameter: what `--set` says of the parts of the model."""


class AnotherProgramError(ValueError):
    """A configuration of the run of another program."""


def check_forms() -> None:
    """Refuses a `--config` that is neither a preset nor a file, and a `--set` without a value.

    Raises:
        ValueError: says what is expected.
    """
    if FLAGS.config is not None:
        _check_source(FLAGS.config)
    for entry in FLAGS.set:
        _name_and_value(entry)


def _check_source(source: str) -> None:
    if not source.strip():
        raise ValueError("--config= is empty: give a preset, as --mode=list shows them, or a file; or leave it out.")
    path = Path(source).expanduser()
    if source in presets.NAMES:
        return
    if (of_run := (path if path.is_dir() else path.parent) / FILE).is_file() and (path.is_dir() or path.name == "params.json"):
        raise ValueError(f"--config={source}: the configuration of this run is in another file, --config={of_run}.")
    if path.suffix not in (".json", ".py"):
        raise ValueError(
            f"--config={source} is neither a preset nor a file that ends in .json or .py.{suggestion(source, presets.NAMES)}"
        )
    if not path.is_file():
        raise ValueError(f"--config={source}: there is no such file.{nearest(path, path.parent.glob(f'*{path.suffix}'))}")


def load(source: str) -> dict[str, Any]:
    """The settings that `--config` names, by flag.

    Raises:
        ValueError: if it is neither a preset nor a file, or if the file holds something else; says what.
    """
    _check_source(source)
    if source in presets.NAMES:
        return dict(presets.get(source))
    path = Path(source).expanduser()
    settings = _of_python(path) if path.suffix == ".py" else _of_json(path)
    whose = settings.pop(PROGRAM, program())
    if whose != program():
        raise AnotherProgramError(
            f"--config={source} is of a run of {whose}, whose model and environment {program()} does not know. Use that "
            "program; what its run was made with is in the file."
        )
    for name in settings:
        if name in NOT_CONFIGURED and name != "set":
            raise ValueError(f"--config={source} has {name!r}, which is no setting of a run; give it on the command line.")
        if name not in FLAGS:
            is_part = str(name).partition(".")[0] in PARTS
            how = f" What --set chooses is a list here: 'set': ['{name}=...']." if is_part else ""
            how = how or other_names.hint(other_names.FLAGS, str(name)) or suggestion(str(name), [*FLAGS])
            raise ValueError(f"--config={source} has {name!r}, which is no flag.{how}")
    return settings


def use(settings: Mapping[str, Any], source: str) -> None:
    """Gives flags these values as their defaults.

    Raises:
        ValueError: for a flag that does not exist, or a value that it does not take; `source` says where it is from.
    """
    for name, value in settings.items():
        if name not in FLAGS:
            raise ValueError(f"{source} has no flag --{name}.{suggestion(name, [*FLAGS])}")
        try:
            FLAGS.set_default(name, list(map(str, value)) if isinstance(value, (tuple, list)) else value)
        except flags.IllegalFlagValueError as error:
            raise ValueError(f"{source}: {in_words(str(error))}") from None


def use_set() -> None:
    """Sets the flags that `--set` names, as if they had been given; leaves what it says of parts of the model.

    Raises:
        ValueError: for an entry without `=`, a value that the flag does not take, or another one than is given.
    """
    parts, named = [], set()
    kinds = {entry.partition("=")[0] for entry in FLAGS.set} & {*PARTS}
    for entry in FLAGS.set:
        name, value = _name_and_value(entry)
        if name in EQUIVALENT and (name in OF_ALL_KINDS or name.partition(".")[0] not in kinds) and _is_number(value):
            name = EQUIVALENT[name]  # So what else depends on the flag holds: a rate that falls begins with it.
        is_flag = name in FLAGS and name not in NOT_CONFIGURED
        _check_is_one(entry, [*FLAGS, *PARTS] if is_flag and FLAGS[name].flag_type() == "string" else None)
        if not is_flag:
            parts.append(entry)
            continue
        before = FLAGS[name].value
        is_given = FLAGS[name].present or name in named
        try:
            FLAGS[name].parse(value)
        except flags.IllegalFlagValueError as error:
            raise ValueError(f"--set={entry}: {in_words(str(error))}") from None
        if is_given and FLAGS[name].value != before:
            raise ValueError(f"--set={entry}: --{name}={before} is given too, which is another value. Leave one of them out.")
        FLAGS[name].using_default_value = False
        named.add(name)
    FLAGS["set"].value = parts


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _name_and_value(entry: str) -> tuple[str, str]:
    name, equals, value = entry.partition("=")
    if not equals:
        raise ValueError(f"--set={entry} must be NAME=VALUE, as --set=optimizer.learning_rate=0.001.")
    return name, value


def _check_is_one(entry: str, unless: Collection[str] | None = None) -> None:
    """Refuses several settings in one: what has another `NAME=` in its value, after a comma or a space.

    Args:
        entry: of `--set`.
        unless: a flag that takes any text may have such a value, as a path: only these names, or nearly these, count; None:
            all.
    """
    settings = [entry]
    while found := re.fullmatch(r"(.*[^\s,;])[\s,;]+-*(?:set=)?(([A-Za-z]\w*)(?:\.\w+)*=.*)", settings[0], re.DOTALL):
        if unless is not None and found[3] not in unless and not suggestion(found[3], unless):
            break
        settings[:1] = [found[1], found[2]]
    if len(settings) > 1:
        each = " ".join(f"--set={setting}" for setting in settings)
        raise ValueError(f"--set={entry} holds {len(settings)} settings: repeat the flag, {each}.")


def written() -> dict[str, Any]:
    """The whole configuration: each flag of polyrl that says what the run is, as JSON can hold it."""
    modules = FLAGS.flags_by_module_dict()
    names = [flag.name for module, defined in modules.items() if module.startswith("polyrl.") for flag in defined]
    settings = {name: FLAGS[name].value for name in names if name not in NOT_CONFIGURED or name == "set"}
    return {PROGRAM: program(), **settings}


def program() -> str:
    """The name of this program: the command's, whatever file started it, or that of a file."""
    return COMMAND if "polyrl.flags.command" in sys.modules else Path(sys.argv[0]).name


def _of_python(path: Path) -> dict[str, Any]:
    try:
        made = runpy.run_path(str(path)).get("get_config")
        settings = made() if callable(made) else None
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f" in line {lines[-1]}" if lines else ""
        raise ValueError(f"--config={path} raised {type(error).__name__}{where}: {error}.") from error
    if not callable(made):
        raise ValueError(f"--config={path} must define get_config(), which returns a ConfigDict.")
    if not isinstance(settings, (ml_collections.ConfigDict, Mapping)):
        raise ValueError(f"--config={path}: get_config() returned {settings!r}; expected a ConfigDict.")
    return dict(settings)


def _of_json(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"--config={path} is not JSON: {error}.") from None
    if not isinstance(settings, dict):
        raise ValueError(f"--config={path} holds {settings!r}; expected an object with a value for each flag.")
    return settings
