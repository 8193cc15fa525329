"""Arguments of an environment: they reach it, or are refused with the nearest name."""

from __future__ import annotations

import functools
import zlib

import pytest
from tiny_envs import ScheduleEnv

from polyrl.envs import GymEnvironment


class NeedsLevel(ScheduleEnv):
    def __init__(self, level):
        super().__init__()


@pytest.mark.parametrize(
    ("env_id", "name", "nearest"),
    [
        ("FrozenLake-v1", "is_slipery", "is_slippery"),
        ("MountainCar-v0", "goal_velocty", "goal_velocity"),
        ("CartPole-v1", "max_episode_step", "max_episode_steps"),
    ],
)
def test_an_argument_that_an_id_does_not_take_is_told_the_nearest(env_id, name, nearest):
    with pytest.raises(TypeError, match=rf"^env_id='{env_id}' got an unexpected .* '{name}'\. Did you mean '{nearest}'\?$"):
        GymEnvironment(env_id, **{name: 1})


@pytest.mark.parametrize("make", [NeedsLevel, functools.partial(NeedsLevel, level=3), lambda level=1: NeedsLevel(level=level)])
def test_an_argument_that_a_class_or_function_does_not_take_is_told_the_nearest(make):
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'levle'\. Did you mean 'level'\?$"):
        GymEnvironment(make, levle=2)


def test_what_takes_anything_is_given_anything():
    assert GymEnvironment(lambda **kwargs: NeedsLevel(level=kwargs["any"]), any=3).open(1).num_envs == 1


def test_arguments_that_an_id_takes_reach_it():
    env = GymEnvironment("FrozenLake-v1", map_name="8x8", max_episode_steps=7).make()
    assert env.observation_space.n == 64
    assert env.spec.max_episode_steps == 7
    env.close()


@pytest.mark.parametrize("wrappers", [[], ["gymnasium.wrappers:FlattenObservation"]])
def test_an_argument_that_a_function_passes_on_is_named_where_the_environment_refuses_it(wrappers):
    def make(**kwargs):
        return NeedsLevel(level=1, **kwargs)

    environment = GymEnvironment(make, wrappers=wrappers, depth=2)
    with pytest.raises(TypeError, match=r"does not take the argument 'depth': .*NeedsLevel.* got an unexpected keyword"):
        environment.make()


def test_an_error_of_the_environment_about_another_call_stays_what_it_is():
    def make(level):
        return NeedsLevel(depth=level)

    with pytest.raises(TypeError, match="unexpected keyword argument 'depth'") as told:
        GymEnvironment(make, level=2).make()
    assert "does not take" not in str(told.value)


def written(directory, monkeypatch, text):
    """A module of this text, which can be imported by the name that is returned."""
    name = f"mine_{len(text)}_{zlib.crc32(text.encode())}"
    (directory / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(directory))
    return name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ndef make(:\n", r"SyntaxError in .*mine_.*\.py, line 2: invalid syntax"),
        ("x = 1\n\nx = y\n", r"NameError in .*mine_.*\.py, line 3: name 'y' is not defined"),
        ("import json\njson.loads('{')\n", r"JSONDecodeError in .*mine_.*\.py, line 2: "),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_its_line(tmp_path, monkeypatch, text, words):
    """There were fifty lines of importlib before it."""
    name = written(tmp_path, monkeypatch, text)
    with pytest.raises(ValueError, match=rf"env_id='{name}:make': the module '{name}' cannot be imported: {words}"):
        GymEnvironment(f"{name}:make")


def test_a_module_that_is_not_there_is_told_where_it_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match=rf"No module named 'nowhere'\. It is looked for in the working directory, {tmp_path}, "
    ):
        GymEnvironment("nowhere:make")
    name = written(tmp_path, monkeypatch, "import nowhere\n")
    with pytest.raises(ValueError, match=r"No module named 'nowhere'\.$"):  # It was found; what it imports was not.
        GymEnvironment(f"{name}:make")


def test_an_error_in_a_library_is_told_with_the_line_of_the_environment(tmp_path, monkeypatch):
    """That was gymnasium's box.py."""
    text = "import gymnasium\ndef make(size):\n    return gymnasium.spaces.Box(0, 1, (size,))\n"
    name = written(tmp_path, monkeypatch, text)
    with pytest.raises((TypeError, AssertionError)) as told:
        GymEnvironment(f"{name}:make", size="five").make()
    assert told.value.__notes__[-1].endswith(f"{name}.py, line 3.")
