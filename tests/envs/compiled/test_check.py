"""`check_environment` refuses what would fail later, or fail silently."""

from __future__ import annotations

import random

import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete, MultiBinary

from polyrl.envs.compiled import CompiledEnvironment, StepOutput, TensorVectorEnv, check_environment

GENERATOR = tf.random.Generator.from_seed(1)


class Good(CompiledEnvironment):
    """Adds up its actions."""

    observation_space = Box(-np.inf, np.inf, [1], np.float32)
    action_space = Discrete(2)

    def reset(self, num_envs, seed):
        return {"sum": tf.zeros([num_envs])}

    def step(self, state, action, seed):
        total = state["sum"] + tf.cast(action, tf.float32)
        return StepOutput({"sum": total}, total, total > 3.0)

    def observe(self, state):
        return state["sum"][:, tf.newaxis]


def test_a_good_one_passes():
    check_environment(Good())
    check_environment(Good(), 5)


class Nested(Good):
    """Calls functions, whose order in a graph is TensorFlow's own."""

    def reset(self, num_envs, seed):
        sums = [tf.function(lambda number=number: tf.fill([num_envs], float(number)))() for number in range(20)]
        return {"sum": tf.add_n(sums)}


@pytest.mark.slow
def test_functions_that_are_called_change_nothing():
    for _ in range(3):
        check_environment(Nested())


def step_giving(**parts):
    """A step of which some parts are computed otherwise, from state and action."""

    def step(self, state, action, seed):
        good = Good.step(self, state, action, seed)
        return good._replace(**{name: make(good) for name, make in parts.items()})

    return step


WRONG = {
    "reward_dtype": (
        {"step": step_giving(reward=lambda good: tf.cast(good.reward, tf.float64))},
        ValueError,
        "reward.*float32",
    ),
    "reward_shape": ({"step": step_giving(reward=lambda good: good.reward[:, None])}, ValueError, "reward"),
    "reward_number": ({"step": step_giving(reward=lambda good: 1.0)}, TypeError, "not a tensor"),
    "terminated_dtype": ({"step": step_giving(terminated=lambda good: good.reward)}, ValueError, "terminated.*bool"),
    "terminated_scalar": ({"step": step_giving(terminated=lambda good: tf.constant(False))}, ValueError, "terminated"),
    "state_dtype": ({"step": step_giving(state=lambda good: {"sum": tf.cast(good.reward, tf.int32)})}, ValueError, "state"),
    "state_names": ({"step": step_giving(state=lambda good: {"total": good.reward})}, ValueError, "structure"),
    "no_output": ({"step": lambda self, state, action, seed: (state, action, action)}, TypeError, "StepOutput"),
    "unbatched_state": ({"reset": lambda self, num_envs, seed: {"sum": tf.zeros([])}}, ValueError, "reset"),
    "observation_dtype": ({"observe": lambda self, state: tf.zeros([3, 1], tf.uint8)}, ValueError, "observe"),
    "observation_shape": ({"observe": lambda self, state: state["sum"]}, ValueError, "observe"),
    "a branch": (
        {"step": lambda self, state, action, seed: Good.step(self, state, 1 if action[0] == 1 else 0, seed)},
        ValueError,
        r"Wrong.step raised \w+: its arguments are symbolic, .*`tf.where` in place of `if`",
    ),
    "NumPy": ({"observe": lambda self, state: np.stack([state["sum"]], 1)}, ValueError, "Wrong.observe raised .*symbolic"),
    "mixed dtypes": (
        {"reset": lambda self, num_envs, seed: {"sum": tf.zeros([num_envs], tf.float64) + tf.zeros([num_envs])}},
        (ValueError, TypeError),
        "Wrong.reset raised .*float64",
    ),
    "NumPy draws": (
        {"reset": lambda self, num_envs, seed: {"sum": tf.constant(np.random.normal(size=[num_envs]), tf.float32)}},
        ValueError,
        "Wrong.reset draws in Python, .*polyrl.ops.uniform",
    ),
    "Python draws": (
        {"step": step_giving(reward=lambda good: good.reward + random.random())},
        ValueError,
        "Wrong.step draws in Python",
    ),
    "TensorFlow draws": (
        {"reset": lambda self, num_envs, seed: {"sum": tf.random.normal([num_envs])}},
        ValueError,
        "draws by RandomStandardNormal: .*tf.random.stateless_uniform",
    ),
    "a generator draws": (
        {"observe": lambda self, state: state["sum"][:, None] + GENERATOR.uniform([3, 1])},
        ValueError,
        "Wrong.observe draws by RngReadAndSkip",
    ),
    "a called function draws": (
        {"step": step_giving(reward=lambda good: tf.function(tf.random.uniform)([3]))},
        ValueError,
        "Wrong.step draws by RandomUniform",
    ),
    "first_action": ({"action_space": Discrete(2, start=1)}, ValueError, "start at 0"),
    "action_space": ({"action_space": MultiBinary(2)}, TypeError, "Discrete or Box"),
    "observation_space": ({"observation_space": Discrete(2)}, TypeError, "observation_space"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_one_is_refused(wrong):
    attributes, error, message = WRONG[wrong]
    env = type("Wrong", (Good,), attributes)()
    with pytest.raises(error, match=message):
        check_environment(env, 3)
    with pytest.raises(error, match=message):
        TensorVectorEnv(env, 3)


def test_what_is_not_a_compiled_environment_is_refused():
    with pytest.raises(TypeError, match="CompiledEnvironment"):
        check_environment("CartPole-v1")
    with pytest.raises(TypeError, match=r"It is a class; give one of its objects, as Good\(\)\."):
        check_environment(Good)


def test_an_error_of_its_own_stays_as_it_is():
    def reset(self, num_envs, seed):
        return {}["sum"]

    with pytest.raises(KeyError, match="sum"):
        check_environment(type("Wrong", (Good,), {"reset": reset})())


def test_all_three_functions_are_required():
    class Half(CompiledEnvironment):
        def reset(self, num_envs, seed):
            return tf.zeros([num_envs])

    with pytest.raises(TypeError, match="abstract"):
        Half()


@pytest.mark.parametrize("limit", [0, -1, 10.5])
def test_a_limit_of_steps_that_is_none_is_refused(limit):
    env = Good()
    env.max_episode_steps = limit
    with pytest.raises((ValueError, TypeError), match=f"max_episode_steps={limit} must be"):
        check_environment(env)
