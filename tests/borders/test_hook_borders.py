"""Hooks: each phase that is defined is called, each state comes back as it was; all else is refused by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from borders_testing import ANYTHING, FLOATS, INTS, attempt, drive, nests, quick, slow
from hypothesis import strategies as st

from polyrl.estimators.hooks import Hook, checked_hooks
from polyrl.estimators.hooks.base import PHASES, hook_states


def hooks_are_hooks_or_refused(case: Any) -> None:
    taken, found = attempt(lambda: checked_hooks("hooks", case), "hooks")
    if taken:
        assert all(isinstance(hook, Hook) for hook in found)
        assert len(found) == len(case or ())


def a_method_is_called_or_refused(case: Any) -> None:
    """A public method whose name reads as a phase is one, and takes what a phase is given."""
    name, key = case
    method, taking = METHODS[key]
    kind = type("Mine", (Hook,), {name: method})
    taken, _ = attempt(lambda: checked_hooks("hooks", [kind()]), f"Mine.{name}")
    if name in PHASES:
        assert taken == (taking is not None and (3 if name in LONGER else 2) in taking)
    else:
        meant = name.replace("_", "").lower() in {phase.replace("_", "") for phase in PHASES}
        assert not taken or name.startswith("_") or not (meant or name.startswith(("after_", "before_", "on_")))


async def waiting(self: Any, run: Any) -> None:
    pass


def yielding(self: Any, run: Any) -> Any:
    yield


LONGER = ("after_episode", "after_summaries", "after_checkpoint")
METHODS = {
    "one": (lambda self: None, {1}),
    "two": (lambda self, run: None, {2}),
    "three": (lambda self, run, more: None, {3}),
    "two or three": (lambda self, run, more=None: None, {2, 3}),
    "any": (lambda *arguments: None, {2, 3}),
    "static": (staticmethod(lambda run: None), set()),
    "waiting": (waiting, None),
    "yielding": (yielding, None),
    "number": (3, None),
    "nothing": (None, None),
}
"""Methods by name, and how many arguments they may be given, `self` included."""


def a_state_comes_back_or_is_refused(case: Any) -> None:
    kind = type("Mine", (Hook,), {"get_state": lambda self: case, "set_state": lambda self, state: None})
    taken, states = attempt(lambda: hook_states([("Mine/0", kind())]), "Mine.get_state")
    if taken:
        assert same(json.loads(json.dumps(states))["Mine/0"], case)


def same(found: Any, given: Any) -> bool:
    """Whether they are equal, but for NaN, and for lists that were tuples."""
    if isinstance(given, dict):
        return isinstance(found, dict) and found.keys() == given.keys() and all(same(found[key], given[key]) for key in given)
    if isinstance(given, (list, tuple)):
        return len(found) == len(given) and all(map(same, found, given))
    return bool(found == given or (found != found and given != given))


def respelt(name: str) -> st.SearchStrategy:
    camel = "".join(word.capitalize() for word in name.split("_"))
    return st.sampled_from([name, name, camel, camel[0].lower() + camel[1:], name.upper(), f"{name}s", f"_{name}"])


NAMES = st.one_of(st.sampled_from(PHASES).flatmap(respelt), st.sampled_from(["on_end", "before_run", "update", "note"]))
KEYS = st.one_of(st.text(max_size=2), st.text(max_size=2), st.integers(0, 2), st.none(), st.booleans())
JSON = nests(st.one_of(st.none(), st.booleans(), FLOATS, INTS, st.text(max_size=3)), KEYS)
LISTS = st.lists(st.one_of(st.builds(Hook), st.just(Hook), st.just(Hook()), ANYTHING), max_size=3)
PROPERTIES = {
    "hooks": (hooks_are_hooks_or_refused, st.one_of(LISTS, LISTS.map(tuple), ANYTHING, st.builds(Hook))),
    "methods": (a_method_is_called_or_refused, st.tuples(NAMES, st.sampled_from(list(METHODS)))),
    "states": (a_state_comes_back_or_is_refused, st.one_of(st.dictionaries(KEYS, JSON, max_size=3), ANYTHING)),
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_hooks_are_called_and_resumed_or_refused(name):
    quick(*PROPERTIES[name], examples=200)


@slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_hooks_are_called_and_resumed_or_refused_for_long(name):
    drive(*PROPERTIES[name], seconds=15)
