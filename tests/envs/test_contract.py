"""What an environment may return: what does not fit its space, or gymnasium's contract, is refused before it is stored."""

from __future__ import annotations

import re

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from polyrl.envs import EnvDriver, GymEnvironment, open_env
from polyrl.envs.contract import fit

NAN = float("nan")


class Told(gymnasium.Env):
    """Returns what it is told to at each reset and step; episodes have three steps."""

    def __init__(self, space, observe, reward=lambda t: 1.0, info=lambda t: {}, result=lambda values: values, started=None):
        self.observation_space, self.action_space = space, Discrete(2)
        self._observe, self._reward, self._info, self._result, self._started = observe, reward, info, result, started

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        first = (self._observe(0), self._info(0))
        return first if self._started is None else self._started(first)

    def step(self, action):
        self._t += 1
        return self._result((self._observe(self._t), self._reward(self._t), self._t >= 3, False, self._info(self._t)))


def run(env, steps: int = 5):
    """The states and the transitions of some steps."""
    with open_env(env) as vector:
        driver = EnvDriver(vector)
        states, transitions = [driver.reset(list(range(driver.num_envs)))], []
        for _ in range(steps):
            transitions.append(driver.step(np.zeros(driver.num_envs, np.int32))[0])
            states.append(driver.state)
    return states, transitions


def later(value, good):
    """`good` at first, `value` from the second step on."""
    return lambda t: value if t >= 2 else good


FOUR, BYTES, WHOLE = Box(-9, 9, [4], np.float32), Box(0, 255, [2], np.uint8), Box(-5, 9, [2], np.int32)
FINE = {"float": np.zeros(4, np.float32), "byte": np.zeros(2, np.uint8), "int": np.zeros(2, np.int32)}
REFUSED = {
    "a number for a vector": (FOUR, np.float32(1), FINE["float"], r"expected shape \(4,\) .*, got shape \(\)"),
    "one for four": (FOUR, np.ones(1, np.float32), FINE["float"], r"expected shape \(4,\) .*, got shape \(1,\)"),
    "a row too many": (FOUR, np.ones([1, 4], np.float32), FINE["float"], r"got shape \(1, 4\)"),
    "three for four": (FOUR, [1.0, 2.0, 3.0], FINE["float"], r"got shape \(3,\)"),
    "ragged": (FOUR, [[1.0], [2.0, 3.0]], FINE["float"], "expected numbers"),
    "None": (FOUR, None, FINE["float"], "expected numbers of Box.*, got None"),
    "strings": (FOUR, ["a"] * 4, FINE["float"], "expected numbers"),
    "complex": (FOUR, np.ones(4, np.complex64), FINE["float"], "expected numbers"),
    "fractions for bytes": (BYTES, np.array([0.2, 1.0]), FINE["byte"], r"0\.2 is not a value of uint8"),
    "300 for bytes": (BYTES, np.array([300, 1]), FINE["byte"], r"300 is not a value of uint8.* it would be 44"),
    "-1 for bytes": (BYTES, np.array([1, -1]), FINE["byte"], r"-1 is not a value of uint8.* it would be 255"),
    "NaN for integers": (WHOLE, np.array([NAN, 1.0]), FINE["int"], r"nan is not a value of int32"),
    "more than int32": (WHOLE, np.array([2**40, 1]), FINE["int"], "is not a value of int32"),
    "a state too high": (Discrete(4), 5, 0, "5 is not one of the 4 states 0 to 3"),
    "a state too low": (Discrete(4, start=10), 9, 10, "9 is not one of the 4 states 10 to 13"),
    "half a state": (Discrete(4), 1.5, 0, "1.5 is not a value of int64"),
    "a state in an array": (Discrete(4), np.array([1]), 0, r"expected shape \(\) .*, got shape \(1,\)"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("when", ["reset", "step", "last"])
def test_an_observation_that_does_not_fit_its_space_is_refused_with_environment_step_space_and_value(case, when):
    space, wrong, good, words = REFUSED[case]
    at = {"reset": 0, "step": 2, "last": 3}[when]
    place = "at its reset" if when == "reset" else f"at step {at} of its episode"
    env = Told(space, lambda t: wrong if t == at else good)
    with pytest.raises((TypeError, ValueError), match=rf"Environment 0 \(<Told instance>\), {place}, .*{words}"):
        run(env)


@pytest.mark.filterwarnings("ignore:.*ERROR")
@pytest.mark.parametrize("case", ["one for four", "fractions for bytes", "a state too high"])
@pytest.mark.parametrize("kind", [GymEnvironment, "async", "sync vector", "async vector"])
def test_so_it_is_whatever_opens_the_environment(case, kind):
    space, wrong, good, words = REFUSED[case]

    def make():
        return Told(space, later(wrong, good))

    if kind == "async":
        env = GymEnvironment(make, 2, vectorization_mode="async")
    elif kind is GymEnvironment:
        env = GymEnvironment(make, 2)
    else:
        vector = SyncVectorEnv if kind == "sync vector" else AsyncVectorEnv
        env = vector([make, make], autoreset_mode=AutoresetMode.SAME_STEP)
    # In processes that gymnasium has made for the caller nothing can look but gymnasium itself.
    error = Exception if kind == "async vector" else (TypeError, ValueError)
    with pytest.raises(error, match=None if kind == "async vector" else words):
        run(env)


@pytest.mark.parametrize(
    ("space", "given", "stored"),
    [
        (FOUR, [1, 2, 3, 4], np.array([1, 2, 3, 4], np.float32)),
        (FOUR, np.array([0.1, 2, 3, 4]), np.array([0.1, 2, 3, 4], np.float32)),
        (Box(-9, 9, [1], np.float64), np.array([0.5], np.float32), np.array([0.5], np.float32)),
        (BYTES, np.array([7.0, 255.0]), np.array([7, 255], np.uint8)),
        (BYTES, (True, False), np.array([1, 0], np.uint8)),
        (Box(0, 1, [2], np.bool_), np.array([1, 0]), np.array([True, False])),
        (Discrete(4, start=10), np.array(13), np.array(3, np.int32)),
        (Discrete(4), np.uint8(2), np.array(2, np.int32)),
        (Discrete(4), 2.0, np.array(2, np.int32)),
    ],
)
def test_other_numbers_of_the_same_value_are_taken(space, given, stored):
    states, _ = run(Told(space, lambda t: given))
    for state in states:
        assert state.dtype == stored.dtype
        np.testing.assert_array_equal(state[0], stored)


PARTS = Dict({"state": FOUR, "goal": MultiDiscrete([3, 3]), "flags": MultiBinary(2)})


def parts(**changes):
    return {"state": FINE["float"], "goal": np.array([1, 2]), "flags": np.array([0, 1], np.int8), **changes}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (parts(goal=np.array([0.5, 1])), "observation 'goal' that does not fit"),
        (parts(flags=np.array([0, 1, 1])), r"observation 'flags' .* expected shape \(2,\)"),
        (parts(more=1), r"expected a dict with the keys \['flags', 'goal', 'state'\], got the keys"),
        ({"state": FINE["float"]}, r"got the keys \['state'\]"),
        (FINE["float"], r"expected a dict with the keys .*, got array"),
    ],
)
def test_each_part_of_a_dict_is_checked(wrong, words):
    with pytest.raises((TypeError, ValueError), match=words):
        run(Told(PARTS, later(wrong, parts())))


# Rewards and the rest. ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reward", [None, "1", np.ones(1), [1.0], 1j, np.complex64(1j), np.array("x"), 10**400], ids=repr)
def test_a_reward_that_is_not_one_number_is_refused(reward):
    with pytest.raises(TypeError, match=r"at step 2 of its episode, returned the reward .*; expected one number"):
        run(Told(FOUR, lambda t: FINE["float"], reward=later(reward, 1.0)))


@pytest.mark.parametrize("reward", [2, True, np.float64(2), np.int8(2), np.array(2.0), np.bool_(True)], ids=repr)
def test_whatever_is_one_number_is_a_reward(reward):
    _, transitions = run(Told(FOUR, lambda t: FINE["float"], reward=lambda t: reward))
    assert [float(one.reward[0]) for one in transitions] == [float(reward)] * 5


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            lambda values: (*values[:3], {}),
            r"returned 4 values; expected a tuple of the five \(observation, reward, terminated",
        ),
        (lambda values: values[0], "expected a tuple of the five"),
        (lambda values: list(values), "expected a tuple of the five"),
        (lambda values: (*values[:2], None, False, {}), "returned terminated=None; expected True or False"),
        (lambda values: (*values[:3], np.zeros(1), {}), r"returned truncated=array\(\[0\.\]\); expected True or False"),
        (lambda values: (*values[:4], None), "returned the info None; expected a dict"),
    ],
    ids=["four", "bare", "list", "None", "array", "info"],
)
def test_a_step_of_another_form_is_refused_with_the_form_and_gymnasiums_version(result, words):
    with pytest.raises(TypeError, match=words):
        run(Told(FOUR, lambda t: FINE["float"], result=result))


@pytest.mark.parametrize(
    "started", [lambda first: first[0], lambda first: (first[0],), lambda first: (first[0], None), lambda first: list(first)]
)
def test_a_reset_of_another_form_is_refused(started):
    with pytest.raises(
        TypeError, match=rf"at its reset, returned .*expected a tuple \(observation, info\).*{gymnasium.__version__}"
    ):
        run(Told(FOUR, lambda t: FINE["float"], started=started))


# Infos. ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["episode", "final_obs", "final_info", "_final_obs", "TimeLimit.truncated", "_episode"])
@pytest.mark.parametrize("value", [3, {"r": 7.0, "l": 1}, np.full(4, 9.0), "text", None], ids=str)
def test_what_an_environment_has_in_its_info_is_its_own(name, value):
    env = Told(FOUR, lambda t: np.full(4, t, np.float32), info=lambda t: {name: value})
    with open_env(env) as vector:
        driver = EnvDriver(vector)
        driver.reset([0])
        ended = [driver.step(np.zeros(1, np.int32)) for _ in range(3)]
    (episode,) = ended[-1][1]
    assert (episode.reward, episode.length) == (3.0, 3)
    np.testing.assert_array_equal(ended[-1][0].next_state[0], np.full(4, 3.0))


def test_infos_of_different_forms_end_no_run():
    envs = [Told(FOUR, lambda t: FINE["float"], info=lambda t, n=n: {"x": np.zeros(n + 1 + t)}) for n in range(2)]
    made = iter(envs)
    run(GymEnvironment(lambda: next(made), 2))


def test_the_statistics_of_gymnasiums_wrapper_are_taken():
    def make():
        return Told(FOUR, lambda t: FINE["float"])

    vector = RecordEpisodeStatistics(SyncVectorEnv([make], autoreset_mode=AutoresetMode.SAME_STEP))
    with open_env(vector) as env:
        driver = EnvDriver(env)
        driver.reset([0])
        ends = [episode for _ in range(6) for episode in driver.step(np.zeros(1, np.int32))[1]]
    assert [(one.reward, one.length) for one in ends] == [(3.0, 3)] * 2


# Vector environments of the caller. -----------------------------------------------------------------------------------------


class Reusing(Told):
    """Writes into one array."""

    def __init__(self):
        self.buffer = np.zeros(1, np.float32)
        super().__init__(Box(0, 9, [1], np.float32), self.write)

    def write(self, t):
        self.buffer[0] = t
        return self.buffer


def test_the_last_observation_of_a_reused_buffer_is_kept():
    vector = SyncVectorEnv([Reusing] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    envs = list(vector.envs)
    _, transitions = run(vector, 3)
    np.testing.assert_array_equal(transitions[-1].next_state, [[3.0], [3.0]])
    assert vector.envs == envs, "the caller's environments are as they were"


def test_a_vector_without_final_observations_is_refused():
    class Forgetful(gymnasium.vector.VectorWrapper):
        def step(self, actions):
            *values, info = self.env.step(actions)
            return *values, {key: value for key, value in info.items() if key != "final_obs"}

    vector = Forgetful(SyncVectorEnv([Reusing], autoreset_mode=AutoresetMode.SAME_STEP))
    with pytest.raises(
        ValueError, match=r"ended the episodes of environments \[0\] at step 3, and its info has no 'final_obs'"
    ):
        run(vector)


@pytest.mark.parametrize("change", [lambda reward: reward[:, None], lambda reward: reward[0], lambda reward: None])
def test_rewards_of_a_vector_that_are_not_one_for_each_environment_are_refused(change):
    class Changed(gymnasium.vector.VectorWrapper):
        def step(self, actions):
            observation, reward, *rest = self.env.step(actions)
            return observation, change(reward), *rest

    vector = Changed(SyncVectorEnv([Reusing] * 2, autoreset_mode=AutoresetMode.SAME_STEP))
    with pytest.raises(ValueError, match=r"returned reward=.*; expected one number for each of the 2 environments"):
        run(vector)


def test_fit_gives_back_an_array_of_the_dtype():
    assert fit([1, 2], BYTES, (2,), "here").dtype == np.uint8


@pytest.mark.parametrize(
    ("name", "space"), [("action_space", Discrete(3)), ("observation_space", Box(0, 1, (5,), np.float32))]
)
def test_a_space_that_changes_at_a_reset_is_refused(name, space):
    class Changing(Told):
        resets = 0

        def reset(self, **arguments):
            self.resets += 1
            if self.resets == 2:
                setattr(self, name, space)
            return super().reset(**arguments)

    env = Changing(Box(0, 1, (4,), np.float32), lambda t: np.zeros(4, np.float32))
    with pytest.raises(ValueError, match=f"has the {name} {re.escape(str(space))}, which was"):
        run(env)
