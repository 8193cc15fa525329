"""The flags of the command `polyrl`: the shared ones, and those of any model on any environment."""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path
from typing import Any

from polyrl import presets
from polyrl.flags import FLAGS, TRAINING_MODES, config, distributed, environment, games, memory, model, seeds, torso
from polyrl.flags.existing import check_mode, check_run, holds_a_run
from polyrl.flags.partners import check_given
from polyrl.paths import noted, resolved, trained_with

logger = logging.getLogger("polyrl")

GROUPS = (config, environment, games, model, torso, memory, distributed)

PARAMETERS = tuple(name for group in GROUPS for name in group.PARAMETERS)
"""The flags beyond the shared ones that are hyper-parameters."""

WITHOUT_A_RUN = ("list", "compare")
"""Modes that show what there is; `--model_dir` is not theirs."""


def check_alone() -> None:
    """Refuses what is wrong with the flags whatever preset or run they are of, and a directory without the run that it needs.

    It is for the command's first second: none of it needs TensorFlow.

    Raises:
        ValueError: for the first that is wrong.
    """
    if FLAGS.mode in WITHOUT_A_RUN:
        return
    config.check_forms()
    check_given({}, only=config.NOT_CONFIGURED)
    if FLAGS.seeds:
        seeds.checked(FLAGS.seeds, FLAGS.mode, FLAGS["seed"].present)
    if FLAGS.model_dir is not None:
        check_run(resolved("--model_dir", FLAGS.model_dir))


def settle() -> frozenset[str]:
    """Settles what is not given: by `--config`; else by the run in `--model_dir`; else by the preset of environment and model.

    A run that is begun again with `--overwrite` keeps its settings, unless `--env` or `--model` say that it is another one.

    Returns:
        The names of the flags that `--config` gives.

    Raises:
        ValueError: if `--config` or `--set` cannot be read, if `--model_dir` holds the run of another program, or none where
            `--mode` needs one, or for a flag that has no effect in the mode.
    """
    settings = use_config()
    if FLAGS.model_dir is None:
        FLAGS.model_dir = default_model_dir()
    check_mode(Path(FLAGS.model_dir).expanduser())
    if not FLAGS.overwrite:
        _check_is_of_the_command()
    if not settings:
        _settle_by_run_or_preset()
    return frozenset(settings)


def use_config() -> dict[str, Any]:
    """Takes over what `--set` and `--config` say, and returns the latter; see `settle` for the errors."""
    config.use_set()
    settings = {} if FLAGS.config is None else config.load(FLAGS.config)
    config.use(settings, f"--config={FLAGS.config}")
    return settings


def default_model_dir() -> str:
    """The directory of a run without `--model_dir`."""
    return f"runs/{FLAGS.env.replace('/', '_').replace(':', '_')}_{FLAGS.model}"


def _check_is_of_the_command() -> None:
    """Refuses the trained run of another program; a damaged file of hyper-parameters is told by who reads it."""
    directory = Path(FLAGS.model_dir).expanduser()
    params = noted(directory).get("params") if holds_a_run(directory) else None
    if isinstance(params, dict) and "model" not in params:
        which = "that program"
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # The Agent of a program without flags has none.
            which = json.loads((directory / config.FILE).read_bytes())[config.PROGRAM]
        raise ValueError(
            f"--model_dir={FLAGS.model_dir} holds the run of another program, whose model the command polyrl does not know. "
            f"Use {which}, as with --mode={FLAGS.mode}, or its Agent; or give another --model_dir."
        )


def _check_is_unchanged(file: Path) -> None:
    """Refuses a run's file of settings that somebody has edited: the run would go on with those that it was trained with."""
    trained, found = trained_with(file.parent), json.loads(file.read_bytes())
    differ = [name for name in found if trained.get(name, found[name]) != found[name]]
    changed = [f"{name}={trained[name]} in training, {found[name]} now" for name in differ]
    if changed:
        raise ValueError(
            f"{file} has been changed since the run was trained: {'; '.join(changed)}. Put the values back. To train with "
            "others give a copy of the file as --config, and another --model_dir."
        )


def _settle_by_run_or_preset() -> None:
    directory = Path(FLAGS.model_dir).expanduser()
    file = directory / config.FILE
    # What a run began with that never came to a checkpoint, perhaps as it was refused, is no run to go on with.
    is_begun = FLAGS.mode not in TRAINING_MODES or holds_a_run(directory)
    # Begun again it is the same run, but for what is given; another environment or model is another run.
    is_another = FLAGS.overwrite and (FLAGS["env"].present or FLAGS["model"].present)
    otherwise = " With --overwrite, --env and --model begin another run." if FLAGS.overwrite else ""
    if file.is_file() and is_begun and not is_another:
        try:
            settings = config.load(str(file))
        except ValueError as error:
            told = str(error).replace(f"--config={file}", str(file))
            if not isinstance(error, config.AnotherProgramError):
                told = f"{told} It is what the run was made with: bring it back, or move it aside.{otherwise}"
            raise ValueError(told) from error
        if not FLAGS.overwrite:
            _check_is_unchanged(file)
        else:
            logger.info("Begins again with the settings of %s; flags replace them.", file)
        config.use(settings, str(file))
        return
    if holds_a_run(directory) and not is_another:
        raise ValueError(
            f"{file} is missing, which is what the run was made with. Bring it back; or give a copy of it, the preset, or a "
            f"file with the same settings as --config.{otherwise}"
        )
    name = presets.find(FLAGS.env, FLAGS.model)
    if name is not None and not FLAGS.wrappers and not FLAGS.env_kwargs:  # With these it is another environment.
        logger.info("Settings of the preset %s; --config=%s says so, flags replace them.", name, name)
        config.use(presets.get(name), f"the preset {name}")
    elif settings := presets.of_model(FLAGS.model):
        shown = ", ".join(f"--{flag}={value}" for flag, value in settings.items())
        logger.info("There is no preset: --model=%s begins with %s; flags replace them.", FLAGS.model, shown)
        config.use(settings, f"the defaults of --model={FLAGS.model}")
