"""Times prioritized replay as the training loop uses it, and prints microseconds per step.

A step stores one transition, samples a batch, and gives that batch new priorities. Steps run in a while loop compiled by XLA,
with the memory carried through it as in a compiled training loop. What is timed is the marginal cost of a step: a call of the
loop with many steps less one with few, over the difference in steps. So the start of a call does not count, and everything
that grows with the steps does.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
from collections.abc import Callable
import statistics
import time

if __name__ == "__main__":  # --help is answered before TensorFlow is imported.
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()

from polyrl.engine import functional
from polyrl.engine.carried import CarriedState
from polyrl.replay import PrioritizedReplay
from settings import PRIORITIZED_BATCH, PRIORITIZED_SIZE
from stopwatch import report
import tensorflow as tf

FEW, MANY = 1_000, 21_000
REPEATS = 9
GROUP = 1_000  # transitions stored at once when the memory is filled

ROW = {
    "state": tf.TensorSpec([4]),
    "action": tf.TensorSpec([], tf.int32),
    "reward": tf.TensorSpec([]),
    "done": tf.TensorSpec([]),
    "next_state": tf.TensorSpec([4]),
}


def transitions(count: int, number: tf.Tensor) -> dict[str, tf.Tensor]:
    """Rows that differ with `number`."""
    return {name: tf.fill([count, *spec.shape], tf.cast(number % 97, spec.dtype)) for name, spec in ROW.items()}


def loop(step: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """A function that runs `step(number)` so many times and gives the sum of what it returns."""

    def run(count: tf.Tensor) -> list[tf.Tensor]:
        return functional.while_loop(
            lambda number, total: number < count,
            lambda number, total: (number + 1, total + step(number)),
            [tf.constant(0), tf.constant(0.0)],
        )

    return run


def main() -> None:
    """Fills the memory, measures and prints the result."""
    memory = PrioritizedReplay(PRIORITIZED_SIZE, PRIORITIZED_BATCH)
    memory.build(ROW)

    def fill(number: tf.Tensor) -> tf.Tensor:
        memory.add(transitions(GROUP, number))
        return tf.constant(0.0)

    def step(number: tf.Tensor) -> tf.Tensor:
        memory.add(transitions(1, number))
        batch = memory.sample(tf.stack([number, 1]), number)
        # Priorities that differ from row to row and from step to step.
        noise = tf.cast((batch["index"] * 7919 + number * 104_729) % 1_009, tf.float32)
        memory.update_priorities(batch["index"], noise / 1_009.0)
        # All columns are of use, or XLA would leave them out.
        return tf.add_n([tf.reduce_sum(tf.cast(column, tf.float32)) for column in batch.values()])

    state = CarriedState([memory], lambda: step(tf.constant(0)))
    count = tf.TensorSpec([], tf.int32)
    state.compile(loop(fill), [count])(tf.constant(PRIORITIZED_SIZE // GROUP))
    steps = state.compile(loop(step), [count])

    def seconds(number: int) -> float:
        started = time.perf_counter()
        steps(tf.constant(number))[1].numpy()
        return time.perf_counter() - started

    seconds(MANY)
    costs = [(seconds(MANY) - seconds(FEW)) / (MANY - FEW) for _ in range(REPEATS)]
    state.write_back()
    assert int(memory.stored().numpy()) == PRIORITIZED_SIZE
    report("polyrl", "tensorflow", value=statistics.median(costs) * 1e6, repeats=[round(cost * 1e6, 2) for cost in costs])


if __name__ == "__main__":
    main()
