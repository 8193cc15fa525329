"""Constructors of a user's own: what they hand on counts as if it were their own, in errors and in what a run notes."""

from __future__ import annotations

import inspect

import pytest

from polyrl.models import CategoricalDQNModel, DQNModel, IQNModel, MunchausenIQNModel
from polyrl.networks import mlp


class Rest(CategoricalDQNModel):
    """Names its own argument, and hands on all others."""

    def __init__(self, *args, extra=1.0, **arguments):
        super().__init__(*args, **arguments)
        self.extra = extra


class Named(DQNModel):
    """Takes what it hands on by name only."""

    def __init__(self, mode, graph_fn, extra=1.0, **arguments):
        super().__init__(mode, graph_fn, **arguments)
        self.extra = extra


class Before(DQNModel):
    """Has an argument of its own in front."""

    def __init__(self, extra, *args, **arguments):
        super().__init__(*args, **arguments)
        self.extra = extra


class Fixed(Rest):
    """Decides an argument of its parent, and hands on the others."""

    def __init__(self, *args, **arguments):
        super().__init__(*args, extra=3.0, **arguments)


def rest(*args, **arguments):
    return Rest("train", mlp([4]), 4, 2, *args, **arguments)


def named(**arguments):
    return Named("train", mlp([4]), num_states=4, num_actions=2, **arguments)


class Given(DQNModel):
    """Gives its parent what that requires."""

    def __init__(self, mode, extra=1.0, **arguments):
        super().__init__(mode, mlp([4]), 4, 2, **arguments)
        self.extra = extra


MAKE = {
    "given": lambda **arguments: Given("train", **arguments),
    "rest": rest,
    "named": named,
    "before": lambda **arguments: Before(1.0, "train", mlp([4]), 4, 2, **arguments),
    "fixed": lambda **arguments: Fixed("train", mlp([4]), 4, 2, **arguments),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_what_a_run_notes_has_all_arguments_with_their_defaults(make):
    noted, other = make().described(), make(target_update_frequency=50, discount=0.5).described()
    assert noted["extra"] in (1.0, 3.0)
    assert (noted["discount"], noted["target_update_frequency"]) == (0.97, 5)
    assert (other["discount"], other["target_update_frequency"]) == (0.5, 50)


def test_arguments_by_position_are_noted_by_their_names():
    assert rest(None, None, None, 0.5).described()["discount"] == 0.5
    assert rest(extra=7.0, num_atoms=5).described()["num_atoms"] == 5


@pytest.mark.parametrize("make", [rest, named])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [("extr", "Did you mean 'extra'"), ("discont", "Did you mean 'discount'"), ("gamma", "Use discount")],
)
def test_an_argument_that_does_not_exist_is_refused_with_the_nearest(make, wrong, message):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{wrong}'.*{message}"):
        make(**{wrong: 1.0})


def test_the_signature_says_what_the_constructor_takes():
    parameters = inspect.signature(Rest).parameters
    assert {"mode", "graph_fn", "discount", "extra", "num_atoms", "burn_in"} <= set(parameters)
    assert inspect.signature(Named).parameters["discount"].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(inspect.signature(Before).parameters)[:3] == ["extra", "mode", "graph_fn"]
    both = set(inspect.signature(MunchausenIQNModel).parameters)
    assert set(inspect.signature(IQNModel).parameters) | {"munchausen_scale"} <= both


def test_a_constructor_that_takes_no_further_ones_has_its_own_alone():
    class Small(DQNModel):
        def __init__(self, mode):
            super().__init__(mode, mlp([4]), 4, 2)

    assert list(inspect.signature(Small).parameters) == ["mode"]
    with pytest.raises(TypeError, match="unexpected keyword argument 'discount'"):
        Small("train", discount=0.5)
    assert set(Small("train").described()) == {"class"}
