"""docs/tutorial.md runs as it stands, from top to bottom."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
FILES = dict(re.findall(r"```python title=(\S+)\n(.*?)```", PAGE, flags=re.DOTALL))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.splitlines()]
SERVE = re.search(r"^\.venv/bin/python (\S+ --mode=serve --port)=\d+\n", PAGE, flags=re.MULTILINE)
BODY, URL = re.findall(r"curl -d '(.*?)' http://127\.0\.0\.1:\d+(\S+)", PAGE)[0]


def arguments(command: str) -> list[str]:
    program, *rest = command.split()
    assert program in (".venv/bin/polyrl", ".venv/bin/python")
    return [sys.executable, *(["-m", "polyrl"] if program.endswith("polyrl") else []), *rest]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_block_runs(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
    shown = []
    for command in COMMANDS:
        done = subprocess.run(arguments(command), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{command}\n{done.stderr[-2000:]}"
        shown.append(done.stdout)
    table = next(text for command, text in zip(COMMANDS, shown, strict=True) if "compare" in command)
    assert len(re.findall(r"8,000", table)) == 2
    assert len([*(tmp_path / "runs" / "bowl" / "c51" / "videos").glob("*.gif")]) == 1
    assert SERVE is not None
    server = subprocess.Popen([sys.executable, *f"{SERVE[1]}=18501".split()], cwd=tmp_path, env=environment)
    try:
        answer = asked(f"http://127.0.0.1:18501{URL}", BODY.encode())
    finally:
        server.terminate()
    assert server.wait(60) == 0
    (prediction,) = answer["predictions"]
    assert prediction["action"] in (0, 1, 2)
    assert len(prediction["q"]) == 3


def asked(url: str, body: bytes) -> dict:
    """The answer, as soon as the server is there."""
    for _ in range(120):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as response:
                return json.loads(response.read())
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(url)
