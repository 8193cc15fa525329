"""Times cpprb's `PrioritizedReplayBuffer` from Python, and prints microseconds per step.

A step stores one transition, samples a batch, and gives that batch new priorities.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import statistics
import time

if __name__ == "__main__":  # --help is answered where cpprb is not installed, too.
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()

import cpprb
import numpy as np
from settings import PRIORITIZED_BATCH, PRIORITIZED_SIZE
from stopwatch import report

STEPS = 20_000
REPEATS = 9


def main() -> None:
    """Fills the buffer, measures and prints the result."""
    columns = {"obs": {"shape": 4}, "act": {"dtype": np.int32}, "rew": {}, "next_obs": {"shape": 4}, "done": {}}
    memory = cpprb.PrioritizedReplayBuffer(PRIORITIZED_SIZE, columns, alpha=0.6)
    rng = np.random.default_rng(0)
    rows = {"act": 1, "rew": 1.0, "done": 0.0}
    state = np.ones(4, np.float32)
    many = {name: np.full(PRIORITIZED_SIZE, value) for name, value in rows.items()}
    states = np.ones([PRIORITIZED_SIZE, 4], np.float32)
    memory.add(obs=states, next_obs=states, priorities=rng.random(PRIORITIZED_SIZE), **many)
    priorities = rng.random([1_024, PRIORITIZED_BATCH])

    def run() -> float:
        started = time.perf_counter()
        for number in range(STEPS):
            memory.add(obs=state, next_obs=state, **rows)
            batch = memory.sample(PRIORITIZED_BATCH, beta=0.4)
            memory.update_priorities(batch["indexes"], priorities[number % len(priorities)])
        return (time.perf_counter() - started) / STEPS

    run()
    costs = [run() for _ in range(REPEATS)]
    assert memory.get_stored_size() == PRIORITIZED_SIZE
    report("cpprb", "numpy", value=statistics.median(costs) * 1e6, repeats=[round(cost * 1e6, 2) for cost in costs])


if __name__ == "__main__":
    main()
