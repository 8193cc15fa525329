"""Acting on states that are dicts with masks of legal actions."""

from __future__ import annotations

import numpy as np
import pytest
from masked_envs import MaskedScheduleEnv, mask_of
from masked_testing import agent_of, run, tempted, tempting
from tiny_agents import ATOMS
from tiny_envs import vector

from polyrl.experiments import RLExperiment
from polyrl.replay import UniformReplay

SLOW = pytest.mark.slow


@pytest.fixture(scope="module", params=["off", pytest.param("on", marks=SLOW)])
def trained(request, tmp_path_factory):
    agent, _ = run(tmp_path_factory.mktemp("trained"), request.param, 40, UniformReplay(100, 8))
    return agent


def some_states(count: int) -> dict[str, np.ndarray]:
    masks = np.eye(3, dtype=np.int8)[np.arange(count) % 3]
    parts = {"state": np.zeros([count, 3]), "goal": np.ones([count, 2]), "place": np.arange(count)}
    return {**parts, "action_mask": masks}


# Acting. --------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_act_takes_dicts_one_by_one_or_as_batches(trained):
    states = some_states(7)
    np.testing.assert_array_equal(trained.act(states), np.arange(7) % 3)
    assert trained.act({key: values[4] for key, values in states.items()}) == 1


REFUSED_STATES = {
    "no dict": (lambda states: states["state"], TypeError, r"must be a dict with the keys action_mask \S+ \[3\], goal"),
    "no mask": (lambda states: {k: v for k, v in states.items() if k != "action_mask"}, ValueError, "has it in its obs"),
    "one more": (lambda states: {**states, "more": 1}, ValueError, "expected"),
    "a mix": (lambda states: {**states, "goal": states["goal"][0]}, ValueError, "in all of its keys"),
    "another shape": (lambda states: {**states, "goal": np.ones([7, 3])}, ValueError, r"state\['goal'\] has shape \(7, 3\)"),
    "nothing legal": (
        lambda states: {**states, "action_mask": states["action_mask"] * (np.arange(7) != 2)[:, None]},
        ValueError,
        r"no legal action in rows \[2\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED_STATES)
def test_act_refuses_other_states_by_name(trained, case):
    change, error, words = REFUSED_STATES[case]
    with pytest.raises(error, match=words):
        trained.act(change(some_states(7)))


def test_predictions_come_with_every_key_of_the_state(trained):
    steps = list(trained.predict(vector(MaskedScheduleEnv(5, 4)), steps=6))
    for index, step in enumerate(steps):
        episode, t = divmod(index, 4)
        np.testing.assert_array_equal(step["state"], [5, episode, t])
        np.testing.assert_array_equal(step["goal"], [-t, episode])
        np.testing.assert_array_equal(step["action_mask"], mask_of(5, episode, t))
        assert step["place"] == 10 * episode + t
        assert step["q"].shape == (3,)


@pytest.mark.slow
def test_an_experiment_infers_with_masks_in_its_lines(tmp_path):
    import json

    agent = agent_of(tmp_path / "run", tempted("c51", **ATOMS))
    experiment = RLExperiment(
        agent,
        tempting("info"),
        train_timesteps=200,
        first_update=64,
        eval_episodes=5,
        infer_episodes=4,
        infer_output=tmp_path / "lines.jsonl",
    )
    experiment.train()
    assert np.isfinite(experiment.evaluate()["loss"])
    experiment.infer()
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    for line in lines:
        assert line["action_mask"][line["action"]] == 1
