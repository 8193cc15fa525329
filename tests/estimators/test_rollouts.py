"""Evaluation and prediction: what they give, episode by episode and row by row."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from rollout_testing import BATCH, SCHEDULE, schedule, train_on
from tiny_agents import make_agent, q_model_fn
from tiny_envs import BanditEnv, ConstantEnv, ScheduleEnv, vector

from polyrl.configs import MetricConfig, RandomExplorationConfig
from polyrl.envs import GymEnvironment

# Evaluation. ------------------------------------------------------------------------------------------------------------


def test_an_evaluation_gives_the_known_returns_and_counters(counting):
    result = counting.evaluate(schedule(3, 1), episodes=4)
    rewards = [6.0, 1.0, 6.0, 1.0]
    assert result == {
        "mean_reward": np.mean(rewards),
        "std_reward": np.std(rewards),
        "min_reward": 1.0,
        "max_reward": 6.0,
        "mean_ep_length": 2.0,
        "episodes": 4,
        "loss": pytest.approx(14.0 / 8.0),  # The mean over the steps 1 2 3, 1, 1 2 3, 1.
        "global_step": 5,
        "global_timestep": 9,
        "global_episode": 3,
    }
    assert {type(value) for value in result.values()} == {float, int}


@pytest.mark.parametrize(("episodes", "shares"), [(4, (2, 2)), (3, (2, 1)), (2, (1, 1)), (1, (1, 0))])
def test_short_episodes_do_not_count_for_more(counting, episodes, shares):
    """Of a short and a long environment, the short one has ended nine times when the long one ends."""
    result = counting.evaluate(vector(schedule(1), schedule(9)), episodes)
    rewards = [1.0] * shares[0] + [45.0] * shares[1]
    assert (result["mean_reward"], result["std_reward"]) == (pytest.approx(np.mean(rewards)), pytest.approx(np.std(rewards)))
    assert result["mean_ep_length"] == pytest.approx(np.mean([1] * shares[0] + [9] * shares[1]))


@pytest.mark.parametrize(("episodes", "opened"), [(1, 1), (7, 7), (20, 20), (45, 20)])
def test_a_described_environment_is_opened_for_each_episode_but_twenty_times_at_the_most(
    counting, monkeypatch, episodes, opened
):
    numbers = []
    original = GymEnvironment.open
    monkeypatch.setattr(
        GymEnvironment, "open", lambda self, num_envs=None: numbers.append(num_envs) or original(self, num_envs)
    )
    result = counting.evaluate(GymEnvironment(SCHEDULE, 3, lengths=(2, 4, 1)), episodes)
    assert numbers == [opened]
    assert result["mean_reward"] == pytest.approx({1: 3.0, 7: 3.0, 20: 3.0, 45: (20 * 3 + 20 * 10 + 5 * 1) / 45}[episodes])


def test_truncated_episodes_are_episodes(counting):
    assert counting.evaluate(schedule(4, ends=("truncated",)), 2)["mean_reward"] == 10.0


class Noted(ConstantEnv):
    """Notes the actions it gets."""

    def __init__(self):
        super().__init__(length=20)
        self.actions = []

    def step(self, action):
        self.actions.append(int(action))
        return super().step(action)


@pytest.mark.slow
def test_evaluation_and_prediction_are_greedy_though_training_acts_at_random(agent):
    """Side by side: all random actions of one step of a rollout would be drawn with one seed."""
    model_fn = q_model_fn(num_states=1, num_actions=2, exploration_config=RandomExplorationConfig())
    training, evaluation, prediction = ([Noted() for _ in range(6)] for _ in range(3))
    trained = agent(model_fn)
    trained.train(vector(*training), first_update=6, update_frequency=6, timesteps=60)
    trained.evaluate(vector(*evaluation), episodes=6)
    list(trained.predict(vector(*prediction), episodes=6))
    for env in training:
        assert set(env.actions) == {0, 1}
    (greedy,) = {action for env in (*evaluation, *prediction) for action in env.actions}
    assert trained.act(np.ones(1)) == greedy
    assert {len(env.actions) for env in (*evaluation, *prediction)} == {20}


@pytest.mark.slow
def test_the_same_checkpoint_gives_the_same_evaluation_again(agent, tmp_path):
    model_fn = q_model_fn(num_states=3)
    trained = train_on(BanditEnv(), model_fn, tmp_path / "run")
    first, again = (trained.evaluate(BanditEnv(), 30) for _ in range(2))
    other = agent(model_fn).evaluate(BanditEnv(), 30)
    assert first == again == other
    assert 0.0 < first["mean_reward"] < 1.0  # So that other episodes would be seen.


@pytest.mark.slow
def test_an_older_checkpoint_can_be_evaluated(agent):
    trained = agent(q_model_fn(), save_checkpoints_timesteps=6)
    trained.train(schedule(), first_update=BATCH, timesteps=9)
    older = trained.checkpoints.directory / "ckpt-000000006"
    found = [trained.evaluate(schedule(), 1, checkpoint=path) for path in (older, str(older), "latest", None)]
    assert [result["global_timestep"] for result in found] == [6, 6, 9, 9]
    assert found[0]["loss"] == found[1]["loss"] != found[2]["loss"] == found[3]["loss"]


@pytest.mark.slow
def test_metrics_start_at_zero_in_each_evaluation(tmp_path):
    model_fn = q_model_fn(eval_metrics_config=[MetricConfig("Mean", "labels.reward", name="step_reward")])
    trained = train_on(schedule(), model_fn, tmp_path / "run")
    found = [trained.evaluate(schedule(number=number), 2)["step_reward"] for number in (0, 5, 0)]
    assert found == [2.0, 52.0, 2.0]


ROW = {"results", "index", "state", "reward", "done", "truncated", "episode", "env", "timestep"}


# Prediction. ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_rows_hold_what_is_documented(reader):
    first = next(reader.predict(schedule()))
    assert first.keys() == ROW | {"graph_results", "a", "v", "q"}
    shapes = {name: np.shape(first[name]) for name in ("results", "graph_results", "a", "v", "q", "state")}
    assert shapes == {"results": (), "graph_results": (8,), "a": (3,), "v": (1,), "q": (3,), "state": (4,)}
    types = {name: type(first[name]) for name in ROW - {"results", "state"}}
    numbers = {"reward": float, "done": bool, "truncated": bool, **dict.fromkeys(["index", "episode", "env", "timestep"], int)}
    assert types == numbers


def test_rows_tell_the_episode_step_by_step(reader):
    found = list(reader.predict(schedule(2, 3, ends=("terminated", "truncated")), episodes=3))
    assert [(row["episode"], row["timestep"]) for row in found] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert [tuple(row["state"][1:3]) for row in found] == [(row["episode"], row["timestep"]) for row in found]
    assert [row["reward"] for row in found] == [1.0, 2.0, 1.0, 2.0, 3.0, 1.0, 2.0]
    assert [row["done"] for row in found] == [False, True, False, False, False, False, True]
    assert [row["truncated"] for row in found] == [False, False, False, False, True, False, False]
    for row, next_row in itertools.pairwise(found):
        if next_row["timestep"]:
            assert next_row["state"][3] == row["results"] + 1  # The env notes the action it received.


def test_the_action_is_the_one_with_the_largest_value_of_its_row(reader):
    for row in reader.predict(schedule(5), episodes=2):
        assert row["results"] == np.argmax(row["q"])


def test_several_environments_give_a_row_each_and_number_their_episodes(counting):
    found = list(counting.predict(vector(schedule(2), schedule(3, number=1)), steps=12))
    assert [row["env"] for row in found] == [0, 1] * 6
    assert [row["episode"] for row in found if row["env"] == 0] == [0, 0, 2, 2, 4, 4]
    assert [row["episode"] for row in found if row["env"] == 1] == [1, 1, 1, 3, 3, 3]
    assert [row["timestep"] for row in found if row["env"] == 1] == [0, 1, 2, 0, 1, 2]
    assert {int(row["state"][0]) for row in found if row["env"] == 1} == {1}


@pytest.mark.parametrize(
    ("limits", "length"),
    [
        ({"steps": 1}, 1),
        ({"steps": 5}, 5),
        ({"episodes": 1}, 3),
        ({"episodes": 2, "steps": 4}, 4),
        ({"episodes": 1, "steps": 9}, 3),
    ],
)
def test_prediction_ends_with_the_first_limit_to_be_reached(counting, limits, length):
    assert len(list(counting.predict(schedule(), **limits))) == length


def test_prediction_without_a_limit_does_not_end(counting):
    found = counting.predict(schedule())
    assert [next(found)["episode"] for _ in range(31)] == [step // 3 for step in range(31)]


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_support_as_long_as_the_batch_is_given_whole(tmp_path, batch):
    """I15: predictions were sliced row by row, whatever their first dimension meant."""
    model_fn = q_model_fn("c51", num_atoms=3, max_q_value=6.0)
    trained = train_on(schedule(), model_fn, tmp_path / "run")
    env = vector(*(schedule() for _ in range(batch)))
    for row in trained.predict(env, steps=4):
        assert row.keys() == ROW | {"graph_results", "a", "v", "q", "probabilities", "support"}
        np.testing.assert_array_equal(row["support"], [0.0, 3.0, 6.0])
        assert row["probabilities"].shape == (3, 3)
        np.testing.assert_allclose(row["probabilities"].sum(axis=1), 1.0, rtol=1e-5)
        np.testing.assert_allclose(row["probabilities"] @ row["support"], row["q"], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_a_temperature_draws_actions_that_vary_and_can_be_drawn_again(tmp_path, jit):
    train_on(ConstantEnv(), q_model_fn(num_states=1, num_actions=2), tmp_path / "run")
    model_fn = q_model_fn(num_states=1, num_actions=2, temperature=50.0)
    first, second = (make_agent(model_fn, model_dir=tmp_path / "run", jit=jit) for _ in range(2))
    drawn = [[int(row["results"]) for row in agent.predict(ConstantEnv(), steps=60)] for agent in (first, first, second)]
    assert drawn[0] == drawn[2]
    assert drawn[0] != drawn[1]
    actions = drawn
    assert 10 < sum(actions[0]) < 50  # About half of them; this is five standard deviations either way.
    assert 10 < first.act(np.ones([60, 1])).sum() < 50


@pytest.mark.slow
@pytest.mark.parametrize("call", ["evaluate", *(pytest.param(call, marks=pytest.mark.slow) for call in ("record", "predict"))])
def test_an_environment_of_other_states_is_named_so(call):
    """And not by an argument of the model, which is right."""
    agent = make_agent(q_model_fn())
    agent.train(ScheduleEnv(), first_update=4, timesteps=8)
    with pytest.raises(ValueError, match=r"The environment's states are .*\[3\].*; expected .*\[4\].*, as in training"):
        list(getattr(agent, call)(BanditEnv(), 1))


@pytest.mark.slow
@pytest.mark.parametrize(("state", "got"), [(None, "None"), ({"state": np.zeros(4)}, r"a dict with the keys \['state'\]")])
def test_what_is_not_an_array_is_named_where_states_are_arrays(state, got):
    agent = make_agent(q_model_fn())
    agent.train(ScheduleEnv(), first_update=4, timesteps=8)
    with pytest.raises(TypeError, match=f"state: expected numbers in an array, as the states of the training were; got {got}"):
        agent.act(state)
