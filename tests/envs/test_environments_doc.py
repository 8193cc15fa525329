"""What `docs/environments.md` shows of environments in Python runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from polyrl.envs import EnvDriver, check_free

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "environments.md").read_text()
OWN, SHARED, *_ = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def names():
    names = {"__name__": "page"}
    run(OWN, names)
    return names


def run(code: str, names: dict) -> None:
    exec(compile(code, "docs/environments.md", "exec"), names)


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


def test_an_instance_in_use_is_refused_as_the_page_says(names, capsys):
    run(SHARED, names)
    assert "in use by training, and cannot serve evaluation at the same time: " in capsys.readouterr().out
    check_free(names["env"])
