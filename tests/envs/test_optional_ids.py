"""Ids of packages that may be missing: the message names the extra that installs them. And MiniGrid's."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from polyrl.envs import GymEnvironment, num_states_and_actions, open_env
from polyrl.envs.checking import check_environment
from polyrl.envs.states import STATELESS, unknown_layers

WRAPPER = "minigrid.wrappers:ImgObsWrapper"


@pytest.mark.parametrize(
    ("env_id", "package"),
    [("MinAtar/Breakout-v1", "minatar"), ("MiniGrid-Empty-5x5-v0", "minigrid"), ("BabyAI-GoToObj-v0", "minigrid")],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, env_id, package):
    monkeypatch.setitem(sys.modules, package, None)  # As if it were not installed.
    wrappers = [WRAPPER] if package == "minigrid" else []
    words = rf"env_id='{env_id}' needs the Python package '{package}'.*pip install 'polyrl\[{package}\]'"
    with pytest.raises(ValueError, match=words):
        GymEnvironment(env_id, wrappers=wrappers)


@pytest.mark.parametrize(
    ("env_id", "package", "extra"),
    [
        ("LunarLander-v3", "Box2D", "box2d"),
        ("CarRacing-v3", "Box2D", "box2d"),
        ("HalfCheetah-v5", "mujoco", "mujoco"),
        ("phys2d/CartPole-v1", "jax", None),
    ],
)
def test_what_gymnasium_misses_is_named_when_it_is_made(monkeypatch, env_id, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith(("gymnasium.envs.box2d", "gymnasium.envs.mujoco"))]:
        monkeypatch.delitem(sys.modules, name)
    hint = rf".*pip install 'polyrl\[{extra}\]'" if extra else ".*jax"
    environment = GymEnvironment(env_id, some=3)  # Which arguments it takes cannot be known.
    with pytest.raises(
        ValueError, match=rf"^env_id='{env_id}' needs a Python package that cannot be imported: {hint}"
    ) as told:
        num_states_and_actions(environment)
    # gymnasium's sentence has no full stop of its own, and ours followed at once.
    assert str(told.value).endswith(".")
    assert extra is None or re.search(rf"[^. ]\. `pip install 'polyrl\[{extra}\]'` does the same\.$", str(told.value))


@pytest.fixture
def minigrid():
    return pytest.importorskip("minigrid", reason="minigrid is not installed: pip install 'polyrl[minigrid]'")


def test_an_image_of_minigrid_is_the_state(minigrid):
    environment = GymEnvironment("MiniGrid-Empty-5x5-v0", 3, wrappers=[WRAPPER])
    check_environment(environment)
    assert num_states_and_actions(environment) == ((7, 7, 3), 7)
    with open_env(environment) as env:
        first, _ = env.reset(seed=[4, 4, 5])
        np.testing.assert_array_equal(first[0], first[1])
        for step in range(200):
            observation, *_ = env.step(np.full(3, step % 3))
            assert observation.dtype == np.uint8
            assert observation.max() <= 10  # Kinds of objects; colours and states are fewer.


def test_nobody_is_told_to_save_what_its_wrappers_do_not_keep(minigrid):
    for name in (name.rpartition(".")[2] for name in STATELESS):
        env = GymEnvironment("MiniGrid-Empty-5x5-v0", wrappers=[f"minigrid.wrappers:{name}"]).make()
        assert unknown_layers(env) == []
        env.reset(seed=0)
        before = {key: repr(value) for key, value in vars(env).items() if key != "env"}
        env.step(2)
        env.reset()
        assert {key: repr(value) for key, value in vars(env).items() if key != "env"} == before, name
        env.close()
    counting = GymEnvironment("MiniGrid-Empty-5x5-v0", wrappers=["minigrid.wrappers:PositionBonus"]).make()
    assert unknown_layers(counting) == ["PositionBonus"]


@pytest.mark.parametrize("env_id", ["MiniGrid-Empty-5x5-v0", "minigrid:MiniGrid-Empty-5x5-v0"])
def test_without_the_wrapper_the_message_names_it(minigrid, env_id):
    with pytest.raises(TypeError, match=rf"It is MiniGrid's.*wrappers=\['{WRAPPER}'\].*--wrappers={WRAPPER}\."):
        num_states_and_actions(env_id)
