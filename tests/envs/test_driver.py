"""`EnvDriver`: what a transition holds, where an episode ends, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_envs import Bad, ScheduleEnv, Step, expected_steps, vector

from polyrl.envs import EnvDriver, Episode
from polyrl.envs.observations import all_finite
from polyrl.errors import NonFiniteError

SCHEDULES = {
    "one_env": [{"lengths": (3, 1, 4), "ends": ("terminated", "truncated")}],
    "three_envs": [
        {"lengths": (2,), "ends": ("terminated",)},
        {"lengths": (5, 1), "ends": ("truncated", "both")},
        {"lengths": (3, 3, 7), "ends": ("truncated", "terminated", "both", "truncated")},
    ],
    "all_end_together": [{"lengths": (2,)}, {"lengths": (2,), "ends": ("truncated",)}],
}
STEPS = 40


@pytest.fixture(params=SCHEDULES)
def schedules(request):
    return SCHEDULES[request.param]


def drive(driver: EnvDriver, steps: int = STEPS, seed: int = 0):
    """Random actions `[T, N]`, the transitions of each step, the episodes of each step, the states after each step."""
    actions = np.random.default_rng(seed).integers(0, ScheduleEnv.NUM_ACTIONS, [steps, driver.num_envs])
    driver.reset(range(driver.num_envs))
    transitions, episodes, states = [], [], []
    for row in actions:
        one, finished = driver.step(row)
        transitions.append(one)
        episodes.append(finished)
        states.append(driver.state)
    return actions, transitions, episodes, states


def expected(actions: np.ndarray, schedules: list[dict]) -> list[list[Step]]:
    """The expected steps of each environment."""
    found = []
    for number, schedule in enumerate(schedules):
        steps = expected_steps(iter(actions[:, number].tolist()), number, **schedule)
        found.append([next(steps) for _ in range(len(actions))])
    return found


def opened(schedules: list[dict], **arguments) -> EnvDriver:
    return EnvDriver(vector(*(ScheduleEnv(number, **schedule, **arguments) for number, schedule in enumerate(schedules))))


# Transitions. -----------------------------------------------------------------------------------------------------------


def test_transitions_are_those_of_the_environments_before_any_reset(schedules):
    """Neither the first nor the last state of an episode is lost, and no transition spans two episodes."""
    actions, transitions, _, _ = drive(opened(schedules))
    for number, steps in enumerate(expected(actions, schedules)):
        for t, step in enumerate(steps):
            given = transitions[t]
            assert tuple(given.state[number]) == step.state
            assert tuple(given.next_state[number]) == step.next_state
            assert given.action[number] == actions[t, number]
            assert given.reward[number] == step.reward
            assert given.done[number] == step.terminated


def test_no_transition_spans_two_episodes(schedules):
    _, transitions, _, _ = drive(opened(schedules))
    for given in transitions:
        _, episode, t, _ = given.state.T
        _, next_episode, next_t, _ = given.next_state.T
        np.testing.assert_array_equal(next_episode, episode)
        np.testing.assert_array_equal(next_t, t + 1)


def test_the_current_state_is_that_of_the_next_transition(schedules):
    _, transitions, _, states = drive(opened(schedules))
    for state, transition in zip(states, transitions[1:], strict=False):
        np.testing.assert_array_equal(state, transition.state)


def test_a_truncated_episode_is_not_done_and_a_terminated_one_is():
    """A step that terminates in its last allowed step has both flags."""
    lengths = {"lengths": (1,)}
    driver = opened([{**lengths, "ends": (end,)} for end in ("terminated", "truncated", "both")])
    _, transitions, episodes, _ = drive(driver, steps=3)
    for given, finished in zip(transitions, episodes, strict=True):
        np.testing.assert_array_equal(given.done, [1.0, 0.0, 1.0])
        np.testing.assert_array_equal(given.truncated, [0.0, 1.0, 0.0])
        assert [episode.truncated for episode in finished] == [False, True, False]


def test_dtypes_and_shapes_are_those_documented():
    _, transitions, _, _ = drive(opened(SCHEDULES["three_envs"]), steps=1)
    kinds = {name: (column.dtype, column.shape) for name, column in transitions[0]._asdict().items()}
    assert kinds == {
        "state": (np.float32, (3, 4)),
        "action": (np.int32, (3,)),
        "reward": (np.float32, (3,)),
        "done": (np.float32, (3,)),
        "truncated": (np.float32, (3,)),
        "next_state": (np.float32, (3, 4)),
    }


@pytest.mark.parametrize(
    ("given", "kept"), [(np.float64, np.float32), (np.float32, np.float32), (np.uint8, np.uint8), (np.int16, np.int16)]
)
def test_observations_keep_their_dtype_except_float64(given, kept):
    driver = opened([{"dtype": given}, {"dtype": given}])
    actions, transitions, _, states = drive(driver, steps=7)
    assert driver.state.dtype == states[0].dtype == kept
    for t, one in enumerate(transitions):
        assert one.state.dtype == one.next_state.dtype == kept
        for number, steps in enumerate(expected(actions, [{}, {}])):
            assert tuple(one.next_state[number]) == steps[t].next_state


def test_actions_start_at_0_even_if_those_of_the_environment_start_at_5():
    _, transitions, _, _ = drive(opened([{"start": 5}, {"start": 5}]))
    for given in transitions:
        np.testing.assert_array_equal(given.next_state[:, 3], given.action + 1)  # The env notes the action it received.
    assert {int(action) for given in transitions for action in given.action} == {0, 1, 2}


def test_transitions_do_not_change_with_the_next_steps():
    """The vector environment may reuse its buffers."""
    driver = opened(SCHEDULES["three_envs"])
    driver.env.copy = False
    actions, transitions, _, _ = drive(driver)
    for number, steps in enumerate(expected(actions, SCHEDULES["three_envs"])):
        assert [tuple(given.state[number]) for given in transitions] == [step.state for step in steps]
        assert [tuple(given.next_state[number]) for given in transitions] == [step.next_state for step in steps]


# Episodes. --------------------------------------------------------------------------------------------------------------


def test_episodes_have_the_sum_of_their_rewards_and_their_length(schedules):
    actions, _, episodes, _ = drive(opened(schedules))
    for number, steps in enumerate(expected(actions, schedules)):
        reward, length = 0.0, 0
        for t, step in enumerate(steps):
            reward, length = reward + step.reward, length + 1
            given = [episode for episode in episodes[t] if episode.env == number]
            if step.terminated or step.truncated:
                assert given == [Episode(reward, length, number, truncated=not step.terminated)]
                reward, length = 0.0, 0
            else:
                assert given == []


def test_a_reset_forgets_the_running_episode():
    driver = opened([{"lengths": (3,)}])
    driver.reset([0])
    driver.step(np.array([0]))
    driver.reset([0])
    finished = [driver.step(np.array([0]))[1] for _ in range(3)]
    assert finished == [[], [], [Episode(1.0 + 2.0 + 3.0, 3, 0, truncated=False)]]


def test_an_episode_goes_on_in_another_driver():
    """As when environments are brought back: its length and reward count from where it was, whatever the driver did before."""
    before, after = opened([{"lengths": (3,)}]), opened([{"lengths": (3,)}])
    before.reset([0])
    for _ in range(2):
        before.step(np.array([0]))
    state = before.get_state()
    assert (state["rewards"].tolist(), state["lengths"].tolist()) == ([3.0], [2])
    after.reset([0])
    for _ in range(7):
        after.step(np.array([0]))
    after.reset([0])
    after.set_state(state)
    finished = [after.step(np.array([0]))[1] for _ in range(3)]
    assert finished == [[], [], [Episode(3.0 + 6.0, 5, 0, truncated=False)]]
    assert before.get_state()["lengths"].tolist() == [2]


def test_each_environment_gets_its_own_seed():
    driver = opened([{}, {}, {}])
    driver.reset([11, 12, 13])
    assert [env.seeds for env in driver.env.envs] == [[11], [12], [13]]


# NaN and infinity. ------------------------------------------------------------------------------------------------------

BROKEN = {  # of the second environment, in its second episode; the first one has two steps.
    "observation": (Bad("observation", 1, 1), 3),
    "reward": (Bad("reward", 1, 2), 4),
    "final observation": (Bad("observation", 1, 3), 5),
    "observation of a reset within": (Bad("observation", 1, 0), 2),
    "infinite reward": (Bad("reward", 0, 1, float("inf")), 1),
    "infinite observation": (Bad("observation", 1, 1, -float("inf")), 3),
}


@pytest.mark.parametrize("where", BROKEN)
def test_nan_and_infinity_are_refused_with_environment_step_and_action(where):
    bad, step = BROKEN[where]
    driver = opened([{"lengths": (4,)}, {"lengths": (2, 3), "bad": bad}])
    driver.reset([0, 1])
    for _ in range(step - 1):
        driver.step(np.array([0, 1]))
    with pytest.raises(NonFiniteError, match=r"Environment 1 .* step \d+: .*; last action: 2\.") as error:
        driver.step(np.array([0, 2]))
    kind = "final observation" if where == "final observation" else bad.where
    assert f"non-finite {kind} at its step {step}:" in str(error.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (4, 16), (65,), (3, 400)])
def test_one_number_that_is_not_finite_is_found_and_large_ones_are_finite(shape, dtype):
    """Also where infinities of both signs make NaN, and where the sum of finite numbers overflows."""
    values = np.full(shape, np.finfo(dtype).max)
    with np.errstate(over="ignore", invalid="ignore"):
        assert all_finite(values)
        assert all_finite(-values)
        for bad in ([np.nan], [np.inf], [-np.inf], [np.inf, -np.inf])[: 3 if values.size == 1 else 4]:
            broken = np.zeros(shape, dtype)
            broken.flat[-len(bad) :] = bad
            assert not all_finite(broken)
            assert not all_finite(broken[::-1])
    assert all_finite(np.zeros((0, 4), dtype))


def test_nan_at_the_first_reset_is_refused():
    with pytest.raises(NonFiniteError, match=r"Environment 0 .*observation.* step 0.*none, at reset"):
        opened([{"bad": Bad("observation", 0, 0)}]).reset([0])


def test_a_reward_too_large_for_float32_is_refused():
    driver = opened([{"bad": Bad("reward", 0, 1, 1e39)}])
    driver.reset([0])
    with pytest.raises(NonFiniteError, match="reward"), np.errstate(over="ignore"):
        driver.step(np.array([0]))


def test_large_finite_values_pass():
    driver = opened([{"bad": Bad("reward", 0, 1, -3e38)}])
    driver.reset([0])
    assert driver.step(np.array([0]))[0].reward[0] == np.float32(-3e38)
