"""What checkpoints of a full replay memory cost: seconds, bytes, and main memory, when written and when restored.

    python scripts/benchmarks/checkpoint_size.py --memory=frames --directory=/a/disk

It fills a memory, writes a first checkpoint, and then one for each `--new_rows` rows, as a training run does; the newest three
are kept. The last one is restored in a process of its own. The result is a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

SIZES = {"frames": 100_000, "transitions": 1_000_000}


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add: Any = parser.add_argument
    add(
        "--memory",
        choices=[*SIZES],
        default="frames",
        help="frames of 84 x 84 bytes, or transitions of 8 numbers (default: %(default)s)",
    )
    add("--size", type=int, help="rows of the memory (default: 100,000 frames or 1,000,000 transitions)")
    add("--checkpoints", type=int, default=10, help="checkpoints after the first one (default: %(default)s)")
    add("--new_rows", type=int, default=10_000, help="rows between two checkpoints (default: %(default)s)")
    add("--directory", help="where to write (default: the system's directory for temporary files)")
    add("--restore", help="restore the newest checkpoint in this directory, and nothing else")
    given = parser.parse_args()
    for name in ("size", "checkpoints", "new_rows"):
        if getattr(given, name) is not None and getattr(given, name) < 1:
            parser.error(f"--{name}={getattr(given, name)} must be at least 1.")
    return given


if __name__ == "__main__":
    command_line()  # --help is answered before TensorFlow is imported.

import numpy as np
from polyrl.estimators.checkpoints import files as checkpoint_files
from polyrl.estimators.checkpoints.manager import CheckpointManager
from polyrl.models.scope import Scope
from polyrl.replay import PrioritizedReplay, Replay
import tensorflow as tf

STATES = {"frames": tf.TensorSpec([84, 84, 4], tf.uint8), "transitions": tf.TensorSpec([4], tf.float32)}
CHUNK = 1_000


def build(kind: str, size: int) -> Replay:
    """An empty memory, with priorities."""
    memory = PrioritizedReplay(size, 32, frame_stack=4 if kind == "frames" else None)
    scalar, state = tf.TensorSpec([], tf.float32), STATES[kind]
    columns = dict.fromkeys(("reward", "done", "truncated"), scalar) | {"action": tf.TensorSpec([], tf.int32)}
    memory.build({"state": state, "next_state": state, **columns})
    return memory


def adder(memory: Replay, kind: str) -> tf.types.experimental.PolymorphicFunction:
    """A call that stores so many rows, each with other numbers, in episodes of a thousand."""

    @tf.function(autograph=False)
    def add(begin: tf.Tensor, count: tf.Tensor) -> None:
        spec = STATES[kind]

        def body(row: tf.Tensor) -> tuple[tf.Tensor]:
            noise = tf.random.stateless_uniform([1, *spec.shape], [row, 1], 0, 255, tf.int32)
            state, zero = tf.cast(noise, spec.dtype), tf.zeros([1])
            ended = tf.cast(row % 1_000 == 999, tf.float32)[tf.newaxis]
            rows = {"state": state, "next_state": state, "reward": zero + 1.0, "done": zero, "truncated": ended}
            memory.add({**rows, "action": tf.zeros([1], tf.int32)})
            return (row + 1,)

        tf.while_loop(lambda row: row < begin + count, body, [begin])

    return add


class Peak(threading.Thread):
    """By how many MB this process grows while it is watched; what has been swapped out counts as well."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._done, self._before, self._most = threading.Event(), self.now(), 0.0

    @staticmethod
    def now() -> float:
        """MB that the process has, resident or swapped out."""
        lines = [line.split() for line in Path("/proc/self/status").read_text().splitlines()]
        return sum(int(line[1]) for line in lines if line[0] in ("VmRSS:", "VmSwap:")) / 1e3

    def run(self) -> None:
        """Looks every two milliseconds."""
        while not self._done.wait(0.002):
            self._most = max(self._most, self.now() - self._before)

    def end(self) -> float:
        """The largest growth."""
        self._done.set()
        self.join()
        return self._most


def on_disk(directory: Path) -> int:
    """Bytes of all files, each counted once however many links there are."""
    found = {
        (info.st_dev, info.st_ino): info.st_size for file in directory.rglob("*") for info in [file.stat()] if file.is_file()
    }
    return sum(found.values())


def measure(directory: Path, kind: str, size: int, checkpoints: int, new_rows: int) -> dict[str, object]:
    """Fills a memory and writes its checkpoints."""
    scope, memory = Scope(0), build(kind, size)
    add, manager = adder(memory, kind), CheckpointManager(directory, keep_max=3)
    done = 0
    seconds, processor, written, peaks, files = [], [], [], [], []
    for number in range(checkpoints + 1):
        rows = size if number == 0 else new_rows
        for begin in range(done, done + rows, CHUNK):
            add(tf.constant(begin), tf.constant(min(CHUNK, done + rows - begin)))
        done += rows
        scope.global_timestep.assign(done)
        os.sync()
        before = {info.st_ino for info in map(Path.stat, directory.rglob("*"))}
        peak = Peak()
        peak.start()
        started, busy = time.monotonic(), time.process_time()
        path = manager.save(scope, memory, {}, lambda _: None)
        seconds.append(time.monotonic() - started)
        processor.append(time.process_time() - busy)
        peaks.append(peak.end())
        new = [info.st_size for info in map(Path.stat, path.iterdir()) if info.st_ino not in before]
        written.append(sum(new) / 1e6)
        files.append(len(list(path.iterdir())))
    assert checkpoint_files.damage(path) is None
    later = sorted(seconds[1:])
    return {
        "memory": kind,
        "rows": size,
        "memory_mb": round(sum(int(np.prod(v.shape)) * v.dtype.size for v in memory.variables) / 1e6),
        "first_s": round(seconds[0], 2),
        "first_mb": round(written[0]),
        "p50_s": round(statistics.median(later), 3),
        "min_s": round(later[0], 3),
        "max_s": round(later[-1], 3),
        "processor_p50_s": round(statistics.median(processor[1:]), 3),
        "load": round(os.getloadavg()[0], 1),
        "mb_each": round(statistics.median(written[1:]), 1),
        "mb_max": round(max(written[1:]), 1),
        "files": files[-1],
        "three_kept_mb": round(on_disk(directory) / 1e6),
        "peak_first_mb": round(peaks[0]),
        "peak_later_mb": round(max(peaks[1:])),
    }


def restore(directory: Path, kind: str, size: int) -> dict[str, object]:
    """Restores the newest checkpoint into a new memory."""
    scope, memory = Scope(0), build(kind, size)
    manager = CheckpointManager(directory, keep_max=3)
    path, peak = manager.latest(), Peak()
    assert path is not None
    peak.start()
    started = time.monotonic()
    manager.restore(path, scope, memory)
    return {"restore_s": round(time.monotonic() - started, 2), "restore_peak_mb": round(peak.end())}


def main() -> None:
    """Measures what the flags say, and prints it."""
    given = command_line()
    kind, size = given.memory, given.size or SIZES[given.memory]
    if given.restore is not None:
        print(json.dumps(restore(Path(given.restore), kind, size)))
        return
    with tempfile.TemporaryDirectory(dir=given.directory) as name:
        result = measure(Path(name), kind, size, given.checkpoints, given.new_rows)
        command = [sys.executable, __file__, f"--memory={kind}", f"--size={size}", f"--restore={name}"]
        restored = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(json.dumps({**result, **json.loads(restored.splitlines()[-1])}))


if __name__ == "__main__":
    main()
