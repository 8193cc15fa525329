"""Where the time of a training run goes: Python's functions by cProfile, and TensorFlow's operations by its own profiler."""

from __future__ import annotations

import collections
import cProfile
from pathlib import Path
import pstats
import sys
import tempfile
import time

import tensorflow as tf

LINES = 25
TRACED = 1.0  # s


class Profile:
    """Traces operations for the first second, and profiles Python after that: each would show up in the other."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._python = cProfile.Profile()
        self._started = 0.0
        self._tracing = False

    def tick(self) -> None:
        """Between two iterations of the loop."""
        if not self._started:
            self._started, self._tracing = time.perf_counter(), True
            tf.profiler.experimental.start(self._directory.name, tf.profiler.experimental.ProfilerOptions(host_tracer_level=3))
        elif self._tracing and time.perf_counter() - self._started > TRACED:
            tf.profiler.experimental.stop()
            self._tracing = False
            _print_operations(Path(self._directory.name))
            self._directory.cleanup()
            self._python.enable()

    def stop(self) -> None:
        """Ends, and prints what it found to stderr."""
        self._python.disable()
        pstats.Stats(self._python, stream=sys.stderr).sort_stats("tottime").print_stats(LINES)


def _print_operations(directory: Path) -> None:
    try:
        from tensorflow.tsl.profiler.protobuf import xplane_pb2
    except ImportError:  # No public part of TensorFlow.
        print("This TensorFlow has no xplane_pb2 to read traces with.", file=sys.stderr)
        return
    for path in directory.rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace()
        space.ParseFromString(path.read_bytes())
        for plane in space.planes:
            total: collections.Counter[str] = collections.Counter()
            count: collections.Counter[str] = collections.Counter()
            for line in plane.lines:
                for event in line.events:
                    name = plane.event_metadata[event.metadata_id].name
                    total[name] += event.duration_ps
                    count[name] += 1
            print(f"\n{plane.name}: ms in {TRACED:g} s, times, operation (those within others count twice)", file=sys.stderr)
            for name, picoseconds in total.most_common(LINES):
                print(f"{picoseconds / 1e9:10.2f} {count[name]:8d}  {name[:90]}", file=sys.stderr)
