"""Which pictures a film has, and which environments have none."""

from __future__ import annotations

import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from painted_env import BlackOut, NeedsPackage, PaintedEnv, Returns
from tiny_envs import ScheduleEnv

from polyrl.envs import EnvpoolEnvironment, GymEnvironment, film, open_env
from polyrl.envs.compiled import CartPole, Catch


def play(env, stream):
    """One episode of action 0, stepped as an evaluation steps it: the environment resets in the step that ends it."""
    with open_env(env) as vector:
        vector.reset(seed=[1])
        over = False
        while not over:
            action = vector.action_space.sample() * 0
            _, _, terminated, truncated, _ = vector.step(action)
            over = bool((terminated | truncated)[0])


def recorded(env, episodes=1):
    return list(film.clips(env, episodes, play))


def test_a_clip_has_a_picture_of_each_state_and_the_return():
    first, second = recorded(GymEnvironment(PaintedEnv, lengths=(1, 4, 99, 3)), 2)  # Each play begins with a reset.
    assert [int(picture[0, 0, 0]) // 30 for picture in first.frames] == [0, 1, 2, 3, 4]
    assert {picture.shape for picture in first.frames} == {(6, 8, 3)}
    assert (first.length, first.fps) == (4, 10.0)
    assert first.reward == pytest.approx(sum(ScheduleEnv.reward(0, t) for t in range(1, 5)))
    assert [int(picture[0, 0, 0]) // 30 for picture in second.frames] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("most", "kept"), [(9, range(9)), (8, range(0, 9, 2)), (5, range(0, 9, 2)), (4, range(0, 9, 4)), (3, range(0, 9, 4))]
)
def test_what_would_take_too_much_memory_is_thinned_and_keeps_its_length(monkeypatch, most, kept):
    monkeypatch.setattr(film, "MOST_BYTES", most * 6 * 8 * 3)
    (clip,) = recorded(GymEnvironment(PaintedEnv, lengths=(8,)))
    assert [int(picture[0, 0, 0]) // 30 for picture in clip.frames] == list(kept)
    assert clip.fps == 10.0 / kept.step


@pytest.mark.parametrize(
    "env",
    ["CartPole-v1", GymEnvironment("CartPole-v1", 4, "async", timeout=5), CartPole(num_envs=3), gymnasium.spec("CartPole-v1")],
)
def test_an_environment_of_any_kind_is_made_anew_with_pictures(env):
    (clip,) = recorded(env)
    assert clip.frames[0].shape == (400, 600, 3)
    assert len(clip.frames) == clip.length + 1 == clip.reward + 1
    assert clip.fps == 50.0


def test_arguments_and_wrappers_are_kept():
    wrapped = GymEnvironment("FrozenLake-v1", map_name="8x8", wrappers=["gymnasium.wrappers:RecordEpisodeStatistics"])
    with film.filmed(wrapped) as (env, _):
        assert env.unwrapped.desc.shape == (8, 8)
        assert isinstance(env.env, gymnasium.wrappers.RecordEpisodeStatistics)


def test_of_envpool_it_is_that_of_gymnasium():
    if sys.version_info < (3, 11):
        pytest.skip("envpool does not support Python 3.10")
    with film.filmed(EnvpoolEnvironment("CartPole-v1", 2)) as (env, _):
        assert env.unwrapped.spec.id == "CartPole-v1"


def test_an_instance_is_used_as_it_is_and_stays_open():
    env = PaintedEnv(render_mode="rgb_array")
    assert len(recorded(env)[0].frames) == 4
    assert env.closings == 0
    made = []
    recorded(GymEnvironment(lambda render_mode: made.append(PaintedEnv(render_mode=render_mode)) or made[-1]))
    assert all(one.closings for one in made)


def test_a_class_that_takes_no_render_mode_may_have_one():
    class Always(PaintedEnv):
        def __init__(self):
            super().__init__(render_mode="rgb_array")

    assert len(recorded(GymEnvironment(Always))[0].frames) == 4


@pytest.mark.filterwarnings("ignore:.*render_mode=.*not in the possible render_modes")
@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            ScheduleEnv(),
            r"cannot be recorded: make it with render_mode='rgb_array'\. What is recorded has pictures: its class takes",
        ),
        (
            GymEnvironment(ScheduleEnv),
            r"cannot be recorded: its render_mode is None\. What is recorded has pictures: its class takes",
        ),
        (
            "NoRender-v0",
            r"unexpected keyword argument 'render_mode'.*\. What is recorded .* its render\(\) returns an array uint8",
        ),
        (GymEnvironment(gymnasium.spec("CartPole-v1"), render_mode="human").open, "cannot be recorded; give an id"),
        (SyncVectorEnv([PaintedEnv]), "cannot be recorded; give an id"),
        (Catch(), "Catch is in the graph only.* --mode=infer"),
        (GymEnvironment(NeedsPackage), r"pygame is not installed\. `pip install 'polyrl\[video\]'`"),
        (GymEnvironment(BlackOut, lengths=(4,)), "cannot be rendered: RuntimeError: lost the context"),
        (GymEnvironment(Returns, picture=None), r"its render\(\) returned NoneType object"),
        (GymEnvironment(Returns, picture=np.zeros([4, 4], np.uint8)), r"returned ndarray uint8 \(4, 4\)"),
        (GymEnvironment(Returns, picture=np.zeros([4, 4, 3])), r"returned ndarray float64"),
    ],
)
def test_what_has_no_pictures_is_told(env, message, monkeypatch):
    monkeypatch.setitem(gymnasium.registry, "NoRender-v0", gymnasium.envs.registration.EnvSpec("NoRender-v0", ScheduleEnv))
    with pytest.raises(ValueError, match=message):
        recorded(env)


def test_an_environment_of_an_id_is_called_by_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ValueError, match="To render CartPole-v1 a Python package is needed"):
        recorded("CartPole-v1")


def test_what_is_missing_is_told_before_anything_is_played():
    with pytest.raises(ValueError, match="pygame is not installed"):
        list(film.clips(GymEnvironment(NeedsPackage), 1, lambda env, stream: pytest.fail("played")))
