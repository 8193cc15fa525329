"""Lists the checkpoints of a model_dir, checks every byte of them, and chooses the one to resume from.

    .venv/bin/python scripts/checkpoints.py list runs/cartpole
    .venv/bin/python scripts/checkpoints.py verify runs/cartpole       # status 1 if one is damaged
    .venv/bin/python scripts/checkpoints.py choose runs/cartpole ckpt-000020000

`choose` makes a checkpoint the newest: those that are newer get the name `ckpt-<timestep>.set-aside-<number>`, and are kept.
Nothing is ever removed.
"""

from __future__ import annotations

import datetime
from pathlib import Path
import sys

if __name__ == "__main__" and {"-h", "--help"} & {*sys.argv[1:]}:  # Before TensorFlow is imported.
    print(__doc__, end="")
    sys.exit()

from absl import app
import polyrl  # noqa: F401  Before TensorFlow, which is quiet then.
from rich.table import Table

# isort: split

from polyrl.errors import DamagedCheckpointError
from polyrl.estimators.checkpoints.claims import claimed
from polyrl.estimators.checkpoints.files import STATE, damage, found_in, misplaced, read_state, set_aside
from polyrl.experiments import tables

USAGE = "Use: checkpoints.py list|verify MODEL_DIR, or checkpoints.py choose MODEL_DIR ckpt-<timestep>."
DIRECTORIES = ("checkpoints", "best")


def wrong_with(path: Path, thorough: bool = True) -> str | None:
    """What is wrong with a checkpoint, its place included; None if a run would take it."""
    found = damage(path, thorough=thorough)
    return misplaced(path, path.parent.name == "best") if found is None else found


def described(path: Path, thorough: bool) -> tuple[list[str], bool]:
    """A row of the table, and whether the checkpoint is whole."""
    wrong = wrong_with(path, thorough)
    try:
        state = read_state(path)
        counters = [f"{state[name]:,}" for name in ("global_timestep", "global_step", "global_episode")]
        score = f"{state['score']:.2f}" if "score" in state else ""
        written = datetime.datetime.fromtimestamp((path / STATE).stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    except (OSError, DamagedCheckpointError):
        counters, score, written = ["", "", ""], "", ""
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    verdict = ("whole" if thorough else "sizes agree") if wrong is None else wrong.replace(f"{path}/", "")
    return [f"{path.parent.name}/{path.name}", *counters, score, f"{size / 1e6:,.2f} MB", written, verdict], wrong is None


def table(model_dir: Path, thorough: bool) -> bool:
    """Shows all checkpoints; whether all of them are whole."""
    rows = [described(path, thorough) for name in DIRECTORIES for path in found_in(model_dir / name)]
    if not rows:
        raise SystemExit(f"There is no checkpoint in {str(model_dir)!r}.")
    shown = Table()
    for column in ("checkpoint", "environment step", "update", "episode", "score", "size", "written", "state"):
        shown.add_column(column, overflow="fold")
    for row, _ in rows:
        shown.add_row(*row)
    tables.show(shown)
    return all(whole for _, whole in rows)


def choose(model_dir: Path, name: str) -> None:
    """Makes a checkpoint the newest."""
    paths = found_in(model_dir / "checkpoints")
    names = [path.name for path in paths]
    if name not in names:
        aside = sorted(path.name for path in (model_dir / "checkpoints").glob("ckpt-*.set-aside-*"))
        hint = (
            f" Those set aside are taken again under their old names: mv {aside[-1]} {aside[-1].split('.')[0]}."
            if aside
            else ""
        )
        raise SystemExit(f"There is no {name!r} in {str(model_dir / 'checkpoints')!r}; there are {names}.{hint}")
    wrong = wrong_with(model_dir / "checkpoints" / name)
    if wrong is not None:
        raise SystemExit(f"{wrong}; choose another one of {names}.")
    with claimed(model_dir):  # Not while a run trains.
        for path in paths[names.index(name) + 1 :]:
            print(f"{path.name} is now {set_aside(path, 'set-aside').name}.")
    print(f"A run resumes from {name} now.")


def main(argv: list[str]) -> None:
    """Runs the command that was given."""
    command, directory, *names = [*argv[1:], "", ""][:2] + argv[3:]
    if command not in ("list", "verify", "choose") or not directory or len(names) != (command == "choose"):
        raise app.UsageError(USAGE)
    model_dir = Path(directory).expanduser()
    if command == "choose":
        choose(model_dir, names[0])
    elif not table(model_dir, thorough=command == "verify") and command == "verify":
        raise SystemExit(1)


if __name__ == "__main__":
    app.run(main)
