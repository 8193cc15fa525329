"""What several learners gain: `python scripts/benchmarks/learners.py atari_pong_dqn`; see docs/learners.md.

    python scripts/benchmarks/learners.py atari_pong_dqn [--batch_sizes 32 256] [--processes 1 2] [--pairs 2] [-- --flags]

Each process has a core of its own. One alone is `strategy=one`, two are `multi_worker`, on this machine's loopback interface.
Eight updates follow each environment step, so that it is the learner that counts; flags after `--` go to the command `polyrl`.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORKER = "--worker"
WARM_UP = 80
"""Updates before those that are measured."""


def work(flags: list[str], seconds: float) -> None:
    """One of the processes; the chief prints how many updates it does in a second."""
    import polyrl  # noqa: F401  Before TensorFlow.
    from polyrl.estimators.hooks import Hook
    from polyrl.experiments import cli, family
    from polyrl.flags import command

    class Rate(Hook):
        """Measures, and ends the run after some seconds."""

        began: tuple[float, int] | None = None

        def after_act(self, run: Any) -> None:
            now = time.perf_counter()
            if self.began is None:
                if run.step >= WARM_UP:
                    self.began = now, run.step
            elif now - self.began[0] >= seconds:
                print(json.dumps({"updates_per_second": (run.step - self.began[1]) / (now - self.began[0])}), flush=True)
                run.request_stop("measured")

    with tempfile.TemporaryDirectory() as directory:
        off = [
            "--progress=false",
            "--save_checkpoints_timesteps=1000000000",
            "--threads=1",
            "--save_summary_timesteps=1000000000",
        ]
        cli.FLAGS([sys.argv[0], *off, f"--model_dir={directory}", *flags])
        command.settle()
        experiment: Any = family.experiment_fn(cli.FLAGS.model_dir)
        updates = {"first_update": 500, "update_frequency": 1, "updates_at_once": 8}
        budget = {"max_timesteps": 10_000_000, "max_steps": None, "max_episodes": None}
        experiment.agent.train(experiment.env, hooks=[Rate()], **{**experiment.training, **updates, **budget})


def measure(flags: list[str], processes: int, seconds: float) -> float:
    """Updates a second of so many processes, each on a core of its own."""
    cores = sorted(os.sched_getaffinity(0))
    ports = []
    for _ in range(processes):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            ports.append(found.getsockname()[1])
    started = []
    for index in range(processes):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        strategy = ["--strategy=one"]
        if processes > 1:
            strategy = ["--strategy=multi_worker"]
            cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
            environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        command = [sys.executable, __file__, WORKER, str(seconds), *strategy, *flags]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        os.sched_setaffinity(process.pid, {cores[index % len(cores)]})
        started.append(process)
    output = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"{flags}: exit statuses {[process.returncode for process in started]}")
    return float(json.loads(output[0].splitlines()[-1])["updates_per_second"])


def main() -> None:
    """Measures all, in turn, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", help="as polyrl --mode=list shows them")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="how many (default: %(default)s)")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[32], help="of the whole batch (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=2, help="measurements of each, in turn (default: %(default)s)")
    own, flags = sys.argv[1:], []
    if "--" in own:
        own, flags = own[: own.index("--")], own[own.index("--") + 1 :]
    arguments = parser.parse_args(own)
    for size in arguments.batch_sizes:
        found: dict[int, list[float]] = {count: [] for count in arguments.processes}
        for _ in range(arguments.pairs):
            for count in arguments.processes:
                given = [f"--config={arguments.preset}", f"--batch_size={size}", *flags]
                found[count].append(measure(given, count, arguments.seconds))
        first = statistics.median(found[arguments.processes[0]])
        for count, rates in found.items():
            middle = statistics.median(rates)
            print(
                f"batch {size}, {count} processes: {middle:.1f} updates/s ({min(rates):.1f} .. {max(rates):.1f}), "
                f"{middle / first:.2f} times the first",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == WORKER:
        work(sys.argv[3:], float(sys.argv[2]))
    else:
        main()
