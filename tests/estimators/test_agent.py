"""`Agent.evaluate`, `predict` and `act`: what they refuse, single states, no tracing twice, from the directory alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Discrete
from rollout_testing import BATCH, SCHEDULE, schedule, train_on
from tiny_agents import counting_model_fn, make_agent, q_model_fn
from tiny_envs import BanditEnv, ScheduleEnv

from polyrl.errors import CheckpointMismatchError, NotTrainedError
from polyrl.estimators import EstimatorSpec

ASK = {
    "evaluate": lambda agent, **more: agent.evaluate(schedule(), episodes=1, **more),
    "predict": lambda agent, **more: agent.predict(schedule(), **more),
    "act": lambda agent, **more: agent.act(np.zeros(4, np.float32), **more),
}


# Without a checkpoint. --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("checkpoint", [None, "latest", "best"])
def test_nothing_can_be_asked_of_an_untrained_agent_and_nothing_is_written(agent, tmp_path, ask, checkpoint):
    """G13. It is the call that fails, not the first row of the prediction."""
    with pytest.raises(NotTrainedError, match="Train first") as error:
        ASK[ask](agent(), checkpoint=checkpoint)
    assert str(tmp_path / "run") in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("ask", ASK)
def test_a_path_that_is_not_a_checkpoint_is_refused(counting, tmp_path, ask):
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


# Single actions. --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
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


# What fits not. ---------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("before", [False, True], ids=["first_call", "after_a_call_that_fitted"])
@pytest.mark.parametrize("ask", CALLS)
def test_an_environment_with_another_number_of_actions_is_refused(dqn, agent, ask, before):
    asked = agent(q_model_fn()) if ask == "train" else make_agent(q_model_fn(), model_dir=dqn)
    if before:
        CALLS[ask](asked, schedule())
    with pytest.raises(ValueError, match="num_actions=3, the environment has 2"):
        CALLS[ask](asked, Fewer())


def test_an_environment_with_other_observations_is_refused(dqn):
    with pytest.raises(ValueError, match="as in training"):
        make_agent(q_model_fn(), model_dir=dqn).evaluate(BanditEnv(), 1)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("ask", ["train", "evaluate", "predict"])
@pytest.mark.parametrize("wrong", [BanditEnv, Fewer], ids=["observations", "actions"])
def test_an_agent_that_refused_one_environment_takes_the_next(dqn, agent, ask, wrong):
    asked = agent(q_model_fn()) if ask == "train" else make_agent(q_model_fn(), model_dir=dqn)
    with pytest.raises(ValueError, match=r"num_states|num_actions|expected .* as in training"):
        CALLS[ask](asked, wrong())
    CALLS[ask](asked, schedule())


@pytest.mark.slow
def test_a_model_of_another_size_is_refused(dqn):
    for ask in (*CALLS.values(), lambda agent, env: agent.act(np.zeros(4))):
        with pytest.raises(CheckpointMismatchError, match=r"Model/online/dense/.*8.*16"):
            ask(make_agent(q_model_fn(units=16), model_dir=dqn), schedule())


# Again, and from the directory alone. ----------------------------------------------------------------------------------


def test_repeated_calls_trace_nothing_again(tmp_path):
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


@pytest.mark.slow
def test_a_new_process_gives_the_same_from_the_directory_alone(dqn, reader):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, str(dqn)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    actions, rows, evaluation = json.loads(output)
    states = [[0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 9.0, 1.0]]
    assert actions == reader.act(states).tolist()
    assert rows == [[float(q) for q in row["q"]] for row in reader.predict(schedule(), episodes=1)]
    assert evaluation == reader.evaluate(schedule(), 2)


@pytest.mark.parametrize("ask", ASK)
def test_a_checkpoint_is_found_by_its_name(counting, ask):
    """It was looked for in the working directory alone."""
    ASK[ask](counting, checkpoint=counting.checkpoints.latest().name)
    with pytest.raises(NotTrainedError, match=r"the name of one in .*checkpoints: ckpt-\d+\. Did you mean 'ckpt-"):
        ASK[ask](counting, checkpoint="ckpt-000000999")


@pytest.mark.parametrize(("given", "meant"), [("bst", "best"), ("lastest", "latest")])
def test_a_misspelt_checkpoint_is_told_the_nearest(counting, given, meant):
    with pytest.raises(NotTrainedError, match=rf"^checkpoint='{given}' is not a checkpoint.* Did you mean '{meant}'\?$"):
        counting.evaluate(schedule(), 1, checkpoint=given)


def test_the_runs_of_several_seeds_are_named(agent, tmp_path):
    for seed in (1, 2):
        (tmp_path / "run" / f"seed-{seed}" / "checkpoints").mkdir(parents=True)
    with pytest.raises(NotTrainedError, match=r"Its runs are seed-1, seed-2: name one of these directories\."):
        agent().evaluate(schedule(), 1)
