"""`compiled_environment`: in-graph environments by gymnasium id or name."""

from __future__ import annotations

import pytest

from polyrl.envs.compiled import CartPole, compiled_environment
from polyrl.envs.compiled.registry import ENVIRONMENTS


def test_an_environment_by_its_gymnasium_id():
    env = compiled_environment("CartPole-v1", num_envs=3)
    assert isinstance(env, CartPole)
    assert env.num_envs == 3
    assert compiled_environment("CartPole-v1").num_envs == 1


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_each_environment_has_its_name(env_id):
    env = compiled_environment(env_id, num_envs=2)
    assert type(env).__name__ == env_id.split("-")[0]
    assert env.num_envs == 2


def test_arguments_are_those_of_the_environment():
    assert compiled_environment("DeepSea", size=7).observation_space.shape == (7, 7)


def test_an_unknown_id_is_refused_with_those_known_and_the_nearest():
    with pytest.raises(ValueError, match=r"'CartPole-v0' .*CartPole-v1.*Did you mean 'CartPole-v1'"):
        compiled_environment("CartPole-v0")
    with pytest.raises(ValueError, match="CartPole-v1") as refused:
        compiled_environment("Chess")
    assert "Did you mean" not in str(refused.value)


def test_what_the_environment_does_not_know_is_refused():
    with pytest.raises(TypeError, match="gravitation"):
        compiled_environment("CartPole-v1", gravitation=3.0)
    with pytest.raises(ValueError, match="num_envs=0"):
        compiled_environment("CartPole-v1", num_envs=0)
