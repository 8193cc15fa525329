"""What environments and wrappers keep from episode to episode, in a checkpoint."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import NormalizeReward

from polyrl.envs import GymEnvironment
from polyrl.envs.states import give_vector_states, read_values, vector_states, write_values


class Curriculum(gymnasium.Wrapper):
    """Counts its episodes."""

    def __init__(self, env):
        super().__init__(env)
        self.episodes, self.lengths = 0, np.zeros(3)

    def reset(self, **arguments):
        self.episodes += 1
        self.lengths[self.episodes % 3] += 1.5
        return self.env.reset(**arguments)

    def get_checkpoint_state(self):
        return {"episodes": self.episodes, "lengths": self.lengths, "name": "easy", "levels": [1, {"last": np.float32(0.5)}]}

    def set_checkpoint_state(self, state):
        assert state["name"] == "easy"
        assert state["levels"][1]["last"] == np.float32(0.5)
        assert state["levels"][1]["last"].dtype == np.float32
        self.episodes, self.lengths = state["episodes"], state["lengths"]


def make():
    return Curriculum(NormalizeReward(gymnasium.make("CartPole-v1")))


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_each_environment_gets_back_its_own(tmp_path, mode):
    first, second = (GymEnvironment(make, 2, mode).open() for _ in range(2))
    try:
        first.reset(seed=[1, 2])
        for _ in range(60):
            first.step(np.array([1, 0]))
        states = vector_states(first)
        assert [state["0/Curriculum"]["episodes"] for state in states["envs"]] != [1, 1]
        write_values(tmp_path / "states.npz", states)
        second.reset(seed=[1, 2])
        give_vector_states(second, read_values(tmp_path / "states.npz"))
        again = vector_states(second)
        assert again["vector"] == states["vector"] == {}
        assert len(again["envs"]) == 2
        for before, after in zip(states["envs"], again["envs"], strict=True):
            assert before.keys() == after.keys() == {"0/Curriculum", "1/NormalizeReward"}
            np.testing.assert_equal(after, before)
    finally:
        first.close()
        second.close()


def test_environments_that_keep_nothing_have_no_states():
    env = GymEnvironment("CartPole-v1", 2).open()
    assert vector_states(env) == {"vector": {}, "envs": []}


class Half(gymnasium.Wrapper):
    def get_checkpoint_state(self):
        return {}


def test_one_method_without_the_other_is_refused():
    env = GymEnvironment(lambda: Half(gymnasium.make("CartPole-v1"))).open()
    with pytest.raises(TypeError, match=r"Half defines get_checkpoint_state without set_checkpoint_state"):
        vector_states(env)


@pytest.mark.parametrize(
    ("value", "place"),
    [({"a": {1: 2}}, "/a"), ({"a": [0, object()]}, "/a/1"), ({"f": np.array([object()])}, "/f"), ({"s": {3}}, "/s")],
)
def test_only_plain_values_are_written(tmp_path, value, place):
    with pytest.raises(TypeError, match=f"at '{place}'; expected numbers, strings, NumPy arrays"):
        write_values(tmp_path / "values.npz", value)


def test_nothing_executable_is_read(tmp_path):
    np.savez(tmp_path / "values.npz", json=np.array('{"a": {"__array__": "x", "scalar": false}}'), x=np.array([print], object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_values(tmp_path / "values.npz")
