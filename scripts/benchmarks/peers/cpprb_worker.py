"""Times cpprb's `PrioritizedReplayBuffer` from Python, and prints microseconds per step.

A step stores one transition, samples a batch, and gives that batch new priorities.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import statistics
import time


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, help="transitions that the buffer keeps (default: a million)")
    parser.add_argument("--frames", action="store_true", help="states of four frames, each stored once, and batches of 32")
    return parser.parse_args()


if __name__ == "__main__":
    command_line()  # --help is answered where cpprb is not installed, too.

from typing import Any

import cpprb
import numpy as np
from settings import PRIORITIZED_BATCH, PRIORITIZED_SIZE
from stopwatch import report

STEPS, FRAME_STEPS = 20_000, 2_000
REPEATS = 9
GROUP = 1_000


def main() -> None:
    """Fills the buffer, measures and prints the result."""
    given = command_line()
    size, batch_size, steps = given.size or PRIORITIZED_SIZE, PRIORITIZED_BATCH, STEPS
    state: Any = np.ones(4, np.float32)
    image: dict[str, Any] = {"shape": 4}
    compressed: dict[str, Any] = {}
    if given.frames:
        state, batch_size, steps = np.ones([84, 84, 4], np.uint8), 32, FRAME_STEPS
        image = {"shape": state.shape, "dtype": np.uint8}
        compressed = {"next_of": "obs", "stack_compress": "obs"}
    columns = {"obs": image, "act": {"dtype": np.int32}, "rew": {}, "done": {}}
    if not compressed:
        columns["next_obs"] = image
    memory = cpprb.PrioritizedReplayBuffer(size, columns, alpha=0.6, **compressed)
    rng = np.random.default_rng(0)
    rows = {"act": 1, "rew": 1.0, "done": 0.0}
    states = np.ones([GROUP, *state.shape], state.dtype)
    many = {name: np.full(GROUP, value) for name, value in rows.items()}
    for _ in range(-(-size // GROUP) + 1):
        memory.add(obs=states, next_obs=states, priorities=rng.random(GROUP), **many)
    priorities = rng.random([1_024, batch_size])

    def run() -> float:
        started = time.perf_counter()
        for number in range(steps):
            memory.add(obs=state, next_obs=state, **rows)
            batch = memory.sample(batch_size, beta=0.4)
            memory.update_priorities(batch["indexes"], priorities[number % len(priorities)])
        return (time.perf_counter() - started) / steps

    run()
    costs = [run() for _ in range(REPEATS)]
    assert memory.get_stored_size() == size
    report("cpprb", "numpy", value=statistics.median(costs) * 1e6, repeats=[round(cost * 1e6, 2) for cost in costs])


if __name__ == "__main__":
    main()
