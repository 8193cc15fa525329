"""What a run with many actors would do, from the costs of its stages: a simulation of its events.

    python scripts/benchmarks/stages.py minatar_breakout_dqn --write costs.json
    python scripts/simulate_actors.py costs.json --actors 1 2 4 8 --cores 2
    python scripts/simulate_actors.py costs.json --actors 1000 --shards 16 --learners 8 --cores 16 --machines 64

Each process is on a machine, whose cores it shares evenly with the others that have work there; the more work, the longer
the same work takes (`--contention`). Actors make blocks as long as they may be ahead, shards store blocks and make
chunks of batches, one after another, and the learner counts blocks, does the updates due, and publishes weights: as
`polyrl/distributed/exchange.py` and `actor_loop.py` do it. Several learners divide each batch, and add up their gradients, as
`--strategy=multi_worker` does.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import collections
from collections.abc import Callable
import dataclasses
import functools
import itertools
import json
from pathlib import Path
from typing import Any

from events import Clock, Machine, Process


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is simulated: so many processes on so many machines, and a network with so many seconds and bytes a second.

    `contention`: how many times as long the same work takes while all cores of a machine work.
    """

    actors: int
    shards: int
    learners: int
    machines: int
    cores: int
    latency: float
    bandwidth: float
    contention: float = 1.0


@dataclasses.dataclass
class Outcome:
    """Environment steps and updates a second, and which share of the time each kind of process worked."""

    steps: float
    updates: float
    busy: dict[str, float]
    bytes_per_second: float


class Run:
    """A run of a plan with the costs of `scripts/benchmarks/stages.py`."""

    def __init__(self, costs: dict[str, Any], plan: Plan):
        self._costs, self._plan = costs, plan
        self.clock = Clock()
        machines = [Machine(self.clock, plan.cores, plan.contention) for _ in range(plan.machines)]
        place = itertools.cycle(machines)
        self.learner = Process(next(place))
        self.shards = [Process(next(place)) for _ in range(plan.shards)]
        self.actors = [Process(next(place)) for _ in range(plan.actors)]
        self._ray = {machine: Process(machine) for machine in machines}
        self._reports: collections.deque[int] = collections.deque()
        self._chunks = self._asked = 0
        self._left = 0
        self._behind = 0.0
        self._learns = False
        self._stored = False
        self._turn = itertools.cycle(range(plan.shards))
        self.steps = self.updates = self._published = 0
        self.bytes = 0.0

    def cost(self, stage: str) -> float:
        """Seconds of a stage."""
        return 1e-6 * self._costs["microseconds"].get(stage, [0.0])[0]

    def send(self, size: float, then: Callable[[], None]) -> None:
        """Something arrives elsewhere."""
        self.bytes += size
        self.clock.after(self._plan.latency + self.cost("answer") / 2 + size / self._plan.bandwidth, then)

    def call(self, process: Process, stage: str, seconds: float, then: Callable[[], None]) -> None:
        """A process is called, does its work, and answers; so has Ray on its machine."""
        self._ray[process.machine].do(self.cost("ray" + stage))
        process.do(seconds + self.cost("called" + stage), then)

    def begin(self) -> None:
        """All actors make their first blocks."""
        for index in range(self._plan.actors):
            for _ in range(self._costs["ahead"]):
                self._make_block(index)

    def _make_block(self, index: int) -> None:
        block = self._costs["block_steps"]

        def made() -> None:
            self.send(block * self._costs["bytes_per_step"], lambda: self._insert(index))
            self.send(1_000.0, lambda: self._report(index))

        self.call(self.actors[index], "", block * self.cost("act"), made)

    def _insert(self, index: int) -> None:
        def inserted() -> None:
            self._stored = True
            self._learn()

        self.call(self.shards[index % self._plan.shards], "", self._costs["block_steps"] * self.cost("insert"), inserted)

    def _report(self, index: int) -> None:
        self._reports.append(index)
        self._learn()

    def _learn(self) -> None:
        """The learner's next step, if it has none to do: to count blocks, or to update."""
        if self._learns:
            return
        chunk, work = self._costs["chunk"], 0.0
        while self._stored and self._chunks + bool(self._left) + self._asked < self._costs["ahead"]:
            self._ask()
            work += self.cost("fetch")
        while self._reports and self._behind < (self._left or chunk):
            index = self._reports.popleft()
            self.steps += self._costs["block_steps"]
            self._behind += self._costs["block_steps"] * self._costs["updates_per_step"]
            work += 2 * self.cost("message")  # The report, and that the shard has the block.
            self.clock.after(work, functools.partial(self._make_block, index))
        updates = 0
        if self._behind >= 1.0 and (self._left or self._chunks):
            if not self._left:
                self._chunks, self._left = self._chunks - 1, chunk
                work += chunk * self.cost("decode")
            updates = min(int(self._behind), self._left)
            share = self.cost("update") / self._plan.learners + self.cost("rest")
            if self._plan.learners > 1:  # Each sends and receives about twice the gradient.
                share += 2.0 * self._plan.latency + 2.0 * self._costs["bytes_of_weights"] / self._plan.bandwidth
            work += updates * share
        if not work:
            return
        self._learns = True
        self.learner.do(work, lambda: self._learned(updates))

    def _learned(self, updates: int) -> None:
        self._learns = False
        self._behind -= updates
        self._left -= updates
        self.updates += updates
        if updates and not self._left and "priorities" in self._costs["microseconds"]:
            shard = self.shards[next(self._turn)]
            self.call(shard, "", self._costs["chunk"] * self.cost("priorities"), lambda: None)
        if self.updates - self._published >= self._costs["publish_every"]:
            self._published = self.updates
            self._learns = True
            self.learner.do(self.cost("publish") + self._plan.actors * self.cost("message") / 2, self._sent)
        else:
            self._learn()

    def _sent(self) -> None:
        for actor in self.actors:
            size = self._costs["bytes_of_weights"]
            self.send(size, functools.partial(self.call, actor, "", self.cost("take_weights"), lambda: None))
        self._learns = False
        self._learn()

    def _ask(self) -> None:
        self._asked += 1
        chunk = self._costs["chunk"]

        def made() -> None:
            self.send(chunk * self._costs["bytes_per_batch"], came)

        def came() -> None:
            self._asked, self._chunks = self._asked - 1, self._chunks + 1
            self._learn()

        self.call(self.shards[next(self._turn)], "_fetch", chunk * self.cost("sample"), made)


def simulate(costs: dict[str, Any], plan: Plan, seconds: float) -> Outcome:
    """What a plan comes to, between a fifth of the time and its end."""
    run = Run(costs, plan)
    run.begin()
    run.clock.run(seconds / 5)
    begin = run.steps, run.updates, run.bytes
    busy = {"learner": run.learner.busy, "shard": run.shards[0].busy, "actor": run.actors[0].busy}
    run.clock.run(seconds)
    passed = 0.8 * seconds
    after = {"learner": run.learner.busy, "shard": run.shards[0].busy, "actor": run.actors[0].busy}
    shares = {name: (after[name] - busy[name]) / passed for name in busy}
    steps, updates, sent = (now - then for now, then in zip((run.steps, run.updates, run.bytes), begin, strict=True))
    return Outcome(steps / passed, updates / passed, shares, sent / passed)


def main() -> None:
    """Prints a line for each number of actors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("costs", type=Path, help="file that scripts/benchmarks/stages.py --write wrote")
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2, 4, 8], help="how many (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=1, help="of the memory (default: %(default)s)")
    parser.add_argument("--learners", type=int, default=1, help="which divide each batch (default: %(default)s)")
    parser.add_argument("--machines", type=int, default=1, help="how many (default: %(default)s)")
    parser.add_argument("--cores", type=int, default=2, help="of each machine (default: %(default)s)")
    parser.add_argument("--latency", type=float, default=1e-4, help="seconds on the way (default: %(default)s)")
    parser.add_argument("--bandwidth", type=float, default=1.25e9, help="bytes a second (default: %(default)s)")
    parser.add_argument(
        "--contention", type=float, default=1.0, help="times as long work takes while all cores work (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="that are simulated (default: %(default)s)")
    parser.add_argument("--updates_per_step", type=float, help="other than measured (default: as measured)")
    parser.add_argument("--publish_every", type=int, help="updates, other than measured (default: as measured)")
    arguments = parser.parse_args()
    costs = json.loads(arguments.costs.read_text())
    for name in ("updates_per_step", "publish_every"):
        if getattr(arguments, name) is not None:
            costs[name] = getattr(arguments, name)
    print("| actors | steps/s | updates/s | learner works | a shard | an actor | MB/s |\n|---|---|---|---|---|---|---|")
    for actors in arguments.actors:
        plan = Plan(
            actors,
            min(arguments.shards, actors),
            arguments.learners,
            arguments.machines,
            arguments.cores,
            arguments.latency,
            arguments.bandwidth,
            arguments.contention,
        )
        found = simulate(costs, plan, arguments.seconds)
        shares = " | ".join(f"{100 * share:.0f} %" for share in found.busy.values())
        print(f"| {actors} | {found.steps:,.0f} | {found.updates:,.0f} | {shares} | {found.bytes_per_second / 1e6:.1f} |")


if __name__ == "__main__":
    main()
