"""`scripts/simulate_actors.py` against what can be computed by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture(scope="module")
def script() -> Any:
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield loaded("simulate_actors")
    finally:
        sys.path.remove(str(SCRIPTS))


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_of_the_test", SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def costs(**microseconds: float) -> dict[str, Any]:
    """Stages that cost nothing but for these."""
    return {
        "block_steps": 100,
        "chunk": 10,
        "publish_every": 100,
        "updates_per_step": 1.0,
        "ahead": 2,
        "bytes_per_step": 50.0,
        "bytes_per_batch": 1_000.0,
        "bytes_of_weights": 1e6,
        "microseconds": {name: [value, value, value] for name, value in microseconds.items()},
    }


def rate(script: Any, given: dict[str, Any], actors: int, cores: int = 64, seconds: float = 20.0, **plan: Any) -> float:
    default = {"shards": 1, "learners": 1, "machines": 1, "latency": 0.0, "bandwidth": 1e15}
    return script.simulate(given, script.Plan(actors=actors, cores=cores, **{**default, **plan}), seconds).steps


def test_processes_share_the_cores(script) -> None:
    for cores, ends in ((1, [1.5, 2.5, 3.0]), (2, [0.75, 1.5, 2.0]), (3, [0.5, 1.0, 1.5])):
        # Jobs of 0.5, 1 and 1.5 seconds that begin together.
        clock = script.Clock()
        machine, found = script.Machine(clock, cores), []

        def end(found: list[float] = found, clock: Any = clock) -> None:
            found.append(clock.now)

        for seconds in (1.0, 0.5, 1.5):
            machine.work(seconds, end)
        clock.run(10.0)
        wanted = shared([0.5, 1.0, 1.5], cores)
        assert found == pytest.approx(wanted)
        if cores != 2:
            assert wanted == pytest.approx(ends)


@pytest.mark.parametrize("cores", [1, 2, 3, 4])
def test_work_takes_longer_the_more_cores_work(script, cores: int) -> None:
    clock = script.Clock()
    machine, found = script.Machine(clock, cores, contention=1.25), []
    for seconds in (1.0, 0.5, 1.5):
        machine.work(seconds, lambda: found.append(clock.now))
    clock.run(10.0)
    assert found == pytest.approx(shared([0.5, 1.0, 1.5], cores, 1.25), abs=1e-3)


def shared(seconds: list[float], cores: int, contention: float = 1.0) -> list[float]:
    """When jobs end that share cores, by small steps of time; sorted."""
    left, ends, now, step = list(seconds), [], 0.0, 1e-5
    while left:
        working = min(len(left), cores)
        longer = 1.0 if cores == 1 else 1.0 + (contention - 1.0) * (working - 1) / (cores - 1)
        now += step
        left = [each - step * working / len(left) / longer for each in left]
        ends += [now] * sum(each <= 1e-9 for each in left)
        left = [each for each in left if each > 1e-9]
    return [round(end, 3) for end in ends]


def test_contention_is_that_of_the_plan(script) -> None:
    """An actor and a learner on two cores, both of which work: 100 microseconds for a step become 125."""
    given = {**costs(act=100.0, update=100.0), "ahead": 4, "chunk": 100}
    assert rate(script, given, 1, cores=2) == pytest.approx(10_000, rel=0.02)
    assert rate(script, given, 1, cores=2, contention=1.25) == pytest.approx(8_000, rel=0.02)
    assert rate(script, given, 1, cores=1, contention=1.25) == rate(script, given, 1, cores=1)


def test_calls_take_the_time_of_who_is_called_and_of_ray(script) -> None:
    """A block of 100 steps is a call of its actor; a chunk of ten batches one of its shard; Ray shares the cores."""
    given = {**costs(act=100.0, called=10_000.0), "updates_per_step": 0.0}
    assert rate(script, given, 1) == pytest.approx(5_000, rel=0.02)
    # Of an actor, and of its shard: a block costs 20 milliseconds of the actor, 10 of the shard, and 10 of Ray.
    one = {**costs(act=100.0, called=10_000.0, ray=5_000.0), "updates_per_step": 0.0}
    assert rate(script, one, 1, cores=1, seconds=40.0) == pytest.approx(100 / 0.04, rel=0.05)
    sampling = costs(act=1.0, update=100.0, called_fetch=5_000.0)
    assert rate(script, sampling, 1) == pytest.approx(10 / 0.005, rel=0.05)


def test_actors_alone_are_as_fast_as_they_act(script) -> None:
    given = {**costs(act=100.0), "updates_per_step": 0.0}
    assert rate(script, given, 1) == pytest.approx(10_000, rel=0.02)
    assert rate(script, given, 8) == pytest.approx(80_000, rel=0.02)
    assert rate(script, given, 8, cores=2) == pytest.approx(20_000, rel=0.02)


def test_a_learner_that_is_slower_says_how_fast_the_run_is(script) -> None:
    """However many actors there are: they wait."""
    for actors in (1, 10):
        assert rate(script, costs(act=10.0, update=500.0), actors) == pytest.approx(2_000, rel=0.05)
    given = {**costs(act=10.0, update=500.0), "updates_per_step": 0.25}
    assert rate(script, given, 4) == pytest.approx(8_000, rel=0.05)


def test_what_the_learner_does_besides_takes_its_time(script) -> None:
    """Hooks and counters for each update, a chunk for ten updates, and for 100 two messages and half a one to each actor."""
    assert rate(script, costs(act=1.0, update=500.0, rest=300.0), 2) == pytest.approx(1_250, rel=0.05)
    assert rate(script, costs(act=1.0, update=500.0, fetch=3_000.0), 2) == pytest.approx(1_250, rel=0.05)
    messages = costs(act=1.0, update=500.0, message=15_000.0)
    assert rate(script, messages, 2) == pytest.approx(100 / (0.05 + 0.03 + 0.015), rel=0.05)


def test_an_answer_takes_half_its_time_on_the_way(script) -> None:
    """With two blocks ahead an actor does not wait, unless the way is longer than it needs for a block."""
    given = {**costs(act=100.0, answer=1_000.0), "updates_per_step": 0.0}
    assert rate(script, given, 1) == pytest.approx(10_000, rel=0.02)
    # Two blocks of 10 milliseconds for each 50 on the way and 10 of making.
    slow = {**costs(act=100.0, answer=100_000.0), "updates_per_step": 0.0}
    assert rate(script, slow, 1) == pytest.approx(200 / 0.06, rel=0.05)


def test_a_shard_that_is_slower_says_so_too(script) -> None:
    given = costs(act=1.0, insert=200.0, sample=300.0, update=1.0)
    assert rate(script, given, 4) == pytest.approx(2_000, rel=0.05)
    # Not twice as fast: a chunk waits behind the blocks of its shard while the other shard has nothing to do.
    assert 2_600 < rate(script, given, 4, shards=2) < 4_000


def test_learners_divide_the_batch(script) -> None:
    given = costs(act=1.0, update=800.0)
    assert rate(script, given, 8, learners=8) == pytest.approx(10_000, rel=0.05)
    # A gradient of a megabyte goes forth and back in 2 milliseconds.
    slower = rate(script, given, 8, learners=8, bandwidth=1e9)
    assert slower == pytest.approx(1e6 / (100.0 + 2_000.0), rel=0.05)


def test_what_is_sent_is_counted(script) -> None:
    given = {**costs(act=100.0), "updates_per_step": 0.0}
    plan = script.Plan(actors=1, shards=1, learners=1, machines=1, cores=4, latency=0.0, bandwidth=1e15)
    found = script.simulate(given, plan, 20.0)
    assert found.bytes_per_second == pytest.approx(10_000 * 50.0 + 100 * 1_000.0, rel=0.02)
    assert found.busy["actor"] == pytest.approx(1.0, abs=0.02)
