"""Times the parts of an update, each by itself in a loop that XLA compiled, beside what the core needs for them at least.

    taskset -c 0 .venv/bin/python scripts/benchmarks/parts.py --layers=4,120,84,2
    taskset -c 0 .venv/bin/python scripts/benchmarks/parts.py --layers=4,64,64,102 --atoms=51
    taskset -c 0 .venv/bin/python scripts/benchmarks/parts.py --layers=1024,128,3 --batch=32

A product's floor is the number of its operations at the rate at which this core multiplies matrices of 1,024 x 1,024. Times
are of the processor, in microseconds: the least, the median and the most of the turns, which all parts take one after another.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import itertools
import statistics
import time
from typing import NamedTuple


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = "numbers of each layer, from the state to the head's outputs (default: %(default)s)"
    parser.add_argument("--layers", default="4,64,64,2", help=sizes)
    parser.add_argument("--batch", type=int, default=64, help="transitions of an update (default: %(default)s)")
    atoms = "of a head with distributions: also softmax and projection (default: %(default)s, none)"
    parser.add_argument("--atoms", type=int, default=0, help=atoms)
    parser.add_argument("--turns", type=int, default=20, help="how often each part is timed (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    command_line()  # --help is answered before TensorFlow is imported.

import numpy as np
from polyrl.engine.projection import project_distribution
from rich.console import Console
from rich.table import Table
import tensorflow as tf

LARGE, ROUNDS = 1_024, 500

Body = Callable[[list[tf.Tensor]], tf.Tensor]


class Part(NamedTuple):
    """`body` gives one result of operands of these shapes; `operations` are those of a product, 0: it is none."""

    what: str
    body: Body
    shapes: list[list[int]]
    operations: float = 0.0


def seconds_each(part: Part, rounds: int) -> Callable[[], float]:
    """Times rounds of a loop. The first operand of each has a number of the last result, so that none can be left out."""
    rng = np.random.default_rng(1)
    operands = [tf.constant(rng.uniform(0.0, 1.0, shape), tf.float32) for shape in part.shapes]

    def loop(*given: tf.Tensor) -> tf.Tensor:
        first, *others = given
        corner = [[0] * len(first.shape)]

        def round_(n: tf.Tensor, changed: tf.Tensor, last: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            changed = tf.tensor_scatter_nd_update(changed, corner, [1e-3 * tf.reshape(last, [-1])[0]])
            return n + 1, changed, part.body([changed, *others])

        start = (tf.constant(0), first, part.body(list(given)))
        return tf.while_loop(lambda n, *_: n < rounds, round_, start)[2]

    call = tf.function(loop, jit_compile=True, autograph=False).get_concrete_function(*operands)
    call(*operands)

    def run() -> float:
        started = time.process_time()
        np.asarray(call(*operands))
        return (time.process_time() - started) / rounds

    return run


def product(what: str, rows: int, inner: int, columns: int, transposes: str = "") -> Part:
    """A product of a `rows` x `inner` matrix with an `inner` x `columns` one; `transposes`: which of `'ab'` lie transposed."""
    first, second = "a" in transposes, "b" in transposes
    shapes = [[inner, rows] if first else [rows, inner], [columns, inner] if second else [inner, columns]]
    name = f"{what}, {rows:,} x {inner:,} by {inner:,} x {columns:,}"
    return Part(name, lambda x: tf.matmul(x[0], x[1], first, second), shapes, 2.0 * rows * inner * columns)


def parts(layers: list[int], batch: int, atoms: int) -> list[Part]:
    """Of one update of the online network; a target network has the forward products once more."""
    found = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(layers), 1):
        found.append(product(f"layer {number}", batch, inputs, outputs))
        found.append(product(f"gradient of layer {number}'s weights", inputs, batch, outputs, "a"))
        if number > 1:
            found.append(product(f"gradient of layer {number}'s inputs", batch, outputs, inputs, "b"))
    if atoms > 0:
        shape = [batch, atoms]
        support = tf.linspace(-10.0, 10.0, atoms)
        found.append(Part(f"softmax of {batch} x {atoms}", lambda x: tf.nn.softmax(x[0]), [shape]))
        found.append(
            Part(f"projection of {batch} x {atoms}", lambda x: project_distribution(x[0], x[1], support), [shape] * 2)
        )
    return found


def main() -> None:
    """Prints the table."""
    arguments = command_line()
    layers = [int(size) for size in arguments.layers.split(",")]
    large = seconds_each(product("large", LARGE, LARGE, LARGE), 3)
    timed = [(part, seconds_each(part, ROUNDS)) for part in parts(layers, arguments.batch, arguments.atoms)]
    times: list[list[float]] = [[] for _ in timed]
    largest = [large() for _ in range(3)]
    for _ in range(arguments.turns):
        for taken, (_, run) in zip(times, timed, strict=True):
            taken.append(1e6 * run())
        largest.append(large())
    rate = 2.0 * LARGE**3 / min(largest)
    table = Table("part", "least", "median", "most", "floor", title=f"{rate / 1e9:.0f} billion operations a second")
    for taken, (part, _) in zip(times, timed, strict=True):
        floor = f"{1e6 * part.operations / rate:.1f}" if part.operations else ""
        figures = [f"{each:.1f}" for each in (min(taken), statistics.median(taken), max(taken))]
        table.add_row(part.what, *figures, floor)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
