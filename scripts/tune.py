"""Searches hyper-parameters: `python scripts/tune.py --config=cartpole_dqn --search learning_rate=1e-4..1e-2:log`.

Each trial is a run of the command `polyrl` as a process of its own. Its evaluations are told to optuna as they come, and a run
that is worse than half of those before it at that time is ended (the median rule of Golovin et al. 2017). The same command
again continues the search, with the runs that were interrupted first.

After `--search` stands what is searched: any flag of the command, or a field of a part of the model as `--set` takes it.
`learning_rate=1e-4..1e-2:log` is a range of numbers on a logarithmic scale, `batch_size=16..256` one of integers,
`n_step=1,3,5` a choice, `optimizer.beta_1=0.8..0.99` a field. Flags after `--` are those of all runs:
`tune.py --config=cartpole_dqn --search n_step=1,3 -- --train_timesteps=20000`.

The directory holds `study.db`, `results.csv`, and of each trial `trial-0000/run`, its model_dir, with `log.txt` beside it;
`tensorboard --logdir` on it shows the trials under HParams.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
import signal
import sys
from typing import Any

from absl import flags
from polyrl.flags import FLAGS, command
from polyrl.flags.value_errors import in_words
from polyrl.paths import resolved
from rich.table import Table


def show(rows: list[dict[str, Any]], directory: Path) -> None:
    """Writes `results.csv`, and prints the same as a table."""
    with open(directory / "results.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    from polyrl.experiments import tables  # With it comes TensorFlow, without which --help is quick.

    shown = [name for name in rows[0] if name != "error" or any(row["error"] for row in rows)]
    table = Table(*shown)
    for row in rows:
        cells = (row[name] for name in shown)
        table.add_row(*("" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells))
    tables.show(table)
    print(f"{directory / 'results.csv'}; tensorboard --logdir {directory}")


def at_least_one(text: str) -> int:
    """The number; argparse tells an error by its words."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be an integer of at least 1")
    return int(text)


def main() -> None:
    """Searches, and shows what was found."""
    own, of_runs = sys.argv[1:], []
    if "--" in own:
        own, of_runs = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="where all runs begin, as polyrl takes it")
    parser.add_argument(
        "--search", nargs="+", required=True, metavar="NAME=VALUES", help="what is searched, as learning_rate=1e-4..1e-2:log"
    )
    parser.add_argument("--trials", type=at_least_one, default=20, help="trials in all, over all calls (20)")
    parser.add_argument("--jobs", type=at_least_one, default=1, help="runs side by side, each on one core (1)")
    parser.add_argument("--backend", choices=["local", "ray"], default="local", help="what starts the runs: this machine, or "
                        "Ray, on the machines of its cluster, which share the directory (local)")  # fmt: skip
    parser.add_argument("--ray_address", help="of a cluster of Ray that is there, as host:6379; with --backend=ray")
    parser.add_argument("--directory", help="directory of the sweep; runs/tune/<config> by default")
    parser.add_argument("--score", choices=["final", "mean"], default="final", help="of a trial: the score of its best "
                        "checkpoint, or the mean of all its evaluations, which says how fast it learned (final)")  # fmt: skip
    parser.add_argument("--startup", type=int, default=5, help="trials that are never pruned, the first ones (5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the search, not of the runs (0)")
    arguments, others = parser.parse_known_args(own)
    if others:
        parser.error(
            f"unrecognized arguments: {' '.join(others)}; flags of the runs come last, after --: -- {' '.join(others)}"
        )
    try:
        sweep(arguments, of_runs)
    except KeyboardInterrupt:
        print("Interrupted. The same command continues the search.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


def check_flags(given: list[str], searched: list[str]) -> None:
    """Refuses what no run would take, or heed, before anything is started: a ValueError that says what."""
    try:
        left = FLAGS(["polyrl", *given])[1:]
    except flags.Error as error:
        raise ValueError(in_words(str(error))) from error
    if left:
        raise ValueError(f"After -- come flags, as --n_step=3; got {' '.join(left)}.")
    useless = dict.fromkeys(("mode", "model_dir", "seeds"), "each trial has its own")
    useless |= dict.fromkeys((entry.partition("=")[0] for entry in searched), "it is searched")
    for name, why in useless.items():
        if name in FLAGS and FLAGS[name].present:
            raise ValueError(f"--{name}={FLAGS[name].value} has no effect after --: {why}. Leave it out.")


def check_names(searched: list[str]) -> None:
    """Refuses settings that cannot be read, and an environment or a network that does not exist: trials would."""
    from polyrl.experiments import torsos, worlds  # As above.

    sys.path.insert(0, "")  # As the runs: what is one's own lies in the working directory.
    command.use_config()
    worlds.check_names({name: FLAGS[name].value for name in command.PARAMETERS})
    networks = [values.split(",") for name, _, values in (entry.partition("=") for entry in searched) if name == "torso"]
    for network in [FLAGS["torso"].value, *(network for choices in networks for network in choices)]:
        torsos.check_name({"torso": network})


def sweep(arguments: argparse.Namespace, given: list[str]) -> None:
    """The sweep that the arguments describe; what is wrong in them is a ValueError before anything is started."""
    from polyrl.experiments.processes import placed_by_ray  # As above.
    from polyrl.experiments.sweep import Sweep

    if arguments.ray_address is not None and arguments.backend != "ray":
        raise ValueError(
            f"--ray_address={arguments.ray_address} has no effect without --backend=ray. Leave it out, or say that."
        )
    given = [*([] if arguments.config is None else [f"--config={arguments.config}"]), *given]
    check_flags(given, arguments.search)
    check_names(arguments.search)
    directory = resolved("--directory", arguments.directory or f"runs/tune/{Path(arguments.config or 'polyrl').stem}")
    search = Sweep(directory, arguments.search, given, arguments.score, arguments.startup, arguments.seed)
    if arguments.backend == "local":
        search.run(arguments.trials, arguments.jobs)
    else:
        with placed_by_ray(arguments.ray_address, arguments.jobs) as start:
            search.run(arguments.trials, arguments.jobs, start)
    show(search.results(), directory)


if __name__ == "__main__":
    main()
