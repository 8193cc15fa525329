"""What docs/observations.md shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "observations.md").read_text()


@pytest.mark.slow
def test_the_example_of_masks_runs(tmp_path, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    for long, short in {
        "max_timesteps=60_000": "first_update=64, max_timesteps=200",
        "episodes=50": "episodes=2",
        "runs/taxi": str(tmp_path),
        "RunConfig(seed=1)": "RunConfig(seed=1, jit='off')",
    }.items():
        assert long in code
        code = code.replace(long, short)
    exec(code, {"__name__": "example"})
    # 200 legal steps cost 1 each; it is illegal to pick up or drop where there is nobody, or no stand, which costs 10.
    assert -200.0 <= float(capsys.readouterr().out.split()[-1]) <= 20.0
