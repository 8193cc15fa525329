"""How fast runs with actors are: `python scripts/benchmarks/actors.py minatar_breakout_dqn --actors 0 1 2`.

    python scripts/benchmarks/actors.py minatar_breakout_dqn [--actors 0 1 2] [--seconds 20] [--pairs 3] [-- --num_envs=4]

Each is a run of a process of its own, in turn; 0 actors is a run in one process. What is printed are environment steps and
updates in a second, after the first update (or, with --collect, without any) and some seconds to warm up. No process is pinned
to a core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

WORKER = "--worker"
WARM_UP = 5.0
"""Seconds after the first update that do not count."""


def work(seconds: float, collects: bool, flags: list[str]) -> None:
    """Trains for some seconds, and prints what was done in one."""
    import polyrl  # noqa: F401  Before TensorFlow.
    from polyrl.estimators.hooks import Hook
    from polyrl.experiments import cli, family
    from polyrl.flags import command

    class Meter(Hook):
        """Ends the run when it has been measured."""

        begun: tuple[float, int, int] | None = None
        first: float | None = None

        def after_act(self, run: Any) -> None:
            now = time.perf_counter()
            if self.first is None and (run.step or (collects and run.timestep)):
                self.first = now
            if self.first is None or now < self.first + WARM_UP:
                return
            if self.begun is None:
                self.begun = now, run.timestep, run.step
            passed = now - self.begun[0]
            if passed >= seconds:
                rates = (run.timestep - self.begun[1]) / passed, (run.step - self.begun[2]) / passed
                print(json.dumps(rates), flush=True)
                run.request_stop("measured")

    with tempfile.TemporaryDirectory() as directory:
        off = ["--progress=false", "--save_checkpoints_timesteps=1000000000", f"--model_dir={directory}"]
        cli.FLAGS([sys.argv[0], *off, *flags])
        command.settle()
        experiment = family.experiment_fn(cli.FLAGS.model_dir)
        budget = {"timesteps": None, "episodes": None, "steps": 10**9, "first_update": 10**9 if collects else 1_000}
        experiment.agent.train(experiment.env, hooks=[Meter()], **{**experiment.training, **budget})


def measured(actors: int, arguments: argparse.Namespace, flags: list[str]) -> list[float]:
    """Steps and updates a second of one run."""
    own = [] if actors == 0 else [f"--actors={actors}"]
    call = [sys.executable, __file__, WORKER, str(arguments.seconds), str(int(arguments.collect))]
    done = subprocess.run([*call, *own, *flags], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{actors} actors: exit status {done.returncode}\n{done.stderr[-2_000:]}")
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[")))


def main() -> None:
    """Measures in turn, and prints a line for each number of actors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", help="of which model and environment are, as polyrl --mode=list shows them")
    parser.add_argument("--actors", type=int, nargs="+", default=[0, 1, 2], help="how many (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="that are measured (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=3, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--collect", action="store_true", help="actors alone: nothing is learned")
    own, flags = sys.argv[1:], []
    if "--" in own:
        own, flags = own[: own.index("--")], own[own.index("--") + 1 :]
    arguments = parser.parse_args(own)
    flags = [f"--config={arguments.preset}", *flags]
    found: dict[int, list[list[float]]] = {actors: [] for actors in arguments.actors}
    for _ in range(arguments.pairs):
        for actors, rates in found.items():
            rates.append(measured(actors, arguments, flags))
    print("| actors | steps/s: median (range) | updates/s |\n|---|---|---|")
    for actors, rates in found.items():
        steps, updates = ([rate[place] for rate in rates] for place in (0, 1))
        low, high = min(steps), max(steps)
        print(
            f"| {actors} | {statistics.median(steps):,.0f} ({low:,.0f} .. {high:,.0f}) | {statistics.median(updates):,.0f} |"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == WORKER:
        work(float(sys.argv[2]), sys.argv[3] == "1", sys.argv[4:])
    else:
        main()
