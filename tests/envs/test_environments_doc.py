"""What `docs/environments.md` shows of environments in Python runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from polyrl.envs import EnvDriver

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "environments.md").read_text()


@pytest.fixture(scope="module")
def names():
    code, *_ = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names = {"__name__": "page"}
    exec(compile(code, "docs/environments.md", "exec"), names)
    return names


@pytest.mark.parametrize(("name", "action", "length"), [("by_class", 1, 5), ("limited", 0, 50), ("in_processes", 1, 5)])
def test_the_environments_of_the_page_can_be_stepped(names, name, action, length):
    env = names[name].open()
    driver = EnvDriver(env)
    driver.reset(range(4))
    steps = [driver.step(np.full(4, action)) for _ in range(length)]
    env.close()
    assert [len(episodes) for _, episodes in steps] == [0] * (length - 1) + [4]
    for episode in steps[-1][1]:
        assert (episode.length, episode.reward, episode.truncated) == (length, float(action), action == 0)
