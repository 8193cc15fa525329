"""Pools as vector environments that reset in the same step, and envpool's environments."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest
from absl.testing import flagsaver
from gymnasium.vector import AutoresetMode
from tiny_envs import ScheduleEnv, expected_steps

from polyrl.envs import EnvDriver, EnvpoolEnvironment, Episode, GymEnvironment, open_env
from polyrl.envs.backends import import_package
from polyrl.envs.same_step import SameStepVectorEnv, Stepped
from polyrl.experiments import atari, cli

SCHEDULES = [
    {"lengths": (2, 9), "ends": ("terminated",)},
    {"lengths": (5, 1), "ends": ("truncated", "both")},
    {"lengths": (3, 3, 7), "ends": ("truncated", "terminated")},
]
LIMIT = 4


class SchedulePool:
    """`ScheduleEnv`s that are never reset but when asked to be, with one array for all observations; counts its resets."""

    def __init__(self):
        self.envs = [ScheduleEnv(number, **schedule) for number, schedule in enumerate(SCHEDULES)]
        self.num_envs = len(self.envs)
        self.observation_space, self.action_space = self.envs[0].observation_space, self.envs[0].action_space
        self.buffer = np.zeros([self.num_envs, 4], np.float32)
        self.seeds, self.closings = [], 0

    def reset(self, seeds):
        self.seeds.append(list(seeds))
        return self.reset_some(np.arange(self.num_envs))

    def reset_some(self, envs):
        rows = np.array([self.envs[index].reset()[0] for index in envs])
        return rows, {"lives": np.full(len(envs), 3)}

    def step(self, actions):
        rows = [env.step(action) for env, action in zip(self.envs, actions, strict=True)]
        self.buffer[:] = [row[0] for row in rows]
        reward, terminated, truncated = (np.array([row[k] for row in rows]) for k in (1, 2, 3))
        return Stepped(self.buffer, reward, terminated, truncated, {"lives": np.arange(self.num_envs)})

    def close(self):
        self.closings += 1


def limited(lengths, ends):
    """The same schedule under the limit."""
    return {
        "lengths": [min(length, LIMIT) for length in lengths],
        "ends": [
            end if length < LIMIT else {"terminated": "both"}.get(end, end) if length == LIMIT else "truncated"
            for length, end in ((length, ends[k % len(ends)]) for k, length in enumerate(lengths))
        ],
    }


def test_a_pool_gives_the_transitions_of_its_environments_up_to_the_limit():
    driver = EnvDriver(SameStepVectorEnv(SchedulePool(), LIMIT))
    actions = np.random.default_rng(0).integers(0, ScheduleEnv.NUM_ACTIONS, [30, 3])
    driver.reset([0, 1, 2])
    given = [driver.step(row) for row in actions]
    # `ends` repeat with `lengths` here: one of each for each episode.
    for number, schedule in enumerate(SCHEDULES):
        count = np.lcm(len(schedule["lengths"]), len(schedule["ends"]))
        lengths = [schedule["lengths"][k % len(schedule["lengths"])] for k in range(count)]
        ends = [schedule["ends"][k % len(schedule["ends"])] for k in range(count)]
        steps = expected_steps(iter(actions[:, number].tolist()), number, **limited(lengths, ends))
        length = 0
        for transitions, episodes in given:
            step = next(steps)
            length += 1
            assert tuple(transitions.state[number]) == step.state
            assert tuple(transitions.next_state[number]) == step.next_state
            assert transitions.done[number] == step.terminated
            over = [episode for episode in episodes if episode.env == number]
            assert bool(over) == (step.terminated or step.truncated)
            if over:
                assert over[0].length == length
                assert over[0].truncated == (not step.terminated)
                length = 0


def test_infos_after_an_end_are_those_of_the_new_episode():
    env = SameStepVectorEnv(SchedulePool(), LIMIT)
    env.reset(seed=0)
    env.step(np.zeros(3, np.int64))
    info = env.step(np.zeros(3, np.int64))[-1]
    np.testing.assert_array_equal(info["lives"], [3, 1, 2])
    np.testing.assert_array_equal(info["_final_obs"], [True, False, False])


def test_seeds_are_one_for_each_environment():
    pool = SchedulePool()
    env = SameStepVectorEnv(pool, LIMIT)
    env.reset(seed=5)
    env.reset(seed=[7, 8, 9])
    env.reset()  # Goes on with the random streams as they are.
    assert pool.seeds == [[5, 6, 7], [7, 8, 9]]
    with pytest.raises(ValueError, match="one seed for each of the 3"):
        env.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="options"):
        env.reset(options={"reset_mask": [True, False, False]})


def test_a_pool_is_closed_with_its_vector():
    pool = SchedulePool()
    SameStepVectorEnv(pool, LIMIT).close()
    assert pool.closings == 1


def test_a_package_that_is_missing_is_named_with_what_would_do():
    with pytest.raises(ValueError, match=r"backend='none' needs .*'no_such_package'.*polyrl\[atari\].*or use the other one\."):
        import_package("no_such_package", "backend='none'", "atari", "the other one")


# envpool. ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cartpole() -> list:
    """500 steps of 4 environments with random actions: transitions and episodes of each step."""
    pytest.importorskip("envpool", reason="envpool is not installed: pip install 'polyrl[envpool]'")
    return drive(EnvpoolEnvironment("CartPole-v1", 4), 500, [3, 4, 5, 6])


def drive(environment, steps: int, seeds: list[int]) -> list:
    env, owned = open_env(environment)
    assert owned
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    driver = EnvDriver(env)
    driver.reset(seeds)
    rows = [
        driver.step(row)
        for row in np.random.default_rng(0).integers(0, driver.action_spec.maximum + 1, [steps, driver.num_envs])
    ]
    env.close()
    return rows


def test_every_transition_of_envpool_follows_the_physics_of_gymnasium(cartpole):
    """Also the last of an episode: no pair holds states of two episodes."""
    reference = gymnasium.make("CartPole-v1").unwrapped
    ended = 0
    for transitions, _ in cartpole:
        for row in range(4):
            reference.reset()
            reference.state = np.array(transitions.state[row], np.float64)
            following, reward, terminated, _, _ = reference.step(int(transitions.action[row]))
            np.testing.assert_allclose(transitions.next_state[row], following, rtol=1e-4, atol=1e-5)
            assert (transitions.reward[row], transitions.done[row]) == (reward, terminated)
            ended += terminated
    assert ended > 50


def test_episodes_of_envpool_begin_near_the_middle(cartpole):
    for (_, episodes), (following, _) in itertools.pairwise(cartpole):
        for episode in episodes:
            assert np.abs(following.state[episode.env]).max() <= 0.05
            assert episode.reward == episode.length


def test_the_same_seeds_give_the_same_episodes_of_envpool_and_others_give_others(cartpole):
    again = drive(EnvpoolEnvironment("CartPole-v1", 4), 500, [3, 4, 5, 6])
    other = drive(EnvpoolEnvironment("CartPole-v1", 4), 500, [3, 4, 5, 7])
    for (first, _), (second, _) in zip(cartpole, again, strict=True):
        np.testing.assert_array_equal(first.next_state, second.next_state)
    assert (cartpole[0][0].state == other[0][0].state).all(axis=1).tolist() == [True, True, True, False]


def test_the_limit_of_an_envpool_environment_truncates():
    pytest.importorskip("envpool", reason="envpool is not installed: pip install 'polyrl[envpool]'")
    rows = drive(EnvpoolEnvironment("CartPole-v1", 2, max_episode_steps=3), 6, [0, 1])
    assert [episodes for _, episodes in rows] == [[], [], two := [Episode(3.0, 3, k, True) for k in (0, 1)], [], [], two]
    assert all((transitions.done == 0.0).all() for transitions, _ in rows)


def test_what_envpool_does_not_have_is_refused():
    pytest.importorskip("envpool", reason="envpool is not installed: pip install 'polyrl[envpool]'")
    with pytest.raises(ValueError, match=r"'CartPoll-v1' is unknown to envpool.*'CartPole-v1'"):
        EnvpoolEnvironment("CartPoll-v1")


# --env_backend. ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def backend():
    """Sets the flag, and sets it back."""
    if not cli.FLAGS.is_parsed():
        cli.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        yield lambda name: cli.FLAGS.__setattr__("env_backend", name)


@pytest.mark.parametrize(("name", "mode"), [("gymnasium", "sync"), ("async", "async")])
def test_the_flag_chooses_how_gymnasium_runs_it(backend, name, mode):
    backend(name)
    environment = cli.environment("CartPole-v1", {"num_envs": 3})
    assert isinstance(environment, GymEnvironment)
    assert (environment.env_id, environment.num_envs, environment.vectorization_mode) == ("CartPole-v1", 3, mode)


def test_the_flag_chooses_envpool(backend):
    pytest.importorskip("envpool", reason="envpool is not installed: pip install 'polyrl[envpool]'")
    backend("envpool")
    environment = cli.environment("CartPole-v1", {"num_envs": 3})
    assert isinstance(environment, EnvpoolEnvironment)
    assert (environment.env_id, environment.num_envs) == ("CartPole-v1", 3)


def test_a_backend_without_the_environment_says_which_have_it(backend):
    backend("ale")
    with pytest.raises(ValueError, match="--env_backend=ale runs Atari games; for CartPole-v1 use gymnasium, async"):
        cli.environment("CartPole-v1", {"num_envs": 3})
    for name in ("async", "compiled"):
        backend(name)
        with pytest.raises(ValueError, match=f"--env_backend={name} has no Atari games; use one of gymnasium, ale, envpool"):
            atari.environments({})


def test_what_is_for_training_only_is_not_in_what_is_evaluated(backend):
    pytest.importorskip("ale_py", reason="ale-py is not installed: pip install 'polyrl[atari]'")
    backend("ale")
    params = {name: cli.FLAGS[name].value for name in (*atari.HYPER_PARAMETERS, "num_envs")}
    params |= {"terminal_on_life_loss": True, "clip_rewards": True, "sticky_actions": 0.1, "num_envs": 3}
    training, evaluation = atari.environments(params)
    assert (training.terminal_on_life_loss, training.clip_rewards) == (True, True)
    assert (evaluation.terminal_on_life_loss, evaluation.clip_rewards) == (False, False)
    for environment in (training, evaluation):
        assert (environment.backend, environment.num_envs, environment.sticky_actions) == ("ale", 3, 0.1)


def test_the_backend_is_no_hyper_parameter():
    """It does not change the task: a run may be resumed with another."""
    assert "env_backend" not in (*cli.HYPER_PARAMETERS, *atari.HYPER_PARAMETERS)
    assert {"game", "sticky_actions", "clip_rewards"} <= set(atari.HYPER_PARAMETERS)
