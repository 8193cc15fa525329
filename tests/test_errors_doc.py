"""docs/errors.md is what the mistakes that it shows say today."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_page_is_made_by_making_the_mistakes(tmp_path):
    made = tmp_path / "errors.md"
    code = (
        "import runpy, sys, pathlib; page = runpy.run_path(sys.argv[1])['page']; pathlib.Path(sys.argv[2]).write_text(page())"
    )
    command = [sys.executable, "-c", code, str(ROOT / "scripts" / "errors.py"), str(made)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert made.read_text() == (ROOT / "docs" / "errors.md").read_text()


KINDS = {"AttributeError", "NonFiniteError", "NotTrainedError", "RuntimeError", "TypeError", "ValueError"}


def test_no_message_is_tensorflows_own():
    lines = (ROOT / "docs" / "errors.md").read_text().splitlines()
    messages = [line.split("` | ", 1)[1] for line in lines if line.startswith("| `")]
    assert len(messages) > 50
    for message in messages:
        assert message.split(":")[0] in {
            "TypeError",
            "ValueError",
            "NonFiniteError",
            "AttributeError",
            "NotTrainedError",
            "RuntimeError",
        }, message
