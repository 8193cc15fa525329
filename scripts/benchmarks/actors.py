"""How fast runs with actors are: `python scripts/benchmarks/actors.py minatar_breakout_dqn --actors 0 1 2`.

    python scripts/benchmarks/actors.py minatar_breakout_dqn [--actors 0 1 2] [--seconds 20] [--pairs 3] [-- --num_envs=4]
    python scripts/benchmarks/actors.py minatar_breakout_dqn --target=10 [-- --num_envs=4]

Each is a run of a process of its own, in turn; 0 actors is a run in one process. What is printed are environment steps and
updates in a second, after the first update (or, with --collect, without any) and some seconds to warm up. With --target it is
how long a run takes to reach that return, with another seed in each pair: seconds from the start of its process, with imports,
compilation and evaluations. No process is pinned to a core.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
from collections.abc import Sequence
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

WORKER = "--worker"
WARM_UP = 5.0
"""Seconds after the first update that do not count."""

REACHED = "the target is reached"


def work(arguments: argparse.Namespace, flags: list[str]) -> None:
    """Trains, and prints what is measured as JSON."""
    import polyrl  # noqa: F401  Before TensorFlow.
    from polyrl.experiments import cli, family
    from polyrl.flags import command

    with tempfile.TemporaryDirectory() as directory:
        off = ["--progress=false", "--save_checkpoints_timesteps=1000000000", f"--model_dir={directory}"]
        cli.FLAGS([sys.argv[0], *off, *flags])
        command.settle()
        experiment: Any = family.experiment_fn(cli.FLAGS.model_dir)
        if arguments.target is None:
            budget = {"timesteps": None, "episodes": None, "steps": 10**9}
            budget["first_update"] = 10**9 if arguments.collect else 1_000
            hooks = [meter(arguments.seconds, arguments.collect)]
        else:
            budget, hooks = {}, reached(experiment.eval_env, arguments)
        result = experiment.agent.train(experiment.env, hooks=hooks, **{**experiment.training, **budget})
    if arguments.target is not None and result.stop_reason != REACHED:
        print("[Infinity, Infinity]", flush=True)


def meter(seconds: float, collects: bool) -> Any:
    """A hook that ends the run when its speed has been measured for some seconds, and prints steps and updates a second."""
    from polyrl.estimators.hooks import Hook

    class Meter(Hook):
        """Notes when it began."""

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

    return Meter()


def reached(env: Any, arguments: argparse.Namespace) -> list[Any]:
    """Hooks that evaluate, and end the run when the mean return is that asked for: they print the seconds and the steps."""
    from polyrl.estimators.hooks import EvaluationHook, Hook
    from stopwatch import seconds_since_start

    class Reached(Hook):
        """Looks at the last evaluation."""

        def after_act(self, run: Any) -> None:
            last = run.last_evaluation
            if last is not None and last["mean_reward"] >= arguments.target:
                print(json.dumps([seconds_since_start(), int(last["global_timestep"])]), flush=True)
                run.request_stop(REACHED)

    return [EvaluationHook(env, arguments.every, arguments.episodes), Reached()]


def measured(actors: int, given: list[str], flags: list[str]) -> list[float]:
    """What a run of its own process prints."""
    own = [] if actors == 0 else [f"--actors={actors}"]
    done = subprocess.run(
        [sys.executable, __file__, WORKER, *given, "--", *flags, *own], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{actors} actors: exit status {done.returncode}\n{done.stderr[-2_000:]}")
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[")))


def shown(values: Sequence[float]) -> str:
    """Their median and range; `never` for what did not come."""
    median, low, high = (
        f"{value:,.0f}" if math.isfinite(value) else "never" for value in (statistics.median(values), min(values), max(values))
    )
    return f"{median} ({low} .. {high})"


def command_line(given: list[str]) -> argparse.Namespace:
    """What is given on the command line before the flags of polyrl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", help="of which model and environment are, as polyrl --mode=list shows them")
    parser.add_argument("--actors", type=int, nargs="+", default=[0, 1, 2], help="how many (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="that are measured (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=3, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--collect", action="store_true", help="actors alone: nothing is learned")
    parser.add_argument("--target", type=float, help="the return to be reached (default: none; speed is measured)")
    parser.add_argument("--every", type=int, default=25_000, help="steps between evaluations (default: %(default)s)")
    parser.add_argument("--episodes", type=int, default=20, help="of an evaluation (default: %(default)s)")
    arguments = parser.parse_args(given)
    if arguments.target is not None and arguments.collect:
        parser.error("--collect learns nothing, so that no --target is reached; leave one of them out")
    return arguments


def main() -> None:
    """Measures in turn, and prints a line for each number of actors."""
    given, flags = sys.argv[1:], []
    if "--" in given:
        given, flags = given[: given.index("--")], given[given.index("--") + 1 :]
    if given[:1] == [WORKER]:
        return work(command_line(given[1:]), flags)
    arguments = command_line(given)
    flags = [f"--config={arguments.preset}", *flags]
    found: dict[int, list[list[float]]] = {actors: [] for actors in arguments.actors}
    for pair in range(arguments.pairs):
        for actors, results in found.items():
            results.append(measured(actors, given, flags if arguments.target is None else [*flags, f"--seed={pair + 1}"]))
    heads = ("steps/s: median (range)", "updates/s") if arguments.target is None else ("seconds: median (range)", "steps")
    print(f"| actors | {heads[0]} | {heads[1]} |\n|---|---|---|")
    for actors, results in found.items():
        first, second = zip(*results, strict=True)
        print(f"| {actors} | {shown(first)} | {shown(second)} |")
    return None


if __name__ == "__main__":
    main()
