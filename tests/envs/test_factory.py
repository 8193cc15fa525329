"""`GymEnvironment` of a class or function: what it makes, and what is refused."""

from __future__ import annotations

import copy
import functools
import multiprocessing
import os
import re
import threading

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from tiny_agents import make_agent
from tiny_envs import ConstantEnv, ScheduleEnv, vector

from polyrl.envs import EnvDriver, GymEnvironment, num_states_and_actions, open_env
from polyrl.errors import BrokenEnvironmentError

MODES = ("sync", "async")
every_mode = pytest.mark.parametrize("mode", MODES)


def make_schedule(lengths, ends=("terminated",)) -> gymnasium.Env:
    return ScheduleEnv(lengths=lengths, ends=ends)


CALLABLES = {
    "class": (ScheduleEnv, {"lengths": (2,), "ends": ("truncated",)}),
    "function": (make_schedule, {"lengths": (2,), "ends": ("truncated",)}),
    "lambda": (lambda: TimeLimit(ScheduleEnv(lengths=(5,)), 2), {}),
    "partial": (functools.partial(ScheduleEnv, lengths=(2,)), {"ends": ("truncated",)}),
}


@every_mode
@pytest.mark.parametrize("kind", CALLABLES)
def test_a_callable_is_called_for_each_environment_with_the_arguments(kind, mode):
    make, arguments = CALLABLES[kind]
    env = GymEnvironment(make, 3, mode, **arguments).open()
    try:
        driver = EnvDriver(env)
        driver.reset([0, 1, 2])
        steps = [driver.step(np.array([0, 1, 2])) for _ in range(4)]
        assert [len(episodes) for _, episodes in steps] == [0, 3, 0, 3]
        for transitions, _ in steps:
            np.testing.assert_array_equal(transitions.next_state[:, 2], transitions.state[:, 2] + 1)
            np.testing.assert_array_equal(transitions.next_state[:, 3], [1, 2, 3])
            np.testing.assert_array_equal(transitions.done, 0.0)
    finally:
        env.close()


def test_training_evaluation_and_prediction_each_make_their_own_and_close_them(tmp_path):
    made = []

    def make() -> gymnasium.Env:
        made.append(ScheduleEnv())
        return made[-1]

    env, agent = GymEnvironment(make, num_envs=2), make_agent(model_dir=tmp_path, check_env=False)
    assert num_states_and_actions(env) == ((4,), 3)
    agent.train(env, first_update=4, timesteps=8)
    agent.evaluate(env, episodes=3)
    assert len(list(agent.predict(env, steps=2))) == 2
    assert len(made) == 1 + 2 + 3 + 1
    assert [env.closings for env in made] == [1] * len(made)


@every_mode
def test_the_number_to_open_overrides_that_of_the_constructor(mode):
    env = GymEnvironment(ScheduleEnv, 3, mode).open(2)
    assert env.num_envs == 2
    env.close()


# What a callable may not return. ----------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize(
    "wrong", [None, ScheduleEnv, (ScheduleEnv(), {}), vector(ScheduleEnv())], ids=["None", "class", "tuple", "vector"]
)
def test_what_is_not_an_environment_is_refused(wrong, mode):
    with pytest.raises(TypeError, match=r"env_id=<function .*> returned .*; expected one new gymnasium\.Env"):
        GymEnvironment(lambda: wrong, 2, mode).open()


@every_mode
@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: TimeLimit(env, 5)], ids=["bare", "wrapped"])
def test_the_same_instance_twice_is_refused_and_stays_open(wrap, mode):
    opened = ScheduleEnv()
    with pytest.raises(ValueError, match=r"returned the same environment again.*lambda: MyEnv\(\).*without GymEnvironment"):
        GymEnvironment(lambda: wrap(opened), 2, mode).open()
    assert opened.closings == 0


def test_an_instance_among_new_ones_is_refused_too():
    instances = [ScheduleEnv(), ScheduleEnv()]
    turns = iter(instances * 2)
    with pytest.raises(ValueError, match="the same environment again"):
        GymEnvironment(lambda: next(turns), 3).open()
    assert [env.closings for env in instances] == [0, 0]


@pytest.mark.parametrize("other", [True, False], ids=["another GymEnvironment", "the same GymEnvironment"])
def test_the_same_instance_is_refused_when_it_is_opened_a_second_time(other):
    """With one environment each, only the second opening can tell."""
    opened = ScheduleEnv()
    environment = GymEnvironment(lambda: opened)
    environment.open()
    again = GymEnvironment(lambda: opened) if other else environment
    with pytest.raises(ValueError, match="the same environment again"):
        again.open()


def test_deep_copies_of_one_instance_are_new_ones():
    template = ScheduleEnv()
    template.reset(seed=0)
    env = GymEnvironment(lambda: copy.deepcopy(template), 2).open()
    copied = GymEnvironment(lambda: copy.deepcopy(env.envs[0]), 2).open()
    assert len({id(one) for one in (template, *env.envs, *copied.envs)}) == 5


def test_environments_with_different_spaces_are_refused_and_closed():
    made = []

    def make() -> gymnasium.Env:
        made.append(ScheduleEnv())
        made[-1].observation_space = Box(0, 100 * len(made), (4,), np.float32)
        return made[-1]

    with pytest.raises(ValueError, match=r"different spaces: observation_space is Box\(0.0, 100.0.*Box\(0.0, 200.0"):
        GymEnvironment(make, 2).open()
    assert [env.closings for env in made] == [1, 1]


def test_those_made_before_an_error_are_closed():
    made = []

    def make() -> gymnasium.Env:
        if made:
            raise OSError("no more licences")
        made.append(ScheduleEnv())
        return made[-1]

    with pytest.raises(OSError, match="no more licences"):
        GymEnvironment(make, 2).open()
    assert made[0].closings == 1


@pytest.mark.parametrize("wrong", [None, 3, ScheduleEnv(), vector(ScheduleEnv()), SyncVectorEnv, dict], ids=str)
def test_what_is_neither_an_id_nor_makes_environments_is_refused_by_the_constructor(wrong):
    with pytest.raises(TypeError, match="must be a registered id, or a class or function that makes one"):
        GymEnvironment(wrong)


# Processes. -------------------------------------------------------------------------------------------------------------


def holding_a_lock() -> GymEnvironment:
    lock = threading.Lock()

    def make() -> gymnasium.Env:
        with lock:
            return ScheduleEnv()

    return GymEnvironment(make, 2, "async")


def test_what_cannot_be_pickled_is_refused_where_processes_are_spawned(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "spawn")
    with pytest.raises(
        ValueError, match=r"vectorization_mode='async' sends env_id=<function .* cannot be pickled.*lock.*'sync'"
    ):
        holding_a_lock().open()
    with pytest.raises(ValueError, match=r"env_id='polyrl/TinySchedule-v0' and its arguments .* cannot be pickled"):
        GymEnvironment("polyrl/TinySchedule-v0", 1, "async", first=threading.Lock()).open()


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="Processes are not forked here.")
def test_nothing_is_pickled_where_processes_are_forked():
    env = holding_a_lock().open()
    observation, _ = env.reset(seed=[0, 1])
    assert observation.shape == (2, 4)
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("source", ["polyrl/TinySchedule-v0", ScheduleEnv, lambda lengths: ScheduleEnv(lengths=lengths)])
def test_processes_may_be_spawned(source):
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        env = GymEnvironment(source, 1, "async", lengths=(2,)).open()
        driver = EnvDriver(env)
        driver.reset([0])
        assert [len(driver.step(np.array([1]))[1]) for _ in range(4)] == [0, 1, 0, 1]
        env.close()
    finally:
        multiprocessing.set_start_method(before, force=True)


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="The function is told by its process.")
def test_an_error_that_only_a_process_of_its_own_meets_is_named_with_its_traceback():
    main = os.getpid()

    def make() -> gymnasium.Env:
        if os.getpid() != main:
            raise OSError("port 7 is taken")
        return ConstantEnv()

    with pytest.raises(BrokenEnvironmentError) as error:
        GymEnvironment(make, 2, "async").open()
    for words in ("Environment 0 (env_id=<function", "while it was made, raised OSError: port 7 is taken.", "in make\n"):
        assert words in str(error.value)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("mode", MODES)
def test_a_class_or_function_may_be_named(mode):
    for name in ("tiny_envs:ScheduleEnv", "tiny_envs:make_schedule_env"):
        environment = GymEnvironment(name, 2, mode, lengths=(2,))
        assert num_states_and_actions(environment) == ((4,), 3)
        with open_env(environment) as env:
            env.reset(seed=[0, 1])


def test_a_name_that_is_neither_an_id_nor_a_function_is_told_the_nearest():
    with pytest.raises(
        ValueError, match=r"'ScheduleEnv'\?.*The module 'tiny_envs' has no class or function 'ScheduleEnvs' either"
    ):
        GymEnvironment("tiny_envs:ScheduleEnvs")
    with pytest.raises(ValueError, match=r"the module 'no_such_module' cannot be imported"):
        GymEnvironment("no_such_module:make")


class NeedsLevel(ScheduleEnv):
    def __init__(self, level):
        super().__init__()


class NoSuchLevel(ScheduleEnv):
    def __init__(self):
        raise FileNotFoundError("no such level")


OPEN = ScheduleEnv()


@pytest.mark.parametrize("wrappers", [(), (lambda env: env,)])
def test_arguments_that_an_environment_lacks_are_told(wrappers):
    with pytest.raises(TypeError, match=r"NeedsLevel'> cannot be made without arguments: .*'level'\. Give them, as GymEnv"):
        GymEnvironment(NeedsLevel, wrappers=wrappers).open(1)
    assert GymEnvironment(NeedsLevel, level=3, wrappers=wrappers).open(1).num_envs == 1


def test_an_error_in_the_making_says_of_which_environment_and_where():
    """Nothing but 'no such level' was shown."""
    with pytest.raises(FileNotFoundError, match="no such level") as error:
        GymEnvironment(NoSuchLevel).open(1)
    (note,) = error.value.__notes__
    assert "NoSuchLevel'> raised this while it was made, in " in note
    assert re.search(rf"in {re.escape(__file__)}, line \d+\.$", note)


@pytest.mark.parametrize(
    ("env_id", "words"),
    [
        (f"{__name__}:OPEN", "OPEN is an open environment; name the class, or a function that makes one"),
        ("tiny_envs.py:ScheduleEnv", "A module is named as in an import: tiny_envs:ScheduleEnv"),
        ("mine/tiny_envs:make", "A module is named as in an import: mine.tiny_envs:make"),
    ],
)
def test_what_is_named_and_makes_none_is_told(env_id, words):
    with pytest.raises(ValueError, match=words):
        GymEnvironment(env_id)
