"""MinAtar's games by id: their protocol, their seeds, and what a checkpoint holds of them."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from polyrl.envs import GymEnvironment, num_states_and_actions, packages
from polyrl.envs.checking import check_environment
from polyrl.envs.described import described
from polyrl.envs.minatar import GAMES, MinAtarEnv, specs
from polyrl.envs.whole_states import get_whole_state, is_whole, set_whole_state

minatar = pytest.importorskip("minatar", reason="minatar is not installed: pip install 'polyrl[minatar]'")

CHANNELS = {"asterix": 4, "breakout": 4, "freeway": 7, "seaquest": 10, "space_invaders": 6}
ACTIONS = {"asterix": 5, "breakout": 3, "freeway": 3, "seaquest": 6, "space_invaders": 4}
every_game = pytest.mark.parametrize("game", GAMES)


def play(env, actions) -> list:
    """Observations, rewards and ends; a new episode begins where one ends."""
    steps = []
    for action in actions:
        observation, reward, terminated, _, _ = env.step(action)
        steps.append((observation.tobytes(), reward, terminated))
        if terminated:
            env.reset()
    return steps


def actions_of(env, number: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, env.action_space.n, number).tolist()


@pytest.mark.parametrize("env_id", specs())
def test_every_id_is_an_environment_that_passes_the_check(env_id):
    environment = GymEnvironment(env_id, 2)
    check_environment(environment)
    game = specs()[env_id].kwargs["game"]
    expected = ACTIONS[game] if env_id.endswith("v1") else 6
    assert num_states_and_actions(environment) == ((10, 10, CHANNELS[game]), expected)
    assert described(environment).startswith(f"{env_id}(game={game!r}, use_minimal_action_set=")


@every_game
def test_a_seed_repeats_an_episode_whatever_was_played_before(game):
    first, second = MinAtarEnv(game), MinAtarEnv(game)
    actions = actions_of(first, 400)
    second.reset(seed=5)
    play(second, actions_of(second, 50, seed=1))
    found = []
    for env in (first, second):
        start = env.reset(seed=3)[0].tobytes()
        found.append([start, *play(env, actions)])
    assert found[0] == found[1]
    other = MinAtarEnv(game)
    other.reset(seed=4)
    assert play(other, actions) != found[0][1:]


def test_a_sticky_first_step_does_not_repeat_the_episode_before():
    """The package's own environment does: the paddle would go left in a tenth of the episodes."""
    env = MinAtarEnv("breakout")
    for seed in range(100):
        env.reset(seed=seed)
        env.step(1)
        env.reset()
        assert env.step(2)[0][9, :, 0].argmax() in (4, 5)  # From the middle, 4: to the right, or no action.


@every_game
def test_it_comes_back_in_mid_episode(game):
    env, copy = MinAtarEnv(game), MinAtarEnv(game)
    actions = actions_of(env, 600)
    env.reset(seed=3)
    play(env, actions[:137])
    state = get_whole_state(env)
    copy.reset(seed=8)
    set_whole_state(copy, state)
    assert is_whole(env)
    assert play(copy, actions[137:]) == play(env, actions[137:])


@every_game
def test_the_game_is_the_packages(game):
    """The same random numbers give the same steps: the rules, the sticky actions and the ramp are theirs."""
    ours = MinAtarEnv(game, use_minimal_action_set=False)
    theirs = minatar.Environment(game)  # Its defaults are the protocol.
    ours.reset(seed=11)
    bits = np.random.PCG64()
    bits.state = gymnasium.utils.seeding.np_random(11)[0].bit_generator.state
    theirs.random = theirs.env.random = np.random.RandomState(bits)
    theirs.reset()
    for action in actions_of(ours, 500):
        observation, reward, terminated, truncated, _ = ours.step(action)
        their_reward, their_end = theirs.act(action)
        np.testing.assert_array_equal(observation, theirs.state())
        assert (reward, terminated, truncated) == (their_reward, their_end, False)
        if terminated:
            ours.reset()
            theirs.reset()
            theirs.last_action = 0


def test_actions_are_sticky_with_the_probability_that_is_said():
    """Breakout's paddle is alone in the first channel, in the last row; actions 1 and 2 move it."""
    for probability, low, high in ((0.0, 0.0, 0.0), (0.1, 0.06, 0.14), (1.0, 1.0, 1.0)):
        env, repeated, moves = MinAtarEnv("breakout", sticky_action_prob=probability), 0, 0
        before = env.reset(seed=0)[0][9, :, 0].argmax()
        for step in range(4_000):
            action = 1 + step % 2  # Never that of the step before.
            observation, _, terminated, _, _ = env.step(action)
            place = observation[9, :, 0].argmax()
            if 0 < before < 9:
                moves += 1
                repeated += place - before != (-1 if action == 1 else 1)
            before = env.reset()[0][9, :, 0].argmax() if terminated else place
        assert moves > 2_000
        assert low <= repeated / moves <= high


def test_a_picture_has_a_colour_for_each_channel():
    env = MinAtarEnv("breakout", render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert (picture.shape, picture.dtype) == ((160, 160, 3), np.uint8)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 3  # Nothing, the paddle, bricks, which hide the ball.
    for _ in range(2):
        env.step(0)
    assert len(np.unique(env.render().reshape(-1, 3), axis=0)) == 5  # And the ball and its trail.
    assert MinAtarEnv("breakout").render() is None


@pytest.mark.parametrize("env_id", ["MinAtar/Breakot-v1", "MinAtar/Breakout", "MinAtar/Breakout-v7"])
def test_an_id_that_it_does_not_have_is_refused_with_the_nearest(env_id):
    with pytest.raises(ValueError, match=rf"env_id='{env_id}' is not of MinAtar.*Did you mean 'MinAtar/Breakout-v[01]'\?"):
        GymEnvironment(env_id)


def test_a_game_that_it_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"game='brakeout' is not of MinAtar.*Did you mean 'breakout'\?"):
        MinAtarEnv("brakeout")


def test_ids_of_others_are_left_to_gymnasium():
    assert packages.import_for("CartPole-v1") is None
    assert "MinAtar/Breakout-v1" not in gymnasium.registry
