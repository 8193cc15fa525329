"""gymnasium's check_env on a new instance, before training."""

from __future__ import annotations

import logging
import threading
import time

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete, MultiBinary
from sound_env import Sound
from tiny_agents import make_agent

from polyrl.envs import GymEnvironment
from polyrl.envs.checking import check_environment
from polyrl.estimators import RunConfig


class Plain(Sound):
    pass


class NoSeed(Sound):
    def reset(self, *, seed=None, options=None):
        super().reset()
        return self.observation(), {}


class OldReset(Sound):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class OldStep(Sound):
    def step(self, action):
        return self.observation(), 1.0, False, {}


class NoSeedArgument(Sound):
    def reset(self):
        return super().reset()


class NoOptionsArgument(Sound):
    def reset(self, *, seed=None):
        return super().reset(seed=seed)


class OutOfBounds(Sound):
    def observation(self):
        return 2.0 + super().observation()


class OneBuffer(Sound):
    def observation(self):
        self.buffer = getattr(self, "buffer", np.zeros(4, np.float32))
        self.buffer[:] = super().observation()
        return self.buffer


class Broken(Sound):
    def step(self, action):
        raise ZeroDivisionError("a fault of the environment")


class Masked(Sound):
    """Actions count from 3, and two of the three are illegal."""

    action_space = Discrete(3, start=3)

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], {"action_mask": np.array([0, 1, 0], np.int8)}

    def step(self, action):
        assert isinstance(action, (int, np.integer))
        if action != 4:
            raise ValueError(f"illegal: {action}")
        return *super().step(action)[:4], {"action_mask": np.array([0, 1, 0], np.int8)}


class NumPyFlags(Sound):
    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, np.False_, np.False_, info


class OneStep(Sound):
    def step(self, action):
        return *super().step(action)[:3], True, {}


class OwnInfo(Sound):
    """Its info differs each time: a time, what cannot be compared, and NaN."""

    def step(self, action):
        return *super().step(action)[:4], {"time": time.perf_counter(), "lock": threading.Lock(), "nan": np.nan}


class OwnMask(Sound):
    """Its actions are no single number, and what it calls a mask is its own."""

    action_space = MultiBinary(3)

    def step(self, action):
        return *super().step(action)[:4], {"action_mask": np.zeros(3)}

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], {"action_mask": np.ones(3)}


class NaNReward(Sound):
    def step(self, action):
        return self.observation(), np.nan, False, False, {}


WRONG = {
    NoSeed: r"(?i)seed",
    NoSeedArgument: "does not take 'seed' and 'options'",
    NoOptionsArgument: "does not take 'options'",
    OutOfBounds: r"not within the observation space.*The space is Box\(0.0, 1.0, \(4,\).*float32 \(4,\) array\(\[2\.",
    OneBuffer: "share an object",
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_what_fails_is_refused_by_name_with_the_way_out(wrong):
    with pytest.raises(ValueError, match=WRONG[wrong]) as error:
        check_environment(GymEnvironment(wrong))
    assert wrong.__name__ in str(error.value)
    assert f"gymnasium {gymnasium.__version__}" in str(error.value)
    assert "check_env=False" in str(error.value)
    assert "\n" not in str(error.value)
    assert [env.closed for env in wrong.made] == [True] * len(wrong.made)
    assert wrong.made


@pytest.mark.parametrize(
    ("wrong", "message"), [(OldReset, r"at its reset, returned array.*\(observation, info\)"), (OldStep, "returned 4 values")]
)
def test_what_is_refused_without_it_as_well_is_refused_in_the_same_words(wrong, message):
    with pytest.raises(TypeError, match=message) as error:
        check_environment(GymEnvironment(wrong))
    assert wrong.__name__ in str(error.value)
    assert gymnasium.__version__ in str(error.value)
    assert [env.closed for env in wrong.made] == [True]


def test_an_id_whose_reset_takes_no_seed_is_refused_by_name():
    gymnasium.register("PolyrlNoSeedArgument-v0", NoSeedArgument)
    with pytest.raises(ValueError, match=r"NoSeedArgument.*does not take 'seed'"):
        check_environment("PolyrlNoSeedArgument-v0")


@pytest.mark.parametrize(
    "allowed",
    [
        NumPyFlags,
        OneStep,
        OwnInfo,
        OwnMask,
        NaNReward,
    ],
)
def test_what_training_allows_or_names_itself_passes(allowed):
    check_environment(GymEnvironment(allowed))


@pytest.mark.parametrize("env", [GymEnvironment(Plain), GymEnvironment(Masked), "CartPole-v1", "Taxi-v4", "FrozenLake-v1"])
def test_what_is_sound_passes_without_a_word(env, recwarn, capfd):
    check_environment(env)
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


class Strays(Plain):
    """Its reset keeps to the space; its step does not."""

    def step(self, action):
        observation, *rest = super().step(action)
        return observation + 9, *rest


def test_an_observation_of_a_step_outside_of_its_space_is_told(caplog):
    """Gymnasium's check only warns of it, and that was not shown."""
    with caplog.at_level(logging.WARNING, "polyrl"):
        check_environment(GymEnvironment(Strays))
    (text,) = caplog.messages
    assert "its step returned an observation outside of its observation_space. The space is Box" in text


def test_an_error_of_the_environment_stays_as_it_is():
    with pytest.raises(ZeroDivisionError, match="a fault of the environment"):
        check_environment(GymEnvironment(Broken))


def test_an_open_instance_is_left_alone():
    env = NoSeed()
    check_environment(env)
    assert not env.closed


def test_an_instance_that_a_function_returns_again_is_not_touched():
    env = NoSeed()
    with pytest.raises(ValueError, match="the same environment again"):
        check_environment(GymEnvironment(lambda: env))
    assert not env.closed


@pytest.mark.parametrize("wrong", [NoSeed, OneBuffer])
def test_training_begins_with_it_unless_it_is_off(tmp_path, wrong):
    agent = make_agent(model_dir=tmp_path / "on")
    wrong.made.clear()
    with pytest.raises(ValueError, match="check_env of gymnasium"):
        agent.train(GymEnvironment(wrong), timesteps=8, first_update=4)
    assert len(wrong.made) == 1
    assert not (tmp_path / "on" / "checkpoints").exists()
    assert (
        make_agent(model_dir=tmp_path / "off", check_env=False).train(GymEnvironment(wrong), timesteps=8).global_timestep == 8
    )


def test_it_is_on_by_default_and_a_bool():
    assert RunConfig().check_env is True
    with pytest.raises(TypeError, match="check_env"):
        RunConfig(check_env="no")


@pytest.mark.parametrize("env", [gymnasium.Env, GymEnvironment(gymnasium.Env)], ids=["instance", "class"])
def test_an_environment_without_spaces_is_told_so(env):
    with pytest.raises(TypeError, match=r"<Env instance>: its observation_space is None, expected a space .* in __init__"):
        make_agent().train(env() if env is gymnasium.Env else env, timesteps=8)


def test_an_observation_space_that_is_not_supported_is_named_first():
    with pytest.raises(TypeError, match=r"neither a Box nor Discrete.*FlattenObservation"):
        check_environment("Blackjack-v1")


@pytest.mark.parametrize("kind", ["observations", "rewards", "both"])
def test_running_statistics_of_gymnasiums_wrappers_are_no_lack_of_determinism(kind):
    def make():
        env = gymnasium.make("CartPole-v1")
        env = gymnasium.wrappers.NormalizeObservation(env) if kind != "rewards" else env
        return gymnasium.wrappers.NormalizeReward(env) if kind != "observations" else env

    check_environment(GymEnvironment(make))


class FromElsewhere(Sound):
    def step(self, action):
        observation, *rest = super().step(action)
        noise = np.random.default_rng().uniform(0.1, 0.9, observation.shape)
        return (observation * noise).astype(observation.dtype), *rest


def test_random_numbers_from_elsewhere_are_told_where_they_have_to_come_from():
    with pytest.raises(ValueError, match=r"does not pass .*from self\.np_random, which super\(\)\.reset\(seed=seed\) seeds"):
        check_environment(GymEnvironment(FromElsewhere))
