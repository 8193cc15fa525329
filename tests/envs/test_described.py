"""What a run notes of its environment: the same in whatever form it is given, and another for another environment."""

from __future__ import annotations

import functools

import gymnasium
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeAwareObservation
from tiny_envs import ScheduleEnv, vector

from polyrl.envs import AtariEnvironment, GymEnvironment
from polyrl.envs.compiled import CartPole, Catch
from polyrl.envs.described import described

SAME_STEP = {"autoreset_mode": AutoresetMode.SAME_STEP}


class Slope(gymnasium.Env):
    def __init__(self, angle=0.0, start=None):
        pass


@pytest.mark.parametrize(
    "form",
    [
        "CartPole",
        gymnasium.spec("CartPole-v1"),
        GymEnvironment("CartPole-v1", 3, "async"),
        gymnasium.make("CartPole-v1", render_mode="rgb_array"),
        gymnasium.make_vec("CartPole-v1", 2, "sync", vector_kwargs=SAME_STEP),
        SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2, **SAME_STEP),
    ],
    ids=lambda form: type(form).__name__,
)
def test_every_form_of_an_environment_is_the_same(form):
    assert described(form) == described("CartPole-v1") == "CartPole-v1"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (GymEnvironment("FrozenLake-v1", is_slippery=False), "FrozenLake-v1(is_slippery=False, map_name='4x4')"),
        (gymnasium.make("FrozenLake-v1", is_slippery=False), "FrozenLake-v1(is_slippery=False, map_name='4x4')"),
        (TimeAwareObservation(gymnasium.make("CartPole-v1")), "CartPole-v1, TimeAwareObservation"),
        (GymEnvironment(Slope, angle=0.5), "Slope(angle=0.5)"),
        (GymEnvironment(functools.partial(Slope, angle=0.5)), "Slope(angle=0.5)"),
        (GymEnvironment(Slope, start=object()), "Slope(start=object)"),
        (Slope(), "Slope"),
        (vector(ScheduleEnv()), "ScheduleEnv"),
        (CartPole(num_envs=3), "CartPole"),
        (Catch(num_envs=2), "Catch(columns=5, rows=10)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arguments_and_wrappers_are_told(env, words):
    assert described(env) == words


def test_a_class_by_its_name_is_the_class():
    """A run on it by its name alone was refused: gymnasium knows no such id."""
    name = f"{__name__}:Slope"
    assert described(name) == described(GymEnvironment(name)) == described(GymEnvironment(Slope)) == "Slope"


def test_games_are_told_apart():
    pong = described(AtariEnvironment("Pong"))
    assert "game='Pong'" in pong
    assert pong == described(AtariEnvironment("Pong", num_envs=4)) != described(AtariEnvironment("Pong", sticky_actions=0.0))
