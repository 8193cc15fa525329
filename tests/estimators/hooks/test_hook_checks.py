"""Hooks that would never be called, twice, or fail late, are refused before training."""

from __future__ import annotations

import numpy as np
import pytest
from hook_testing import BATCH, schedule
from tiny_agents import make_agent

from polyrl.estimators.hooks import Hook


def hook(**methods) -> Hook:
    return type("Mine", (Hook,), methods)()


def train(*hooks):
    return make_agent().train(schedule(), first_update=BATCH, timesteps=8, hooks=list(hooks))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("after_updates", "after_update"),
        ("afterUpdate", "after_update"),
        ("Begin", "begin"),
        ("after_run", None),
        ("before_run", None),
        ("on_episode_end", None),
        ("_on_step", None),
    ],
)
def test_a_phase_that_does_not_exist_is_refused(name, meant):
    with pytest.raises(
        TypeError, match=f"hooks: Mine.{name} is never called; the phases are begin, after_pretraining"
    ) as error:
        train(hook(**{name: lambda self, run: None}))
    assert meant is None or f"Did you mean '{meant}'?" in str(error.value)


@pytest.mark.parametrize("name", ["begin", "after_update", "after_act", "end"])
def test_a_phase_with_other_arguments_is_refused(name):
    with pytest.raises(TypeError, match=f"hooks: Mine.{name} must take \\(self, run\\)"):
        train(hook(**{name: lambda self: None}))


def test_further_arguments_with_defaults_and_any_names_are_fine():
    seen = []
    train(hook(after_episode=lambda self, context, ended, more=1: seen.append(ended.length), begin=lambda *arguments: None))
    assert seen


@pytest.mark.parametrize(("has", "lacks"), [("get_state", "set_state"), ("set_state", "get_state")])
def test_half_of_a_state_is_refused(has, lacks):
    with pytest.raises(TypeError, match=f"Mine defines {has} without {lacks}: a resumed run would lose its state"):
        train(hook(**{has: lambda self, *arguments: {}}))


@pytest.mark.default_cases(4)
@pytest.mark.parametrize(
    "state", [None, {"best": np.float32(1.0)}, {"seen": np.zeros(3)}, {1: "a"}, [1, 2], {"a": {1, 2}}, {"a": {1: 2}}]
)
def test_a_state_that_cannot_be_saved_is_refused_before_the_first_step(state):
    steps = []
    mine = hook(
        get_state=lambda self: state,
        set_state=lambda self, state: None,
        after_act=lambda self, run: steps.append(run.timestep),
    )
    with pytest.raises(TypeError, match=r"Mine.get_state returned .*; expected a dict of plain JSON values"):
        train(mine)
    assert not steps


def test_a_hook_that_occurs_twice_is_refused():
    one = hook(after_act=lambda self, run: None)
    train(one, hook(after_act=lambda self, run: None))
    with pytest.raises(ValueError, match="hooks: a hook occurs twice, and would run twice"):
        train(one, one)


def test_a_state_that_cannot_even_be_shown_is_refused():
    for state in ({"a": 10**5_000}, nested(5_000)):
        mine = hook(get_state=lambda self, state=state: state, set_state=lambda self, state: None)
        with pytest.raises(TypeError, match=r"Mine.get_state returned .*; expected a dict of plain JSON values"):
            train(mine)


def nested(depth):
    state = {}
    for _ in range(depth):
        state = {"a": state}
    return state


def test_a_phase_of_the_instance_alone_is_refused():
    mine = hook()
    mine.after_update = lambda run: None
    with pytest.raises(TypeError, match=r"Mine.after_update is an attribute of the instance, and is never called"):
        train(mine)


async def waits(self, run):
    pass


def yields(self, run):
    yield


@pytest.mark.parametrize("method", [waits, yields])
def test_a_coroutine_or_a_generator_is_refused(method):
    with pytest.raises(TypeError, match=r"Mine.after_act must be a plain function"):
        train(hook(after_act=method))


@pytest.mark.parametrize("returned", [True, False, np.True_])
@pytest.mark.parametrize("phase", ["begin", "after_act", "after_update"])
def test_what_a_callback_of_another_library_returns_is_not_left_unread(phase, returned):
    """There False ends the run; here it went on."""
    with pytest.raises(TypeError, match=r"returned (True|False), but a hook returns nothing: run\.request_stop\(reason\)"):
        train(hook(**{phase: lambda self, run: returned}))


def test_other_names_are_the_hooks_own():
    train(hook(_end=lambda self: None, update=lambda self: None))
