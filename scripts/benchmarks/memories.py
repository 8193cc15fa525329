"""What each kind of replay memory takes and costs, in a table for docs/costs.md.

    python scripts/benchmarks/memories.py [--kinds uniform n_step prioritized] [--rounds 3] [--peers_python=.peers/bin/python]

A step adds one transition to a full memory, samples a batch, and gives it new priorities where there are any, in a loop that
XLA has compiled; with frames in one without XLA, as convolutions are trained. Each kind is measured in a process of its own,
in turn, on one core. *Held* are the bytes of the memory's variables, *needed* those of the columns that it must keep: each
state once and the one after it, or each frame once; actions, rewards, ends; of prioritized memories four bytes for each
priority. Beside it is cpprb, a memory for Python written in C++, called from Python as its users do.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
from collections.abc import Callable
import functools
import os
import statistics
import sys
import time
from typing import Any, NamedTuple

import measuring
from rich.console import Console
from rich.table import Table
from rows import PEERS, POLYRL, Worker

WIDTH = 130  # of the table where there is no terminal
FEW, MANY = 500, 3_000
REPEATS = 7
SMALL = 4 * (4 + 4 + 1 + 1 + 1)
"""Bytes of a transition: two states of four numbers, action, reward and termination."""
FRAME = 84 * 84 + 4 * (1 + 1 + 1)
"""Bytes of a step with a frame."""


class Kind(NamedTuple):
    """A kind of memory: its class, arguments, transitions, bytes that it must hold for each, and cpprb's counterpart."""

    memory: str
    arguments: dict[str, Any]
    size: int
    needed: int
    peer: tuple[str, ...] | None = None


MILLION = 1_000_000
FRAMES = {"batch_size": 32, "frame_stack": 4}
SEQUENCES = {"batch_size": 64, "sequence_length": 8, "stored_state": False}
KINDS = {
    "uniform": Kind("UniformReplay", {}, MILLION, SMALL),
    "n_step": Kind("UniformReplay", {"n_step": 3}, MILLION, SMALL + 4),
    "prioritized": Kind("PrioritizedReplay", {}, MILLION, SMALL + 4, ()),
    "prioritized_n_step": Kind("PrioritizedReplay", {"n_step": 3}, MILLION, SMALL + 8),
    "sequences": Kind("SequenceReplay", SEQUENCES, MILLION, SMALL + 4),
    "prioritized_sequences": Kind("PrioritizedSequenceReplay", {"batch_size": 64, "sequence_length": 8}, MILLION, SMALL + 8),
    "frames": Kind("UniformReplay", FRAMES, MILLION, FRAME),
    "frames_n_step": Kind("UniformReplay", {**FRAMES, "n_step": 3}, MILLION, FRAME),
    "prioritized_frames": Kind("PrioritizedReplay", FRAMES, MILLION, FRAME + 4, ("--frames",)),
}


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS], help="which memories (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--size", type=int, help="transitions that each keeps (default: a million)")
    parser.add_argument("--core", type=int, default=0, help="the core of all processes; -1: any (default: %(default)s)")
    parser.add_argument("--peers_python", help="the Python that has cpprb; without it cpprb is left out")
    parser.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_here(kind: Kind, size: int) -> None:
    """Fills a memory of that kind, times it, and prints the result."""
    import numpy as np
    from polyrl.engine import functional
    from polyrl.engine.carried import CarriedState
    import polyrl.replay
    from stopwatch import report
    import tensorflow as tf

    framed = "frame_stack" in kind.arguments
    state = tf.TensorSpec([84, 84, 4], tf.uint8) if framed else tf.TensorSpec([4])
    scalars = {"reward": tf.TensorSpec([]), "done": tf.TensorSpec([]), "truncated": tf.TensorSpec([])}
    specs = {"state": state, "next_state": state, "action": tf.TensorSpec([], tf.int32), **scalars}
    memory = getattr(polyrl.replay, kind.memory)(size, **kind.arguments)
    if not memory.SEQUENCES and memory.n_step == 1 and not framed:
        del specs["truncated"]
    memory.build(specs)

    def add(number: tf.Tensor) -> None:
        """A transition that differs with `number`, in the midst of an episode."""
        rows = {name: tf.fill([1, *spec.shape], tf.cast(number % 97, spec.dtype)) for name, spec in specs.items()}
        memory.add(rows | {name: tf.zeros([1]) for name in ("done", "truncated") if name in specs})

    def step(number: tf.Tensor) -> tf.Tensor:
        add(number)
        batch = memory.sample(tf.stack([number, 1]), tf.cast(number, tf.int64))
        if memory.PRIORITIZED:
            noise = tf.cast((batch["index"] * 7919 + tf.cast(number, batch["index"].dtype) * 104_729) % 1_009, tf.float32)
            memory.update_priorities(batch["index"], noise / 1_009.0)
        # All columns are of use, or XLA would leave them out. Of images a part: there TensorFlow leaves nothing out.
        parts = [value[:, ::21, ::21] if value.shape.rank == 4 else value for value in batch.values()]
        return tf.add_n([tf.reduce_sum(tf.cast(part, tf.float32)) for part in parts])

    def filling(number: tf.Tensor) -> tf.Tensor:
        add(number)
        return tf.constant(0.0)

    def loop(body: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], list[tf.Tensor]]:
        def run(count: tf.Tensor) -> list[tf.Tensor]:
            condition = lambda number, total: number < count  # noqa: E731
            change = lambda number, total: (number + 1, total + body(number))  # noqa: E731
            return functional.while_loop(condition, change, [tf.constant(0), tf.constant(0.0)])

        return run

    count = tf.TensorSpec([], tf.int32)
    compiled: Callable[[Any], Any]
    if framed:
        compiled = functools.partial(tf.function, input_signature=[count], autograph=False)
    else:
        carried = CarriedState([memory], lambda: step(tf.constant(0)))
        compiled = lambda function: carried.compile(function, [count])  # noqa: E731
    compiled(loop(filling))(tf.constant(size + 8))[1].numpy()
    steps = compiled(loop(step))

    def seconds(number: int) -> float:
        started = time.perf_counter()
        steps(tf.constant(number))[1].numpy()
        return time.perf_counter() - started

    seconds(MANY)
    costs = [(seconds(MANY) - seconds(FEW)) / (MANY - FEW) * 1e6 for _ in range(REPEATS)]
    if not framed:
        carried.write_back()
        assert int(memory.stored().numpy()) == size
    held = sum(int(np.prod(variable.shape)) * variable.dtype.size for variable in memory.variables) / size
    report("polyrl", "tensorflow", value=statistics.median(costs), held=held, repeats=[round(cost, 2) for cost in costs])


def main() -> int:
    """Measures, and tells as it goes; the exit status is 1 if a process failed."""
    given = command_line()
    if given.worker:
        measure_here(KINDS[given.worker], given.size or KINDS[given.worker].size)
        return 0
    console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    pythons = {POLYRL: sys.executable} | ({PEERS: os.path.abspath(given.peers_python)} if given.peers_python else {})
    processes = measuring.Processes(pythons, given.core)
    found: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {name: ([], []) for name in given.kinds}
    sized = [] if given.size is None else [f"--size={given.size}"]
    for _ in range(given.rounds):
        for name, results in found.items():
            peer = KINDS[name].peer
            turns = [Worker(name, POLYRL, "memories.py", (f"--worker={name}", *sized))]
            if peer is not None and PEERS in pythons:
                turns.append(Worker(f"cpprb, {name}", PEERS, "peers/cpprb_worker.py", (*peer, *sized)))
            for worker, measured in zip(turns, results, strict=False):
                try:
                    measured.append(processes(worker))
                except measuring.WorkerError as error:
                    console.print(f"{worker.title}: {error}", markup=False)
                    return 1
                console.print(f"{worker.title}: {measured[-1]['value']:.1f} us", markup=False)
    table = Table(title="microseconds of a step; bytes of a transition")
    for title in ("memory", "polyrl: median (min..max)", "cpprb: median (min..max)", "held", "needed", "held / needed"):
        table.add_column(title, justify="left" if title == "memory" else "right")
    for name, results in found.items():
        times = [[result["value"] for result in measured] for measured in results]
        cells = [f"{statistics.median(of):.1f} ({min(of):.1f}..{max(of):.1f})" if of else "" for of in times]
        held, needed = results[0][0]["held"], KINDS[name].needed
        table.add_row(name, *cells, f"{held:,.1f}", f"{needed:,}", f"{held / needed:.3f}")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
