"""Atari games: the same task on each backend; stacks, ends of episodes, lives, rewards, seeds."""

from __future__ import annotations

import functools
import importlib.util
import sys
from typing import NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode

from polyrl.envs import AtariEnvironment, EnvDriver, Episode, open_env
from polyrl.envs.atari import BACKENDS

for package in ("ale_py", "cv2"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install 'polyrl[atari]'")

NO_ENVPOOL = importlib.util.find_spec("envpool") is None
needs_envpool = pytest.mark.skipif(NO_ENVPOOL, reason="envpool is not installed: pip install 'polyrl[envpool]'")


def case(backend: str, *parameters, slow: bool = False):
    """The parameters of a test; the backend is the last of them."""
    marks = [needs_envpool] if backend == "envpool" else []
    return pytest.param(*parameters, backend, marks=[*marks, pytest.mark.slow] if slow else marks)


def backends(slow: tuple[str, ...] = ()):
    """Runs a test on each backend, on those of `slow` as a slow test."""
    return pytest.mark.parametrize("backend", [case(backend, slow=backend in slow) for backend in BACKENDS])


every_backend = backends()


class Run(NamedTuple):
    """`T` steps of `N` environments; `states` has one more row, the first states. Episodes by the step that ended them."""

    states: np.ndarray
    next_states: np.ndarray
    rewards: np.ndarray
    done: np.ndarray
    episodes: list[list[Episode]]


def play(environment: AtariEnvironment, actions: np.ndarray, seeds: list[int]) -> Run:
    """Takes `actions` `[T]`, the same in all environments."""
    with open_env(environment, len(seeds)) as env:
        driver = EnvDriver(env)
        states, rows, episodes = [driver.reset(seeds)], [], []
        for action in actions:
            transitions, finished = driver.step(np.full(len(seeds), action))
            rows.append(transitions)
            episodes.append(finished)
            states.append(driver.state)
    columns = (np.stack([getattr(row, name) for row in rows]) for name in ("next_state", "reward", "done"))
    return Run(np.stack(states), *columns, episodes)


def random_actions(steps: int, count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, count, steps)


def ends(run: Run) -> np.ndarray:
    """Where an episode ends for the learner, bool `[T, N]`, as the states show it."""
    return (run.next_states != run.states[1:]).any(axis=(2, 3, 4))


def breakout(backend: str, **options) -> AtariEnvironment:
    """Deterministic, except that with ale-py a game may start with one no-op."""
    return AtariEnvironment("Breakout", backend=backend, **{"sticky_actions": 0.0, "noop_max": 1, **options})


@functools.cache
def lives(backend: str) -> Run:
    """300 steps of Breakout in which a lost life ends an episode, the same actions on each backend."""
    return play(breakout(backend, terminal_on_life_loss=True), random_actions(300, 4), [0, 1, 2])


# Observations. ----------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(2)
@every_backend
def test_spaces(backend):
    environment = AtariEnvironment("Pong", 2, backend, frame_stack=3)
    with open_env(environment) as env:
        assert env.num_envs == 2
        assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
        assert env.single_observation_space == Box(0, 255, (84, 84, 3), np.uint8)
        assert env.single_action_space == Discrete(6)
        assert environment.num_actions == 6
        observation, _ = env.reset(seed=[1, 2])
        assert (observation.shape, observation.dtype) == ((2, 84, 84, 3), np.uint8)
        assert env.observation_space.contains(observation)


@pytest.mark.slow
@every_backend
def test_a_stack_shifts_within_an_episode_and_starts_with_its_first_frame_repeated(backend):
    run = lives(backend)
    assert (run.states[0] == run.states[0][..., :1]).all()
    ended = ends(run)
    assert ended.sum() >= 15
    np.testing.assert_array_equal(run.next_states[..., :-1], run.states[:-1][..., 1:])  # Also where an episode ends.
    first = run.states[1:][ended]
    np.testing.assert_array_equal(first, np.broadcast_to(first[..., :1], first.shape))


@pytest.mark.default_cases(2)
@every_backend
def test_all_backends_play_the_same_game(backend):
    """The same frames, rewards and ends, to the last pixel."""
    reference, run = lives("gymnasium"), lives(backend)
    columns = (0, 1, 2)
    if backend == "ale":  # Seed 0 draws one no-op of 0 or 1; the other backends always take one.
        columns = (0,)
    for column in columns:
        for name in ("states", "next_states", "rewards", "done"):
            np.testing.assert_array_equal(getattr(run, name)[:, column], getattr(reference, name)[:, 0])


# Ends of episodes. ------------------------------------------------------------------------------------------------------


@every_backend
def test_a_lost_life_ends_an_episode_for_the_learner_but_not_a_reported_one(backend):
    run = lives(backend)
    assert run.episodes != [[]] * 300
    for column in range(3):
        games = [(t, e) for t, episodes in enumerate(run.episodes) for e in episodes if e.env == column]
        begin = 0
        for t, episode in games:
            assert run.done[begin : t + 1, column].sum() == 5  # Breakout has 5 lives.
            assert episode == Episode(run.rewards[begin : t + 1, column].sum(), t + 1 - begin, column, truncated=False)
            begin = t + 1


@every_backend
def test_after_a_lost_life_the_same_game_continues(backend):
    """The next episode starts with the last frame of the one before; a new game starts with another frame."""
    run = lives(backend)
    ended = {(t, episode.env) for t, episodes in enumerate(run.episodes) for episode in episodes}
    for t, column in np.argwhere(run.done == 1.0):
        same = (run.states[t + 1, column] == run.next_states[t, column][..., -1:]).all()
        assert same == ((t, column) not in ended)


@pytest.mark.slow
@backends(slow=("ale", "envpool"))
def test_without_the_option_an_episode_is_a_game(backend):
    run = play(breakout(backend), random_actions(300, 4), [0, 1, 2])
    np.testing.assert_array_equal(run.rewards, lives(backend).rewards)
    assert run.episodes == lives(backend).episodes
    done = [[float(any(e.env == column for e in episodes)) for column in range(3)] for episodes in run.episodes]
    np.testing.assert_array_equal(run.done, done)


@pytest.mark.slow
@every_backend
@pytest.mark.parametrize("frames", [pytest.param(40, marks=pytest.mark.slow), 43])
def test_max_episode_frames_truncates_and_the_final_observation_is_that_of_the_game(backend, frames):
    actions = random_actions(25, 4)
    limited = play(breakout(backend, max_episode_frames=frames), actions, [0, 0])
    whole = play(breakout(backend), actions, [0, 0])
    assert [bool(episodes) for episodes in limited.episodes] == [t in (9, 19) for t in range(25)]
    assert [(e.length, e.truncated) for e in limited.episodes[9]] == [(10, True)] * 2
    assert (limited.done == 0.0).all()
    np.testing.assert_array_equal(limited.next_states[:10], whole.next_states[:10])
    assert (limited.states[10] != limited.next_states[9]).any()


# Options. ---------------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(2)
@every_backend
def test_clipped_rewards_are_for_the_learner_and_episodes_report_unclipped_ones(backend):
    options = {"backend": backend, "max_episode_frames": 320, "sticky_actions": 0.0, "noop_max": 1}
    actions = random_actions(80, 6)
    true = play(AtariEnvironment("SpaceInvaders", **options), actions, [0])
    clipped = play(AtariEnvironment("SpaceInvaders", clip_rewards=True, **options), actions, [0])
    assert true.rewards.max() >= 5.0
    np.testing.assert_array_equal(clipped.rewards, np.clip(true.rewards, -1, 1))
    assert clipped.episodes == true.episodes
    assert true.episodes[-1][0].reward == true.rewards.sum() > 0


@pytest.mark.slow
@backends(slow=("ale",))
def test_the_same_seeds_give_the_same_games_and_other_seeds_do_not(backend):
    environment = AtariEnvironment("Pong", backend=backend, max_episode_frames=80)
    actions = random_actions(50, 6)
    first, second = (play(environment, actions, [3, 2**31 - 1]) for _ in range(2))
    other = play(environment, actions, [3, 4])
    for one, two in zip(first[:4], second[:4], strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(first.states[:, 0], other.states[:, 0])
    assert (first.states[:, 1] != other.states[:, 1]).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sticky", "backend"),
    [
        case("gymnasium", 0.0),
        case("ale", 0.0, slow=True),
        case("envpool", 0.0, slow=True),
        case("gymnasium", 0.25),
        case("ale", 0.25, slow=True),
        case("envpool", 0.25),
    ],
)
def test_sticky_actions_make_the_same_actions_differ(backend, sticky):
    run = play(breakout(backend, sticky_actions=sticky, noop_max=1), random_actions(40, 4), [0, 0, 4, 6])
    differ = [bool((run.states[:, column] != run.states[:, 0]).any()) for column in range(4)]
    assert differ == [False, False, sticky > 0, sticky > 0]  # ale-py draws the no-op for all of these seeds.


@pytest.mark.slow
@backends(slow=("gymnasium", "envpool"))
def test_games_start_with_different_numbers_of_no_ops(backend):
    def starts(noop_max: int) -> int:
        environment = AtariEnvironment("Freeway", backend=backend, sticky_actions=0.0, noop_max=noop_max)
        return len({state.tobytes() for state in play(environment, np.zeros(1, np.int64), list(range(5))).states[0]})

    assert starts(30) >= 3
    assert starts(1) <= (2 if backend == "ale" else 1)


@pytest.mark.parametrize("backend", ["gymnasium", "ale"])
def test_noop_max_may_be_zero(backend):
    starts = play(breakout(backend, noop_max=0), random_actions(5, 4), [0, 1, 2]).states
    assert (starts == starts[:, :1]).all()


@every_backend
def test_frame_skip_is_the_number_of_frames_of_a_step(backend):
    """Eight frames with an action are two steps of four."""
    four = play(breakout(backend), np.repeat(random_actions(20, 4), 2), [0])
    eight = play(breakout(backend, frame_skip=8), random_actions(20, 4), [0])
    np.testing.assert_array_equal(eight.states[..., -1], four.states[::2, ..., -1])


@every_backend
def test_steps_of_one_frame_are_the_same_on_all_backends(backend):
    actions = random_actions(100, 4)
    reference, run = (play(breakout(name, frame_skip=1, frame_stack=1), actions, [0]) for name in ("gymnasium", backend))
    np.testing.assert_array_equal(run.states, reference.states)


@every_backend
def test_all_actions_are_possible(backend):
    assert AtariEnvironment("Pong", backend=backend, full_action_space=True).num_actions == 18


# What is refused. -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"game": "pong"}, "game='pong' is unknown.*Did you mean 'Pong'"),
        ({"game": "ALE/Pong-v5"}, "game='ALE/Pong-v5' is unknown"),
        ({"backend": "gym"}, "backend='gym' is unknown.*envpool"),
        ({"sticky_actions": 1.5}, r"sticky_actions=1.5 must lie in \[0.0, 1.0\]"),
        ({"max_episode_frames": 3}, "max_episode_frames=3 must be at least 4"),
        ({"num_envs": 0}, "num_envs=0"),
        ({"frame_stack": 0}, "frame_stack=0"),
    ],
)
def test_wrong_arguments_are_refused_by_the_constructor(arguments, message):
    with pytest.raises(ValueError, match=message):
        AtariEnvironment(**{"game": "Pong", **arguments})


@needs_envpool
def test_envpool_refuses_a_noop_max_of_zero():
    with pytest.raises(ValueError, match="envpool needs a noop_max of at least 1; use backend='ale'"):
        AtariEnvironment("Pong", backend="envpool", noop_max=0)


@pytest.mark.parametrize(
    ("backend", "package", "extra"),
    [("gymnasium", "cv2", "atari"), ("ale", "ale_py", "atari"), ("envpool", "envpool", "envpool")],
)
def test_a_missing_package_is_named_by_the_constructor(monkeypatch, backend, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"'{package}', which cannot be imported.*pip install 'polyrl\[{extra}\]'.* or use"):
        AtariEnvironment("Pong", backend=backend)
