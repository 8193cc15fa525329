"""`GymEnvironment` and `open_env`: what may be passed as an environment, and what is refused before anything starts."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv, vector

from polyrl.envs import EnvDriver, GymEnvironment, num_states_and_actions, open_env
from polyrl.experiments import RLExperiment

ID = "polyrl/TinySchedule-v0"


def opened(env, **arguments) -> EnvDriver:
    """The driver of an environment that was opened, and is closed again."""
    with open_env(env, **arguments) as vector:
        return EnvDriver(vector)


def with_spaces(action=None, observation=None) -> ScheduleEnv:
    env = ScheduleEnv()
    env.action_space = env.action_space if action is None else action
    env.observation_space = env.observation_space if observation is None else observation
    return env


BOX = Box(-1.0, 1.0, (2,), np.float32)
SPACES = {
    "action_without_bounds": ({"action": Box(-np.inf, 1.0, (2,), np.float32)}, ["no bounds", "TransformAction"]),
    "action_matrix": ({"action": Box(-1.0, 1.0, (2, 2), np.float32)}, ["rank 1", "ActionWrapper"]),
    "multi_discrete_action": ({"action": MultiDiscrete([2, 3])}, ["MultiDiscrete", "Discrete(n)"]),
    "multi_binary_action": ({"action": MultiBinary(3)}, ["MultiBinary", "Discrete(n)"]),
    "multi_discrete_observation": ({"observation": MultiDiscrete([2, 3])}, ["MultiDiscrete", "FlattenObservation"]),
    "dict_observation": ({"observation": Dict(x=BOX)}, ["Dict", "FlattenObservation"]),
}


@pytest.mark.parametrize("case", SPACES)
@pytest.mark.parametrize("form", ["single", "vector"])
def test_spaces_that_are_not_supported_are_refused_with_a_remedy(case, form):
    arguments, words = SPACES[case]
    env = with_spaces(**arguments)
    with pytest.raises(TypeError) as error:
        opened(env if form == "single" else vector(env))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_another_autoreset_mode_is_refused(mode):
    env = SyncVectorEnv([ScheduleEnv], autoreset_mode=mode)
    with pytest.raises(ValueError, match=r"autoreset_mode=.*SAME_STEP"):
        opened(env)


@pytest.mark.parametrize("thing", [None, 3, ScheduleEnv, [ScheduleEnv()]], ids=["None", "int", "class", "list"])
def test_what_is_not_an_environment_is_refused(thing):
    with pytest.raises(TypeError, match="must be an id, an EnvSpec, a GymEnvironment"):
        opened(thing)


@pytest.mark.parametrize("open_it", [GymEnvironment, opened])
def test_an_unknown_id_names_the_nearest_one(open_it):
    with pytest.raises(ValueError, match="CartPole-v1"):
        open_it("CartPoll-v1")


@pytest.mark.parametrize("number", [0, -1])
def test_fewer_than_one_environment_is_refused(number):
    with pytest.raises(ValueError, match=f"num_envs={number}"):
        GymEnvironment(ID, number)


def test_an_unknown_vectorization_mode_is_refused():
    with pytest.raises(ValueError, match="vectorization_mode='threads'"):
        GymEnvironment(ID, vectorization_mode="threads")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_id_is_opened_num_envs_times_with_its_arguments(mode):
    with open_env(GymEnvironment(ID, 3, mode, lengths=(2,), ends=("truncated",))) as env:
        driver = EnvDriver(env)
        driver.reset([0, 1, 2])
        ended = [driver.step(np.zeros(3, np.int32)) for _ in range(4)]
        assert [len(episodes) for _, episodes in ended] == [0, 3, 0, 3]
        for transitions, _ in ended:
            np.testing.assert_array_equal(transitions.next_state[:, 1], transitions.state[:, 1])
            np.testing.assert_array_equal(transitions.next_state[:, 2], transitions.state[:, 2] + 1)
            np.testing.assert_array_equal(transitions.done, 0.0)
    assert env.closed


def test_the_number_to_open_overrides_that_of_the_constructor():
    assert opened(GymEnvironment(ID, 3), num_envs=2).num_envs == 2


def test_a_time_limit_of_the_environments_registration_truncates():
    gymnasium.register("polyrl/Limited-v0", ScheduleEnv, max_episode_steps=2, kwargs={"lengths": (5,)}, order_enforce=False)
    try:
        with open_env("polyrl/Limited-v0") as env:
            driver = EnvDriver(env)
            driver.reset([0])
            driver.step(np.array([0]))
            transitions, (episode,) = driver.step(np.array([0]))
        assert (episode.truncated, episode.length, transitions.done[0]) == (True, 2, 0.0)
    finally:
        del gymnasium.registry["polyrl/Limited-v0"]


@pytest.mark.parametrize("form", ["id", "single"])
def test_the_final_observation_is_right_though_the_environment_reuses_its_buffer(form):
    """The reset in the same step overwrites the environment's array, but not the final observation."""
    with open_env(GymEnvironment(ID, reuse_buffer=True) if form == "id" else ScheduleEnv(reuse_buffer=True)) as env:
        driver = EnvDriver(env)
        driver.reset([0])
        transitions = [driver.step(np.array([1]))[0] for _ in range(4)]
    assert [tuple(given.next_state[0]) for given in transitions] == [(0, 0, 1, 2), (0, 0, 2, 2), (0, 0, 3, 2), (0, 1, 1, 2)]


def test_instances_are_used_as_they_are_and_belong_to_the_caller():
    single, many = ScheduleEnv(), vector(ScheduleEnv(), ScheduleEnv())
    with open_env(single, num_envs=7) as env:
        assert [part.unwrapped for part in env.envs] == [single]
    with open_env(many, num_envs=7) as env:
        assert env is many
    assert not many.closed
    assert single.closings == 0


@pytest.mark.parametrize("form", ["single", "vector"])
def test_training_evaluation_and_prediction_leave_a_callers_environment_open(form, tmp_path):
    singles = [ScheduleEnv(number) for number in range(1 if form == "single" else 2)]
    env = singles[0] if form == "single" else vector(*singles)
    agent = make_agent(model_dir=tmp_path)
    agent.train(env, first_update=4, timesteps=8)
    agent.evaluate(env, episodes=2)
    rows = agent.predict(env)
    next(rows)
    rows.close()
    assert [single.closings for single in singles] == [0] * len(singles)
    assert all(single.steps > 0 for single in singles)


def test_environments_opened_from_an_id_are_closed_again_also_after_an_error(tmp_path, monkeypatch):
    opened = []

    class Watched(ScheduleEnv):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            opened.append(self)

    gymnasium.register("polyrl/Watched-v0", Watched, order_enforce=False, disable_env_checker=True)
    try:
        agent = make_agent(model_dir=tmp_path, check_env=False)
        agent.train("polyrl/Watched-v0", first_update=4, timesteps=8)
        agent.evaluate("polyrl/Watched-v0", episodes=2)
        next(agent.predict("polyrl/Watched-v0"))
        monkeypatch.setattr(EnvDriver, "step", lambda self, actions: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            agent.train("polyrl/Watched-v0", first_update=4, timesteps=8)
    finally:
        del gymnasium.registry["polyrl/Watched-v0"]
    live = [env for env in opened if env.seeds]  # gymnasium also makes one to look at its spaces, and closes it.
    assert len(live) == 1 + 2 + 1 + 1
    assert all(env.closings == 1 for env in live)


@pytest.mark.parametrize(
    "env_id",
    [
        "CartPole-v1",
        "CartPole",
        "gymnasium.envs.classic_control:CartPole-v1",
        "gymnasium:CartPole",
        gymnasium.spec("CartPole-v1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_gymnasium_makes_is_taken(env_id, mode):
    vector = GymEnvironment(env_id, 2, vectorization_mode=mode).open()
    try:
        assert vector.reset(seed=[0, 1])[0].shape == (2, 4)
        assert vector.single_action_space.n == 2
    finally:
        vector.close()


@pytest.mark.parametrize(
    ("env_id", "words"),
    [
        ("CartPol", "Did you mean 'CartPole"),
        ("Ladder", "One of your own is 'module:Id-v0', or 'module:name' of a class or function"),
        ("CartPole-v99", "is unknown to gymnasium"),
        ("gymnasium:CartPol-v1", "Did you mean 'CartPole-v1'"),
        ("no_such_module:CartPole-v1", "the module 'no_such_module' cannot be imported"),
        ("gymnasium:", "is unknown to gymnasium"),
        ("", "is unknown to gymnasium"),
    ],
)
def test_what_gymnasium_does_not_make_is_refused(env_id, words):
    with pytest.raises(ValueError, match=words):
        GymEnvironment(env_id)


def test_a_spec_is_taken_wherever_an_environment_is(tmp_path):
    spec = gymnasium.spec(ID)
    agent = make_agent(model_dir=tmp_path)
    agent.train(spec, first_update=4, max_timesteps=8)
    assert agent.evaluate(spec, episodes=1)["mean_ep_length"] > 0
    assert len(list(agent.predict(spec, steps=3))) == 3
    assert agent.record(spec, episodes=1).episodes
    RLExperiment(agent, spec, train_timesteps=12, first_update=4, eval_episodes=1).train_and_evaluate()
    assert num_states_and_actions(spec) == num_states_and_actions(ID)


def test_a_spec_is_checked_as_its_id_is():
    class NoSeed(ScheduleEnv):
        def reset(self):
            return super().reset()

    spec = EnvSpec("polyrl/NoSeed-v0", entry_point=NoSeed)
    with pytest.raises(ValueError, match="its reset does not take 'seed'"):
        make_agent().train(spec, first_update=4, max_timesteps=8)


@pytest.mark.parametrize(
    ("spaces", "words"),
    [
        ({"action": Discrete(3, start=2**31)}, r"action space Discrete\(3, start=2147483648\) has the actions .* 2147483650"),
        ({"action": Discrete(3, start=-(2**31) - 1)}, r"Discrete\(3, start=-2147483649\) .* int32 cannot hold"),
        ({"action": Discrete(2**33)}, r"action space Discrete\(8589934592\) has the actions 0 to 8589934591, which int32"),
        ({"observation": Discrete(2**33)}, r"observation space Discrete\(8589934592\) has more states than int32 can count"),
        ({"observation": Dict(state=BOX, k=Discrete(2**33))}, r"observation space Discrete\(8589934592\) has more states"),
    ],
)
def test_numbers_beyond_int32_are_refused(spaces, words):
    with pytest.raises(ValueError, match=words):
        opened(with_spaces(**spaces))


def test_the_largest_numbers_of_int32_are_taken():
    assert opened(with_spaces(action=Discrete(3, start=2**31 - 3), observation=Discrete(2**31, start=2**40))).first_action > 0
