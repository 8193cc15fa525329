"""What presets learn: `python scripts/benchmarks/learning.py cartpole_c51 acrobot_dqn --seeds 1 2 3 4 5`.

Each run is a process of its own, on one core; several run side by side. A run that was interrupted is resumed, one that is
complete is not repeated; one of the same label and seed, but other settings, is refused. Results are JSON lines in
`<directory>/results.jsonl`: the curve of the evaluations while training, and the mean return of 100 episodes with the last and
with the best weights, in gymnasium's environment. Flags after `--` go to the command `polyrl`, and make another run of it:
`learning.py cartpole_c51 --label=double -- --double`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import concurrent.futures
import json
import os
from pathlib import Path
import statistics
import sys
import time
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORKER = "--worker"
OWN_FLAGS = {
    "config": "name another preset in its place",
    "flagfile": "give the flags themselves, which results record",
    "mode": "its runs train, and are evaluated after that",
    "model_dir": "use --directory and --label",
    "seed": "use --seeds",
}
"""Flags of `polyrl` that are not for the runs, and what to do in place of them."""


def run(preset: str, seed: int, label: str, flags: list[str], directory: Path, start: Any = None) -> dict[str, Any]:
    """One run as a process, on this machine or as `start` starts it; its result. Its log is beside its directory."""
    from polyrl.experiments import processes  # With it comes TensorFlow, without which --help is quick.

    start = processes.start if start is None else start
    model_dir = directory.resolve() / label / f"seed-{seed}"
    log = model_dir.with_suffix(".log")
    own = [f"--config={preset}", f"--seed={seed}", f"--model_dir={model_dir}"]
    command = [sys.executable, __file__, WORKER, *flags, *own]  # Of a flag given twice the last one counts.
    started = time.monotonic()
    status = start(command, log).wait()
    if status != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {status}\n{processes.last_error(log)}")
    result = json.loads(log.read_text().splitlines()[-1])
    about = {"label": label, "preset": preset, "seed": seed, "flags": flags, "settings": settings(preset)}
    return {**about, "seconds": time.monotonic() - started, **result}


def settings(preset: str) -> dict[str, Any]:
    """What a preset says, as JSON has it."""
    from polyrl import presets  # As above.

    return dict(json.loads(json.dumps(presets.get(preset).to_dict())))


def check_wanted(wanted: Sequence[tuple[str, int, str, list[str]]]) -> None:
    """Ends the program if a run is wanted twice, or if flags would make it another one than its result says."""
    runs = [(label, seed) for _, seed, label, _ in wanted]
    twice = sorted({run for run in runs if runs.count(run) > 1})
    if twice:
        sys.exit("Wanted twice: " + ", ".join(f"{label} with seed {seed}" for label, seed in twice) + ". Give each once.")
    given = {flag.lstrip("-").split("=")[0] for *_, flags in wanted for flag in flags if flag.startswith("-")}
    if any("--" in flags for *_, flags in wanted):
        sys.exit("Flags after a second -- would be none: give one --, and all flags after it.")
    for name in sorted(given & {*OWN_FLAGS}):
        sys.exit(f"--{name} is decided by this program: {OWN_FLAGS[name]}.")


def known_results(file: Path) -> list[dict[str, Any]]:
    """The results in a file; of a last line that was cut off while it was written, nothing is left."""
    text = file.read_text() if file.exists() else ""
    whole, _, torn = text.rpartition("\n")
    if torn:
        print(f"{file}: the last line was cut off; its run is looked at again.", flush=True)
        file.write_text(whole + "\n" if whole else "")
    results = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            results.append(json.loads(line))
        except json.JSONDecodeError as error:
            sys.exit(f"{file}: line {number} is not JSON ({error}). Mend it, or take it out: its run is repeated then.")
    return results


def check_same(known: dict[str, Any], preset: str, flags: list[str]) -> None:
    """Ends the program if a result is of other settings than those that are wanted under its label."""
    pairs: dict[str, tuple[Any, Any]] = {"preset": (known["preset"], preset), "flags": (known["flags"], flags)}
    now = settings(preset)
    before = known.get("settings", now)  # Older results do not say.
    pairs |= {f"{name} of the preset": (before.get(name), now.get(name)) for name in sorted({*before, *now})}
    differences = [f"{name} {there} there, {here} now" for name, (there, here) in pairs.items() if there != here]
    if differences:
        sys.exit(
            f"There is a result of label={known['label']}, seed {known['seed']} with other settings: "
            f"{'; '.join(differences)}. Give these runs a --label of their own, or another --directory."
        )


def complete(
    wanted: list[tuple[str, int, str, list[str]]], directory: Path, jobs: int, start: Any = None
) -> list[dict[str, Any]]:
    """Runs what the directory does not have yet of `(preset, seed, label, flags)`; the results of all that it has then."""
    check_wanted(wanted)
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "results.jsonl"
    results = known_results(file)
    known = {(result["label"], result["seed"]): result for result in results}
    missing = []
    for preset, seed, label, flags in wanted:
        if (label, seed) in known:
            check_same(known[label, seed], preset, flags)
        else:
            missing.append((preset, seed, label, flags))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, *each, directory, start) for each in missing]):
            result = future.result()
            results.append(result)
            with file.open("a") as lines:
                print(json.dumps(result), file=lines)
            shown = {key: result[key] for key in ("label", "seed", "final", "best")}
            print(*(f"{key}={value}" for key, value in shown.items()), f"{result['seconds']:.0f} s", flush=True)
    return results


def work(arguments: list[str]) -> None:
    """The run itself: trains, evaluates, and prints its result as one JSON line."""
    import polyrl  # noqa: F401  Before TensorFlow.
    from polyrl.estimators.cadence import evaluation_cadence
    from polyrl.estimators.hooks import EvaluationHook, Hook
    from polyrl.experiments import cli, family
    from polyrl.flags import command

    class Curve(Hook):
        """Keeps each evaluation, also over a resumption."""

        def __init__(self) -> None:
            self.points: list[list[float]] = []

        def after_act(self, run: Any) -> None:
            last = run.last_evaluation
            if last is not None and (not self.points or self.points[-1][2] != last["global_timestep"]):
                self.points.append([run.timestep, last["mean_reward"], last["global_timestep"]])

        def get_state(self) -> dict[str, Any]:
            return {"points": self.points}

        def set_state(self, state: Any) -> None:
            self.points = [list(point) for point in state["points"]]

    _, *words = cli.FLAGS([sys.argv[0], "--progress=false", *arguments])
    if words:
        sys.exit(f"Not flags: {' '.join(words)}. Write --name=value.")
    command.settle()
    experiment = family.experiment_fn(cli.FLAGS.model_dir)
    agent, curve, episodes = experiment.agent, Curve(), cli.FLAGS.eval_episodes
    every = evaluation_cadence(cli.FLAGS.eval_frequency, cli.FLAGS.train_timesteps)
    hook = EvaluationHook(experiment.eval_env, every, cli.FLAGS.eval_episodes_while_training)
    trained = agent.train(experiment.env, hooks=[hook, curve], **experiment.training)
    if trained.signal is not None:  # Not a result: to be resumed.
        sys.exit(128 + trained.signal)
    scores = {which: agent.evaluate(experiment.eval_env, episodes, which)["mean_reward"] for which in ("latest", "best")}
    points = [point[:2] for point in curve.points]
    print(json.dumps({"final": scores["latest"], "best": scores["best"], "curve": points}), flush=True)


def argument_parser(description: str | None, presets: str, directory: Path) -> argparse.ArgumentParser:
    """Which runs, how many side by side, and where: for this program and those that run variants of presets."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="+", help=presets)
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5], help="seeds of the runs (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count(),
        help="runs side by side, each on one core (default: all cores, %(default)s)",
    )
    parser.add_argument(
        "--directory", type=Path, default=directory, help="directory of runs and results (default: %(default)s)"
    )
    return parser


def main() -> None:
    """Runs what is missing, and shows a table of all."""
    parser = argument_parser(__doc__, "presets, as polyrl --mode=list shows them", ROOT / "runs" / "learning")
    parser.add_argument("--label", help="name of the runs (default: the preset's)")
    parser.add_argument(
        "--backend", choices=["local", "ray"], default="local", help="what starts the runs: this machine, or Ray, on the "
        "machines of its cluster, which share the directory (default: %(default)s)"
    )  # fmt: skip
    parser.add_argument("--ray_address", help="of a cluster of Ray that is there; with --backend=ray")
    own, flags = sys.argv[1:], []
    if "--" in own:
        own, flags = own[: own.index("--")], own[own.index("--") + 1 :]
    arguments = parser.parse_args(own)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    wanted = [(preset, seed, arguments.label or preset, flags) for preset in arguments.presets for seed in arguments.seeds]
    if arguments.backend == "local":
        results = complete(wanted, arguments.directory, arguments.jobs)
    else:
        from polyrl.experiments.processes import placed_by_ray  # As above.

        with placed_by_ray(arguments.ray_address, arguments.jobs) as start:
            results = complete(wanted, arguments.directory, arguments.jobs, start)
    for label in dict.fromkeys(label for _, _, label, _ in wanted):
        show(label, [result for result in results if result["label"] == label])


def show(label: str, results: list[dict[str, Any]]) -> None:
    """One line for all seeds."""
    final, best = ([result[key] for result in results] for key in ("final", "best"))
    seconds = statistics.median(result["seconds"] for result in results)
    print(
        f"{label}: {len(results)} seeds, final {statistics.mean(final):.1f} (worst {min(final):.1f}), best "
        f"{statistics.mean(best):.1f} (worst {min(best):.1f}), {seconds:.0f} s each"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == WORKER:
        work(sys.argv[2:])
    else:
        main()
