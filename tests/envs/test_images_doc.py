"""What `docs/images.md` shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tf_keras

from polyrl.envs import num_states_and_actions

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "images.md").read_text()
(GRID,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_torso_of_the_page_takes_what_minigrid_observes():
    pytest.importorskip("minigrid", reason="minigrid is not installed: pip install 'polyrl[minigrid]'")
    found: dict = {"__name__": "page"}
    exec(compile(GRID, "docs/images.md", "exec"), found)
    state = tf_keras.Input(num_states_and_actions(found["grid"])[0], dtype="uint8")
    assert found["torso"]("train", state).shape == (None, 128)
