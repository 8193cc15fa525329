"""The flags of the command `polyrl`: the shared ones, and those of any model on any environment."""

from __future__ import annotations

import logging
from pathlib import Path

from polyrl import presets
from polyrl.flags import FLAGS, config, environment, games, memory, model, torso

logger = logging.getLogger("polyrl")

GROUPS = (config, environment, games, model, torso, memory)

PARAMETERS = tuple(name for group in GROUPS for name in group.PARAMETERS)
"""The flags beyond the shared ones that are hyper-parameters."""


def settle() -> frozenset[str]:
    """Settles what is not given: by `--config`; else by the run in `--model_dir`; else by the preset of environment and model.

    Returns:
        The names of the flags that `--config` gives.

    Raises:
        ValueError: if `--config` or `--set` cannot be read.
    """
    config.use_set()
    settings = {} if FLAGS.config is None else config.load(FLAGS.config)
    config.use(settings, f"--config={FLAGS.config}")
    if FLAGS.model_dir is None:
        FLAGS.model_dir = f"runs/{FLAGS.env.replace('/', '_').replace(':', '_')}_{FLAGS.model}"
    if not settings:
        _settle_by_run_or_preset()
    return frozenset(settings)


def _settle_by_run_or_preset() -> None:
    file = Path(FLAGS.model_dir).expanduser() / config.FILE
    if file.is_file() and not FLAGS.overwrite:
        config.use(config.load(str(file)), str(file))
        return
    name = presets.find(FLAGS.env, FLAGS.model)
    if name is not None and not FLAGS.wrappers:  # With a wrapper it is another environment.
        logger.info("Settings of the preset %s; --config=%s says so, flags replace them.", name, name)
        config.use(presets.get(name), f"the preset {name}")
