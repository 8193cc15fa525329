"""One environment instance cannot serve two purposes at once."""

from __future__ import annotations

import copy
import re

import gymnasium
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.wrappers import TimeLimit
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv, vector

from polyrl.envs import Environment, FrameStack, GymEnvironment, check_free, num_states_and_actions, open_env
from polyrl.envs.compiled import CartPole
from polyrl.estimators.hooks import EvaluationHook

TAKEN = r"is in use by training, and cannot serve evaluation at the same time.*an id, a GymEnvironment .*second instance"


def refused(env) -> None:
    """Refuses it for evaluation."""
    with pytest.raises(ValueError, match=TAKEN):
        check_free(env, "evaluation")
    with pytest.raises(ValueError, match=TAKEN), open_env(env, purpose="evaluation"):
        pass


def free(*envs) -> None:
    for env in envs:
        check_free(env)
        with open_env(env, purpose="evaluation"):
            pass


class Holder(gymnasium.Env):
    """A class of its own around an environment."""

    def __init__(self, env):
        self.inner = env
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self, **arguments):
        return self.inner.reset(**arguments)

    def step(self, action):
        return self.inner.step(action)


# Ways to open the same instance: as itself, wrapped, and in vectors.
SINGLE = {
    "itself": lambda env: env,
    "wrapped": lambda env: TimeLimit(env, 5),
    "an attribute": lambda env: Holder(TimeLimit(env, 5)),
    "an attribute in a vector": lambda env: vector(ScheduleEnv(), Holder(Holder(env))),
    "in a vector": lambda env: vector(ScheduleEnv(), env),
    "wrapped in a wrapped vector": lambda env: FrameStack(vector(ScheduleEnv(), TimeLimit(env, 5)), 2),
}


@pytest.mark.parametrize("first", SINGLE)
@pytest.mark.parametrize("second", SINGLE)
def test_a_single_environment_is_refused_however_it_is_wrapped(first, second):
    env = ScheduleEnv()
    with open_env(SINGLE[first](env), purpose="training"):
        refused(SINGLE[second](env))
        free(ScheduleEnv(), vector(ScheduleEnv()))
    free(SINGLE[first](env), SINGLE[second](env))
    assert env.closings == 0


@pytest.mark.parametrize("wrap", [lambda env: env, RecordEpisodeStatistics], ids=["itself", "wrapped"])
def test_a_vector_whose_environments_are_not_visible_is_refused(wrap):
    env = AsyncVectorEnv([ScheduleEnv] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    with open_env(env, purpose="training"):
        refused(wrap(env))
    free(wrap(env))
    assert not env.closed
    env.close()


def test_the_error_names_both_purposes_and_the_instance():
    env = ScheduleEnv()
    with open_env(env, purpose="prediction"):
        with pytest.raises(ValueError, match=r"<ScheduleEnv instance> is in use by prediction, and cannot serve recording"):
            check_free(env, "recording")
        with pytest.raises(ValueError, match="in use by prediction, and cannot serve another purpose"), open_env(env):
            pass


# Until when. ------------------------------------------------------------------------------------------------------------


def test_an_error_frees_the_instance():
    env = ScheduleEnv()
    with pytest.raises(ZeroDivisionError), open_env(env):
        raise ZeroDivisionError
    free(env)


def test_a_refusal_leaves_no_mark():
    wrong = ScheduleEnv()
    wrong.action_space = gymnasium.spaces.MultiBinary(2)
    with pytest.raises(TypeError, match="MultiBinary"), open_env(wrong):
        pass
    check_free(wrong)
    taken, other = ScheduleEnv(), ScheduleEnv()
    with open_env(taken, purpose="training"):
        refused(vector(other, taken))
        free(other)
        refused(taken)


def test_a_copy_of_an_instance_in_use_is_free():
    env = ScheduleEnv()
    with open_env(env, purpose="training"):
        free(copy.deepcopy(env), copy.deepcopy(vector(env)))
        refused(env)


def test_nothing_stays_in_the_instance():
    env = ScheduleEnv()
    before = set(vars(env))
    free(env)
    assert set(vars(env)) == before


# What is opened here. ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_opened_is_closed_at_the_end(fails):
    made = []

    def make():
        made.append(ScheduleEnv())
        return made[-1]

    try:
        with open_env(GymEnvironment(make, 2)):
            assert [env.closings for env in made] == [0, 0]
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert [env.closings for env in made] == [1, 1]


def test_what_opens_new_instances_is_always_free():
    made = []

    def make():
        made.append(ScheduleEnv())
        return made[-1]

    for env in ("CartPole-v1", GymEnvironment("CartPole-v1"), GymEnvironment(make), CartPole()):
        with open_env(env, purpose="training"):
            before = len(made)
            check_free(env, "evaluation")
            assert len(made) == before
            free(env)


def test_an_environment_that_opens_an_instance_in_use_is_refused_and_the_instance_stays_open():
    held = vector(ScheduleEnv())

    class Held(Environment):
        def open(self, num_envs=None):
            return held

    with open_env(held, purpose="training"):
        with pytest.raises(ValueError, match=TAKEN), open_env(Held(), purpose="evaluation"):
            pass
        with pytest.raises(ValueError, match=TAKEN), open_env(GymEnvironment(lambda: held.envs[0]), purpose="evaluation"):
            pass
    assert not held.closed
    assert held.envs[0].closings == 0


def test_a_vector_that_contains_one_environment_twice_is_refused():
    env = ScheduleEnv()
    with pytest.raises(ValueError, match="contains the same environment twice"), open_env(vector(env, TimeLimit(env, 5))):
        pass
    free(env)


def test_to_look_at_the_spaces_neither_marks_nor_is_refused():
    single, many = ScheduleEnv(), vector(ScheduleEnv())
    for env in (single, many):
        with open_env(env, purpose="training"):
            assert num_states_and_actions(env) == ((4,), 3)
            refused(env)
        assert num_states_and_actions(env) == ((4,), 3)
        free(env)


# Agents. ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SINGLE)
def test_training_refuses_an_evaluation_on_its_own_environment(kind, tmp_path):
    """The steps of the evaluation would come into the memory as transitions that never happened."""
    env = ScheduleEnv(lengths=(7,))
    agent = make_agent(model_dir=tmp_path)
    with pytest.raises(ValueError, match=TAKEN):
        agent.train(env, first_update=4, timesteps=60, hooks=[EvaluationHook(SINGLE[kind](env), 10, episodes=2)])
    free(env)


@pytest.mark.slow
def test_the_remedies_of_the_error_work(tmp_path):
    for number, evaluated in enumerate(["polyrl/TinySchedule-v0", GymEnvironment(ScheduleEnv), ScheduleEnv()]):
        agent = make_agent(model_dir=tmp_path / str(number))
        result = agent.train(ScheduleEnv(), first_update=4, timesteps=20, hooks=[EvaluationHook(evaluated, 10, episodes=2)])
        assert result.global_timestep == 20


def test_one_instance_may_serve_one_purpose_after_the_other(tmp_path):
    env, agent = ScheduleEnv(), make_agent(model_dir=tmp_path)
    for _ in range(2):
        agent.train(env, first_update=4, timesteps=8)
        agent.evaluate(env, episodes=2)
        assert len(list(agent.predict(env, steps=3))) == 3
        agent.record(env, episodes=1)


def test_a_prediction_holds_its_environment_until_it_is_closed(tmp_path):
    env, agent = ScheduleEnv(), make_agent(model_dir=tmp_path)
    agent.train(env, first_update=4, timesteps=8)
    rows = agent.predict(env)
    next(rows)
    with pytest.raises(ValueError, match=re.escape("in use by prediction, and cannot serve evaluation")):
        agent.evaluate(env, episodes=2)
    with pytest.raises(ValueError, match=re.escape("in use by prediction, and cannot serve training")):
        agent.train(env, first_update=4, timesteps=8)
    rows.close()
    assert agent.evaluate(env, episodes=2)["mean_ep_length"] == 3
