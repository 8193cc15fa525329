"""`config.json`: the whole configuration of a run in its directory; `--config=runs/mine/config.json` begins with it."""

from __future__ import annotations

import json
from typing import Any

from polyrl.estimators.checkpoints.files import write_text
from polyrl.estimators.hooks import Hook, RunContext
from polyrl.flags.config import FILE


class ConfigFileHook(Hook):
    """Writes the file when training begins or is resumed.

    Args:
        settings: values of flags by their names, as `polyrl.flags.config.written` gives them.
    """

    def __init__(self, settings: dict[str, Any]):
        self._settings = settings

    def begin(self, run: RunContext) -> None:
        write_text(run.model_dir / FILE, json.dumps(self._settings, indent=2) + "\n")
