"""`--env_backend`: which environment the flag gives."""

from __future__ import annotations

import pytest
from absl.testing import flagsaver

from polyrl.envs import EnvpoolEnvironment, GymEnvironment
from polyrl.experiments import atari, cli


@pytest.fixture
def backend():
    """Sets the flag, and sets it back."""
    if not cli.FLAGS.is_parsed():
        cli.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        yield lambda name: cli.FLAGS.__setattr__("env_backend", name)


@pytest.mark.parametrize(("name", "mode"), [("gymnasium", "sync"), ("async", "async")])
def test_the_flag_chooses_how_gymnasium_runs_it(backend, name, mode):
    backend(name)
    environment = cli.environment("CartPole-v1", {"num_envs": 3})
    assert isinstance(environment, GymEnvironment)
    assert (environment.env_id, environment.num_envs, environment.vectorization_mode) == ("CartPole-v1", 3, mode)


def test_limits_of_processes_are_those_of_the_flags(backend):
    backend("async")
    cli.FLAGS.env_timeout, cli.FLAGS.env_restarts = 2.5, 3
    environment = cli.environment("CartPole-v1", {"num_envs": 3}, render_mode=None)
    assert (environment.timeout, environment.restarts, environment.kwargs) == (2.5, 3, {"render_mode": None})


def test_the_flag_chooses_envpool(backend):
    pytest.importorskip("envpool", reason="envpool is not installed: pip install 'polyrl[envpool]'")
    backend("envpool")
    environment = cli.environment("CartPole-v1", {"num_envs": 3})
    assert isinstance(environment, EnvpoolEnvironment)
    assert (environment.env_id, environment.num_envs) == ("CartPole-v1", 3)


def test_a_backend_without_the_environment_says_which_have_it(backend):
    backend("ale")
    with pytest.raises(ValueError, match="--env_backend=ale runs Atari games; for CartPole-v1 use gymnasium, async"):
        cli.environment("CartPole-v1", {"num_envs": 3})
    for name in ("async", "compiled"):
        backend(name)
        with pytest.raises(ValueError, match=f"--env_backend={name} has no Atari games; use one of gymnasium, ale, envpool"):
            atari.environments({"game": "Pong", "clip_rewards": True})


def test_what_is_for_training_only_is_not_in_what_is_evaluated(backend):
    pytest.importorskip("ale_py", reason="ale-py is not installed: pip install 'polyrl[atari]'")
    backend("ale")
    params = {name: cli.FLAGS[name].value for name in (*atari.HYPER_PARAMETERS, "num_envs")}
    params |= {"terminal_on_life_loss": True, "clip_rewards": True, "sticky_actions": 0.1, "num_envs": 3}
    training, evaluation = atari.environments(params)
    assert (training.terminal_on_life_loss, training.clip_rewards) == (True, True)
    assert (evaluation.terminal_on_life_loss, evaluation.clip_rewards) == (False, False)
    for environment in (training, evaluation):
        assert (environment.backend, environment.num_envs, environment.sticky_actions) == ("ale", 3, 0.1)


def test_the_backend_is_not_a_hyper_parameter():
    """It does not change the task: a run may be resumed with another."""
    assert "env_backend" not in (*cli.HYPER_PARAMETERS, *atari.HYPER_PARAMETERS)
    assert {"game", "sticky_actions", "clip_rewards"} <= set(atari.HYPER_PARAMETERS)
