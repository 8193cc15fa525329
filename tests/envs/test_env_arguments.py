"""Arguments of an environment: they reach it, or are refused with the nearest name."""

from __future__ import annotations

import functools

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
