"""Evaluation, prediction and single actions: what they give, and that they leave training alone."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Discrete
from tiny_agents import assert_equal, counters, counting_model_fn, make_agent, q_model_fn, rows, weights
from tiny_envs import BanditEnv, ConstantEnv, ScheduleEnv, vector

from polyrl.configs import MetricConfig, RandomExplorationConfig
from polyrl.envs import GymEnvironment
from polyrl.errors import CheckpointMismatchError, NotTrainedError
from polyrl.estimators import EstimatorSpec
from polyrl.estimators.hooks import EvaluationHook

BATCH = 4
SCHEDULE = "polyrl/TinySchedule-v0"


def schedule(*lengths: int, number: int = 0, **arguments) -> ScheduleEnv:
    return ScheduleEnv(number, lengths or (3,), **arguments)


def train_on(env, model_fn, model_dir, timesteps: int = 9, **arguments):
    agent = make_agent(model_fn, model_dir=model_dir, **arguments)
    agent.train(env, first_update=BATCH, timesteps=timesteps)
    return agent


@pytest.fixture(scope="module")
def dqn(tmp_path_factory):
    """The directory of a trained DQN; agents that only read it may share it."""
    return train_on(schedule(), q_model_fn(), tmp_path_factory.mktemp("dqn") / "run").model_dir


@pytest.fixture(scope="module")
def reader(dqn):
    """An agent that evaluates and predicts with it."""
    return make_agent(q_model_fn(), model_dir=dqn)


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """An agent that always takes action 0, and whose loss is the mean reward; evaluated and predicted with only."""
    return train_on(schedule(), counting_model_fn, tmp_path_factory.mktemp("counting") / "run")


# Without a checkpoint. --------------------------------------------------------------------------------------------------

ASK = {
    "evaluate": lambda agent, **more: agent.evaluate(schedule(), episodes=1, **more),
    "predict": lambda agent, **more: agent.predict(schedule(), **more),
    "act": lambda agent, **more: agent.act(np.zeros(4, np.float32), **more),
}


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("checkpoint", [None, "latest", "best"])
def test_nothing_can_be_asked_of_an_untrained_agent_and_nothing_is_written(agent, tmp_path, ask, checkpoint):
    """G13. It is the call that fails, not the first row of the prediction."""
    with pytest.raises(NotTrainedError, match="Train first") as error:
        ASK[ask](agent(), checkpoint=checkpoint)
    assert str(tmp_path / "run") in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("ask", ASK)
def test_a_path_that_is_no_checkpoint_is_refused(counting, tmp_path, ask):
    with pytest.raises(NotTrainedError, match="is not a checkpoint"):
        ASK[ask](counting, checkpoint=tmp_path)


def test_the_best_is_missing_until_there_were_evaluations(counting):
    with pytest.raises(NotTrainedError, match="with evaluations"):
        counting.evaluate(schedule(), 1, checkpoint="best")


@pytest.mark.parametrize("number", [0, -2])
def test_fewer_than_one_episode_or_step_is_refused(counting, number):
    with pytest.raises(ValueError, match=f"episodes={number}"):
        counting.evaluate(schedule(), number)
    with pytest.raises(ValueError, match=f"episodes={number}"):
        counting.predict(schedule(), episodes=number)
    with pytest.raises(ValueError, match=f"steps={number}"):
        counting.predict(schedule(), steps=number)


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


def test_the_same_checkpoint_gives_the_same_evaluation_again(agent, tmp_path):
    model_fn = q_model_fn(num_states=3)
    trained = train_on(BanditEnv(), model_fn, tmp_path / "run")
    first, again = (trained.evaluate(BanditEnv(), 30) for _ in range(2))
    other = agent(model_fn).evaluate(BanditEnv(), 30)
    assert first == again == other
    assert 0.0 < first["mean_reward"] < 1.0  # So that other episodes would be seen.


def test_an_older_checkpoint_can_be_evaluated(agent):
    trained = agent(q_model_fn(), save_checkpoints_timesteps=6)
    trained.train(schedule(), first_update=BATCH, timesteps=9)
    older = trained.checkpoints.directory / "ckpt-000000006"
    found = [trained.evaluate(schedule(), 1, checkpoint=path) for path in (older, str(older), "latest", None)]
    assert [result["global_timestep"] for result in found] == [6, 6, 9, 9]
    assert found[0]["loss"] == found[1]["loss"] != found[2]["loss"] == found[3]["loss"]


def test_metrics_begin_anew_with_each_evaluation(tmp_path):
    model_fn = q_model_fn(eval_metrics_config=[MetricConfig("Mean", "labels.reward", name="step_reward")])
    trained = train_on(schedule(), model_fn, tmp_path / "run")
    found = [trained.evaluate(schedule(number=number), 2)["step_reward"] for number in (0, 5, 0)]
    assert found == [2.0, 52.0, 2.0]


# Prediction. ------------------------------------------------------------------------------------------------------------

ROW = {"results", "state", "reward", "done", "truncated", "episode", "env", "timestep"}


def test_rows_hold_what_is_documented(reader):
    first = next(reader.predict(schedule()))
    assert first.keys() == ROW | {"graph_results", "a", "v", "q"}
    shapes = {name: np.shape(first[name]) for name in ("results", "graph_results", "a", "v", "q", "state")}
    assert shapes == {"results": (), "graph_results": (8,), "a": (3,), "v": (1,), "q": (3,), "state": (4,)}
    types = {name: type(first[name]) for name in ROW - {"results", "state"}}
    numbers = {"reward": float, "done": bool, "truncated": bool, "episode": int, "env": int, "timestep": int}
    assert types == numbers


def test_rows_tell_the_episode_step_by_step(reader):
    found = list(reader.predict(schedule(2, 3, ends=("terminated", "truncated")), episodes=3))
    assert [(row["episode"], row["timestep"]) for row in found] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert [tuple(row["state"][1:3]) for row in found] == [(row["episode"], row["timestep"]) for row in found]
    assert [row["reward"] for row in found] == [1.0, 2.0, 1.0, 2.0, 3.0, 1.0, 2.0]
    assert [row["done"] for row in found] == [False, True, False, False, False, False, True]
    assert [row["truncated"] for row in found] == [False, False, False, False, True, False, False]
    for row, following in itertools.pairwise(found):
        if following["timestep"]:
            assert following["state"][3] == row["results"] + 1  # The env notes the action it received.


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


def test_prediction_without_a_limit_goes_on(counting):
    found = counting.predict(schedule())
    assert [next(found)["episode"] for _ in range(31)] == [step // 3 for step in range(31)]


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


# Single actions. --------------------------------------------------------------------------------------------------------


def test_one_state_gives_an_int_and_a_batch_an_array(reader):
    states = np.random.default_rng(0).uniform(0, 5, [6, 4]).astype(np.float32)
    batch = reader.act(states)
    assert (batch.dtype, batch.shape) == (np.int32, (6,))
    assert len(set(batch.tolist())) > 1
    singles = [reader.act(state) for state in states]
    assert {type(single) for single in singles} == {int}
    assert singles == batch.tolist()
    assert reader.act(states.astype(np.float64).tolist()).tolist() == batch.tolist()


def test_actions_are_those_of_the_prediction(reader):
    for row in reader.predict(schedule(), episodes=2):
        assert reader.act(row["state"]) == row["results"]


@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (2, 2, 4)])
def test_a_state_of_another_shape_is_refused_with_both_shapes(reader, shape):
    with pytest.raises(ValueError, match=r"state has shape .*\(4,\)") as error:
        reader.act(np.zeros(shape))
    assert str(shape) in str(error.value)


# What fits not. ---------------------------------------------------------------------------------------------------------


class Fewer(ScheduleEnv):
    """As the schedule, with two actions instead of three."""

    def __init__(self, number: int = 0):
        super().__init__(number)
        self.action_space = Discrete(2)


CALLS = {
    "evaluate": lambda agent, env: agent.evaluate(env, 1),
    "predict": lambda agent, env: next(agent.predict(env)),
    "train": lambda agent, env: agent.train(env, first_update=BATCH, timesteps=1),
}


@pytest.mark.parametrize("before", [False, True], ids=["first_call", "after_a_call_that_fitted"])
@pytest.mark.parametrize("ask", CALLS)
def test_an_environment_with_another_number_of_actions_is_refused(dqn, agent, ask, before):
    asked = agent(q_model_fn()) if ask == "train" else make_agent(q_model_fn(), model_dir=dqn)
    if before:
        CALLS[ask](asked, schedule())
    with pytest.raises(ValueError, match="num_actions=3, the environment has 2"):
        CALLS[ask](asked, Fewer())


def test_an_environment_with_other_observations_is_refused(dqn):
    with pytest.raises(ValueError, match="num_states"):
        make_agent(q_model_fn(), model_dir=dqn).evaluate(BanditEnv(), 1)


@pytest.mark.parametrize("ask", ["train", "evaluate", "predict"])
@pytest.mark.parametrize("wrong", [BanditEnv, Fewer], ids=["observations", "actions"])
def test_an_agent_that_refused_one_environment_takes_the_next(dqn, agent, ask, wrong):
    asked = agent(q_model_fn()) if ask == "train" else make_agent(q_model_fn(), model_dir=dqn)
    with pytest.raises(ValueError, match=r"num_states|num_actions|expected .* as in training"):
        CALLS[ask](asked, wrong())
    CALLS[ask](asked, schedule())


def test_a_model_of_another_size_is_refused(dqn):
    for ask in (*CALLS.values(), lambda agent, env: agent.act(np.zeros(4))):
        with pytest.raises(CheckpointMismatchError, match=r"Model/online/dense/.*8.*16"):
            ask(make_agent(q_model_fn(units=16), model_dir=dqn), schedule())


# What training does not notice. -----------------------------------------------------------------------------------------


def test_training_with_evaluations_is_the_training_without_them_bit_for_bit(agent, tmp_path):
    """Weights, optimizer, counters, memory, exploration and sampling; the evaluations keep the best, too."""
    results = []
    for name, hooks in (("with", [EvaluationHook(BanditEnv(), 10, 3)]), ("without", [])):
        trained = agent(q_model_fn(num_states=3), model_dir=tmp_path / name)
        env = vector(BanditEnv(), BanditEnv())
        trained.train(env, first_update=BATCH, update_frequency=2, timesteps=60, hooks=hooks)
        results.append(trained)
    assert results[0].checkpoints.best() is not None
    assert counters(results[0]) == counters(results[1])
    assert_equal(rows(results[0]), rows(results[1]))
    assert_equal(weights(results[0]), weights(results[1]))


def test_calls_between_two_runs_of_training_change_nothing_in_the_second(agent, tmp_path):
    results = []
    for name in ("with", "without"):
        trained = agent(q_model_fn(num_states=3), model_dir=tmp_path / name, save_checkpoints_timesteps=20)
        trained.train(vector(BanditEnv(), BanditEnv()), first_update=BATCH, update_frequency=2, timesteps=40)
        if name == "with":
            older = trained.checkpoints.directory / "ckpt-000000020"
            trained.evaluate(BanditEnv(), 2, checkpoint=older)
            next(trained.predict(BanditEnv(), checkpoint=older))
            trained.act(np.zeros(3), checkpoint=older)
        trained.train(vector(BanditEnv(), BanditEnv()), first_update=BATCH, update_frequency=2, timesteps=20)
        results.append(trained)
    assert counters(results[0]) == counters(results[1])
    assert_equal(rows(results[0]), rows(results[1]))
    assert_equal(weights(results[0]), weights(results[1]))


def test_repeated_calls_trace_nothing_anew(tmp_path):
    """A `model_fn` runs when something is traced, and only then."""
    calls = []

    def model_fn(features, labels, mode) -> EstimatorSpec:
        calls.append(mode)
        return counting_model_fn(features, labels, mode)

    trained = train_on(schedule(), model_fn, tmp_path / "run")
    ask = {
        "evaluate": lambda: trained.evaluate(SCHEDULE, 5),
        "evaluate an instance": lambda: trained.evaluate(schedule(), 5),
        "predict": lambda: list(trained.predict(SCHEDULE, episodes=2)),
        "act": lambda: trained.act(np.zeros(4)),
        "train": lambda: trained.train(schedule(), first_update=BATCH, timesteps=6),
    }
    for call in ask.values():
        call()
    for name, call in ask.items():
        calls.clear()
        for _ in range(4):
            call()
        assert calls == [], name


# From the directory alone. ----------------------------------------------------------------------------------------------

IN_A_NEW_PROCESS = """
import json, sys
from polyrl.errors import NotTrainedError
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ScheduleEnv
agent = make_agent(q_model_fn(), model_dir=sys.argv[1])
rows = [[float(q) for q in row["q"]] for row in agent.predict(ScheduleEnv(), episodes=1)]
states = [[0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 9.0, 1.0]]
print(json.dumps([agent.act(states).tolist(), rows, agent.evaluate(ScheduleEnv(), 2)]))
"""


def test_a_new_process_gives_the_same_from_the_directory_alone(dqn, reader):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, str(dqn)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    actions, rows, evaluation = json.loads(output)
    states = [[0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 9.0, 1.0]]
    assert actions == reader.act(states).tolist()
    assert rows == [[float(q) for q in row["q"]] for row in reader.predict(schedule(), episodes=1)]
    assert evaluation == reader.evaluate(schedule(), 2)
