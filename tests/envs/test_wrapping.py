"""Wrappers that `GymEnvironment` is given, by themselves or by name."""

from __future__ import annotations

import functools

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FlattenObservation, RecordEpisodeStatistics, TimeLimit
from tiny_envs import ScheduleEnv

from polyrl.envs import GymEnvironment, num_states_and_actions
from polyrl.envs.described import described

NAMED = "gymnasium.wrappers:FlattenObservation"
limit = functools.partial(TimeLimit, max_episode_steps=2)


def layers(env) -> list[str]:
    names = []
    while isinstance(env, gymnasium.Wrapper):
        names.append(type(env).__name__)
        env = env.env
    return names


@pytest.mark.parametrize("env_id", ["CartPole-v1", ScheduleEnv, lambda: ScheduleEnv()])
def test_each_environment_is_wrapped_the_first_innermost(env_id):
    env = GymEnvironment(env_id, 2, wrappers=[limit, RecordEpisodeStatistics, NAMED]).open()
    for one in env.envs:
        assert layers(one)[:3] == ["FlattenObservation", "RecordEpisodeStatistics", "TimeLimit"]
    assert env.envs[0].unwrapped is not env.envs[1].unwrapped
    env.close()


def test_they_are_worn_in_processes_of_their_own():
    env = GymEnvironment(ScheduleEnv, 2, "async", wrappers=[limit, NAMED]).open()
    try:
        env.reset(seed=0)
        ends = [env.step(np.array([0, 1]))[3].tolist() for _ in range(4)]
        assert ends == [[False, False], [True, True]] * 2
    finally:
        env.close()


def test_spaces_are_those_of_the_wrapped_environment():
    assert num_states_and_actions(GymEnvironment("Blackjack-v1", wrappers=[NAMED])) == ((32 + 11 + 2,), 2)


def test_a_run_notes_them():
    plain = GymEnvironment("CartPole-v1", max_episode_steps=7)
    assert described(GymEnvironment("CartPole-v1", wrappers=[limit, NAMED], max_episode_steps=7)) == (
        f"{described(plain)}, TimeLimit, FlattenObservation"
    )
    assert described(GymEnvironment(ScheduleEnv, wrappers=[FlattenObservation])) == "ScheduleEnv, FlattenObservation"


@pytest.mark.parametrize(
    ("wrappers", "error", "words"),
    [
        (NAMED, TypeError, r"must be a sequence, as \('gymnasium.wrappers:FlattenObservation',\)"),
        (FlattenObservation, TypeError, "must be a sequence"),
        ([5], TypeError, "wrappers: 5 is none; expected a class or a function"),
        ([ScheduleEnv()], TypeError, "is none; expected a class or a function"),
        (["FlattenObservation"], ValueError, "names no module; expected one as in 'minigrid.wrappers:ImgObsWrapper'"),
        (["no_such_module:A"], ValueError, "the module 'no_such_module' cannot be imported"),
        (
            ["gymnasium.wrappers:FlatenObservation"],
            ValueError,
            "has no 'FlatenObservation'.*Did you mean 'FlattenObs",
        ),
    ],
)
def test_what_is_no_wrapper_is_refused_at_once(wrappers, error, words):
    with pytest.raises(error, match=words):
        GymEnvironment("CartPole-v1", wrappers=wrappers)


@pytest.mark.parametrize("wrapper", ["gymnasium.wrappers:TimeLimit", lambda env, limit: env])
def test_a_wrapper_that_takes_more_than_the_environment_is_told_what_to_do(wrapper):
    words = r"^wrappers: .* cannot be made of the environment alone: .*functools\.partial.*--env=module:function"
    with pytest.raises(TypeError, match=words):
        GymEnvironment("CartPole-v1", wrappers=[wrapper]).make()


def test_a_wrapper_that_returns_no_environment_is_refused_and_what_it_was_given_closed():
    made = []

    def make():
        made.append(ScheduleEnv())
        return made[-1]

    def wrong(env):
        return env.observation_space

    with pytest.raises(TypeError, match=r"wrappers: .*wrong returned Box.*; expected the environment it was given, wrapped"):
        GymEnvironment(make, wrappers=[wrong]).open()
    assert [env.closings for env in made] == [1]
    with pytest.raises(TypeError, match=r"returned None; expected one new gymnasium\.Env"):
        GymEnvironment(lambda: None, wrappers=[limit]).open()


def test_another_librarys_name_is_told():
    with pytest.raises(TypeError, match=r"'wrapper_class'. Use wrappers"):
        GymEnvironment("CartPole-v1", wrapper_class=limit)
