"""A run that dies and is resumed is the run that was not interrupted, bit for bit."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from exact_testing import Case, assert_same, train

SLOW = pytest.mark.slow

# Each pair of the values of memory, n_step, num_envs, env and jit is in one of these; `auto` is XLA in the graph.
QUICK = [
    Case("naf", "uniform", 1, 4, "sync", "off"),
    Case("c51_double", "prioritized", 3, 1, "sync", "auto"),
    Case("dqn", "prioritized", 1, 4, "async", "off"),
    Case("naf", "uniform", 3, 1, "async", "auto"),
    Case("c51", "uniform", 1, 1, "compiled", "off"),
    Case("ddqn", "prioritized", 3, 4, "compiled", "auto"),
    Case("dqn", "prioritized", 3, 4, "gymnasium", "off"),
    Case("ddqn", "uniform", 1, 1, "gymnasium", "auto"),
]

QUICKEST = QUICK[:3] + QUICK[4:5] + QUICK[7:]
"""Those in the default run have each value, if not each pair."""

MODELS = ("dqn", "ddqn", "c51", "c51_double", "naf")
EVERY = [
    Case(*values)
    for values in itertools.product(
        MODELS, ("uniform", "prioritized"), (1, 3), (1, 4), ("sync", "async", "compiled"), ("off", "on")
    )
] + [Case(*values, "compiled", "auto") for values in itertools.product(MODELS, ("uniform", "prioritized"), (1, 3), (1, 4))]
OTHERS = [
    *(
        Case("dqn", memory, n_step, 2, env, "off")
        for memory, n_step in (("uniform", 1), ("prioritized", 3))
        for env in ("gymnasium", "ale", "envpool")
    ),
    *(
        Case(model, memory, n_step, num_envs, "gymnasium", "auto")
        for model in MODELS[:-1]
        for memory, n_step, num_envs in itertools.product(("uniform", "prioritized"), (1, 3), (1, 4))
    ),
    Case(overlap=True),
    Case("dqn", "prioritized", 3, 4, overlap=True),
    *(
        Case(model, "prioritized", n_step, num_envs, env, jit)
        for model in ("dqn", "c51")
        for n_step in (1, 3)
        for num_envs in (1, 4)
        for env in ("whole", "whole-async")
        for jit in ("off", "on")
    ),
]


def test_quick_cases_cover_each_pair_of_values():
    values = {
        "memory": ("uniform", "prioritized"),
        "n_step": (1, 3),
        "num_envs": (1, 4),
        "env": ("sync", "async", "compiled", "gymnasium"),
        "jit": ("off", "auto"),
    }
    for (first, ones), (second, others) in itertools.combinations(values.items(), 2):
        found = {(getattr(case, first), getattr(case, second)) for case in QUICK}
        assert found >= {*itertools.product(ones, others)}
    assert {case.model for case in QUICK} == {case.model for case in QUICKEST} == {*MODELS}
    for name, each in values.items():
        assert {getattr(case, name) for case in QUICKEST} == {*each}


def test_the_script_for_slow_tests_runs_each_case_once():
    script = (Path(__file__).resolve().parents[2] / "scripts" / "slow.sh").read_text()
    parts = re.findall(r'run "\$exact" -k "(.+)"', script)
    for name in map(str, [*EVERY, *OTHERS, *STOPPED]):
        assert sum(_selects(part, name) for part in parts) == 1, name


def _selects(expression: str, name: str) -> bool:
    """Whether `pytest -k` would."""
    words = re.findall(r"\S+", expression)
    return eval(" ".join(word if word in ("and", "or", "not") else str(word in name) for word in words))


@pytest.mark.default_cases(3)
@pytest.mark.parametrize(
    "case",
    [
        *QUICKEST,
        *(pytest.param(case, marks=SLOW) for case in dict.fromkeys([*QUICK, *EVERY, *OTHERS]) if case not in QUICKEST),
    ],
    ids=str,
)
def test_a_run_that_died_is_resumed_as_the_run_that_did_not(tmp_path, case):
    timesteps, dies_at = (120, 70) if case in QUICK else (200, 110)
    whole = train(case, tmp_path / "whole", timesteps)
    died = train(case, tmp_path / "died", timesteps, dies_at=dies_at)
    assert died["counters"] != whole["counters"]
    resumed = train(case, tmp_path / "died", timesteps)
    assert len(whole["points"]) > 10
    assert_same(whole, resumed)


STOPPED = [
    Case("dqn", "prioritized", 3, 1),
    Case("ddqn", "prioritized", 3, 4, "whole"),
    Case("c51", "prioritized", 3, 4, "whole-async"),
    Case("dqn", "prioritized", 3, 4, "whole", overlap=True),
    Case("c51", "prioritized", 3, 1),
    Case("naf", "prioritized", 1, 4, jit="on"),
    Case("dqn", "prioritized", 3, 4, "async"),
    Case("ddqn", "prioritized", 3, 4, "compiled"),
    Case("dqn", "uniform", 3, 2, "gymnasium"),
    Case("dqn", "uniform", 3, 2, "ale"),
    Case("dqn", "uniform", 3, 2, "envpool"),
    Case("dqn", "prioritized", 3, 4, overlap=True),
]


QUICKLY_STOPPED = STOPPED[:1]


@pytest.mark.parametrize(
    "case", [case if case in QUICKLY_STOPPED else pytest.param(case, marks=SLOW) for case in STOPPED], ids=str
)
def test_a_run_that_was_stopped_anywhere_is_resumed_in_mid_episode(tmp_path, case):
    """Not only at the multiples of `save_checkpoints_timesteps`: 52 and 140 are between them.

    In the graph a budget that ends between the multiples of 1,000 steps divides a call: hooks are called once more, and a
    point of a mean loss is of fewer updates. A run that dies, or is stopped by a signal, does not end there.
    """
    whole = train(case, tmp_path / "whole", 200)
    for budget in (52, 200) if case in QUICKLY_STOPPED else (52, 140, 200):
        stopped = train(case, tmp_path / "stopped", budget)
    by_call = ("points", "hook Averages/0") if case.env == "compiled" else ()
    assert_same(*({name: value for name, value in held.items() if name not in by_call} for held in (whole, stopped)))


@SLOW
@pytest.mark.parametrize(
    "case",
    [
        Case("c51", "uniform", 3, 1, "sync", "auto"),
        Case("c51", "prioritized", 3, 1, "sync", "auto"),
        Case("naf", "prioritized", 3, 1, "sync", "off"),
        Case("dqn", "uniform", 1, 4, "sync", "off"),
    ],
    ids=str,
)
def test_also_over_thousands_of_steps(tmp_path, case):
    """From the 1,000th update on, `auto` learns with XLA; TensorFlow's own graphs may add up in another order now and then."""
    whole = train(case, tmp_path / "whole", 3_000, every=500)
    for dies_at in (1_600, 2_700):
        train(case, tmp_path / "died", 3_000, dies_at=dies_at, every=500)
    assert_same(whole, train(case, tmp_path / "died", 3_000, every=500))


@SLOW
@pytest.mark.parametrize("config", [{"exact_resume": False}, {"save_checkpoints_timesteps": None, "save_checkpoints_secs": 1}])
def test_environments_that_can_be_saved_start_no_episodes_of_their_own_accord(tmp_path, config):
    """Not even where others do: the run is the same whenever checkpoints are written."""
    case = Case("dqn", "prioritized", 3, 4, "whole")
    whole, other = train(case, tmp_path / "whole", 200), train(case, tmp_path / "other", 200, **config)
    assert_same(whole, other)


@pytest.mark.slow
def test_without_exact_resume_it_is_another_run(tmp_path):
    """That the comparison can fail."""
    whole = train(Case(), tmp_path / "whole", 200, exact_resume=False)
    train(Case(), tmp_path / "died", 200, dies_at=110, exact_resume=False)
    resumed = train(Case(), tmp_path / "died", 200, exact_resume=False)
    assert whole["counters"][:2] == resumed["counters"][:2]
    with pytest.raises(AssertionError, match="weights"):
        assert_same(whole, resumed)
