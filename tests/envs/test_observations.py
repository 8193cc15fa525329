"""Dict observations and action masks: from the environment into transitions."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from masked_envs import MISSING, MaskedScheduleEnv, mask_of
from tiny_envs import ScheduleEnv, vector

from polyrl.envs import EnvDriver, GymEnvironment, open_env, other_keys
from polyrl.envs.gym import as_vector
from polyrl.envs.observations import split_columns

BOX = Box(0.0, 1.0, (2,), np.float32)


def drive(driver: EnvDriver, steps: int):
    driver.reset(range(driver.num_envs))
    found = []
    for t in range(steps):
        found.append(driver.step(np.full(driver.num_envs, t % 3, np.int32))[0])
    return found


def check(driver: EnvDriver, length: int, end: str, steps: int = 11) -> None:
    """Every state and next state is that of the schedule, for each environment and time."""
    for time, given in enumerate(drive(driver, steps)):
        episode, t = divmod(time, length)
        columns = given.columns()
        for number in range(driver.num_envs):
            for prefix, at in (("", t), ("next_", t + 1)):
                np.testing.assert_array_equal(columns[f"{prefix}state"][number], [number, episode, at])
                np.testing.assert_array_equal(columns[f"{prefix}goal"][number], [-at, episode])
                assert columns[f"{prefix}place"][number] == 10 * episode + at
                done = at == length and end == "terminated"
                expected = np.ones(3) if done else mask_of(number, episode, at)
                np.testing.assert_array_equal(columns[f"{prefix}action_mask"][number], expected)
            assert given.done[number] == (t + 1 == length and end == "terminated")
            assert given.truncated[number] == (t + 1 == length and end == "truncated")
        assert columns["action_mask"].dtype == columns["next_action_mask"].dtype == np.bool_
        assert columns["state"].dtype == np.float32  # float64 is not kept.


@pytest.mark.parametrize("where", ["observation", "info", "both"])
@pytest.mark.parametrize("end", ["terminated", "truncated"])
@pytest.mark.parametrize("form", ["lockstep", "gymnasium"])
def test_states_and_masks_are_those_of_the_environments(form, end, where):
    envs = [MaskedScheduleEnv(number, 3, end, where, reuse_buffers=form == "lockstep") for number in range(3)]
    made = iter(envs)
    with open_env(vector(*envs) if form == "gymnasium" else GymEnvironment(lambda: next(made), 3)) as env:
        check(EnvDriver(env), 3, end)


@pytest.mark.parametrize("where", ["observation", "info"])
@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_environments_in_processes_give_the_same(end, where):
    arguments = {"length": 2, "end": end, "where": where, "reuse_buffers": True, "disable_env_checker": True}
    with open_env(GymEnvironment("polyrl/TinyMasked-v0", 1, "async", **arguments)) as env:
        check(EnvDriver(env), 2, end, steps=7)


def test_a_terminal_state_needs_no_mask():
    check(EnvDriver(vector(MaskedScheduleEnv(where="info", final=False))), 3, "terminated")


def test_a_box_with_masks_in_its_infos_gives_dicts():
    env = gymnasium.wrappers.TransformObservation(
        gymnasium.make("Taxi-v4", max_episode_steps=30),
        lambda s: np.eye(500, dtype=np.float32)[s],
        Box(0, 1, (500,), np.float32),
    )
    driver = EnvDriver(as_vector(env, None)[0])
    state = driver.reset([3])
    rng, ends = np.random.default_rng(0), 0
    table = env.unwrapped.action_mask
    for _ in range(100):
        np.testing.assert_array_equal(state["action_mask"][0], table(int(state["state"][0].argmax())))
        action = rng.choice(np.flatnonzero(state["action_mask"][0]))
        given, episodes = driver.step(np.array([action]))
        columns = given.columns()
        np.testing.assert_array_equal(columns["next_action_mask"][0], table(int(columns["next_state"][0].argmax())))
        ends += len(episodes)
        state = driver.state
    assert ends == 3


def test_without_a_dict_and_without_masks_states_are_arrays():
    driver = EnvDriver(vector(ScheduleEnv()))
    assert isinstance(driver.reset([0]), np.ndarray)
    (given,) = drive(driver, 1)
    assert isinstance(given.next_state, np.ndarray)
    assert given.columns().keys() == given._asdict().keys()


def test_columns_are_split_into_features_and_labels():
    features, labels = split_columns(drive(EnvDriver(vector(MaskedScheduleEnv())), 1)[0].columns())
    assert features.keys() == {"state", "goal", "place", "action_mask"}
    states = {"next_state", "next_goal", "next_place", "next_action_mask"}
    assert labels.keys() == states | {"action", "reward", "done", "truncated"}


# What is refused. -------------------------------------------------------------------------------------------------------

BROKEN = {
    "no legal action": (np.zeros(3, np.int8), r"leaves environments \[1\] no legal action at step 5"),
    "another shape": (np.ones(2, np.int8), r"Environment 1 returned the action_mask .* at step 5; .*array of 3"),
    "floats": (np.ones(3, np.float32), r"Environment 1 returned the action_mask .*integers or bools"),
    "rows of different lengths": ([[1], [1, 2]], r"Environment 1 returned the action_mask .*integers or bools"),
    "missing": (MISSING, r"Environments \[1\] returned no info\['action_mask'\] at step 5"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_invalid_mask_is_refused_with_environment_and_step(case):
    """Before the transition is returned, so that nothing of it is stored."""
    mask, words = BROKEN[case]

    class Vector(SyncVectorEnv):
        """Collects the infos one by one, as gymnasium itself would fail for other shapes."""

        def _add_info(self, vector_infos, env_info, env_num):
            if "action_mask" in env_info:
                infos = vector_infos.setdefault("action_mask", np.full(self.num_envs, None, object))
                infos[env_num] = env_info["action_mask"]
                vector_infos.setdefault("_action_mask", np.zeros(self.num_envs, bool))[env_num] = True
            return super()._add_info(vector_infos, {k: v for k, v in env_info.items() if k != "action_mask"}, env_num)

    envs = [MaskedScheduleEnv(0, where="info"), MaskedScheduleEnv(1, where="info", broken=mask)]
    driver = EnvDriver(Vector([lambda env=env: env for env in envs], autoreset_mode=AutoresetMode.SAME_STEP))
    drive(driver, 4)
    before = driver.state
    with pytest.raises(ValueError, match=words) as error:
        driver.step(np.zeros(2, np.int32))
    assert "Nothing of this step was stored." in str(error.value)
    assert driver.state is before


@pytest.mark.parametrize("where", ["observation", "info"])
def test_a_truncated_episodes_last_state_needs_a_legal_action(where):
    """It is bootstrapped from; only a terminal state may have none."""
    env = MaskedScheduleEnv(0, length=2, end="truncated", where=where, broken=np.zeros(3, np.int8))
    driver = EnvDriver(vector(env))
    drive(driver, 3)
    with pytest.raises(ValueError, match=r"environments \[0\] no legal action at step 4, the last one of a truncated episode"):
        driver.step(np.zeros(1, np.int32))


def test_masks_that_start_after_the_reset_are_refused():
    class Late(ScheduleEnv):
        def step(self, action):
            *step, _ = super().step(action)
            return *step, {"action_mask": np.ones(3, np.int8)}

    driver = EnvDriver(vector(Late()))
    driver.reset([0])
    with pytest.raises(ValueError, match=r"info\['action_mask'\] at step 1, but not at its reset"):
        driver.step(np.zeros(1, np.int32))


SPACES = {
    "no state": (Dict(x=BOX), ["'state'", "FlattenObservation"]),
    "the main part has another name": (Dict(main=BOX), ["rename the key", "or flatten it to one Box"]),
    "and there is a mask": (
        Dict(main=BOX, action_mask=MultiBinary(3)),
        ["rename the key", "The key 'action_mask' stays as it is"],
    ),
    "state is MultiDiscrete": (Dict(state=MultiDiscrete([3, 2])), ["neither a Box nor a Discrete(n) under the key 'state'"]),
    "nested": (Dict(state=BOX, more=Dict(x=BOX)), ["'more'", "Box, Discrete, MultiBinary or MultiDiscrete"]),
    "tuple within": (Dict(state=BOX, more=Tuple([BOX])), ["'more'"]),
    "a name that is taken": (Dict(state=BOX, reward=BOX), ["'reward'", "rename"]),
    "a name as of the next state": (Dict(state=BOX, next_state=BOX), ["'next_state'", "rename"]),
    "a mask of another size": (Dict(state=BOX, action_mask=MultiBinary(4)), ["action_mask", "3 actions", "MultiBinary(3)"]),
    "a mask of floats": (Dict(state=BOX, action_mask=Box(0, 1, (3,), np.float32)), ["integer or bool"]),
}


@pytest.mark.parametrize("case", SPACES)
def test_dicts_that_are_not_supported_are_refused_with_a_remedy(case):
    space, words = SPACES[case]
    env = ScheduleEnv()
    env.observation_space = space
    with pytest.raises(TypeError) as error, open_env(env):
        pass
    for word in words:
        assert word in str(error.value)


def test_the_keys_beside_the_state_are_told_with_their_numbers_of_categories():
    class Parts(gymnasium.Env):
        action_space = Discrete(3)
        observation_space = Dict(
            {
                "state": BOX,
                "goal": BOX,
                "kind": Discrete(4, start=2),
                "pair": MultiDiscrete([3, 5]),
                "flags": MultiBinary(2),
                "action_mask": MultiBinary(3),
            }
        )

    assert other_keys(GymEnvironment(Parts)) == {"goal": None, "kind": 4, "pair": 5, "flags": None}
    assert other_keys("CartPole-v1") == {}
