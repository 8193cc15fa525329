"""Kills a run again and again, at random moments and inside of saves, and compares its end with that of a run left alone.

    .venv/bin/python scripts/kill_runs.py --kills=50

Each time the run is resumed in a new process. At the end, weights, optimizer, target network, memory and counters must have
the same bits as those of a run that was not interrupted. Prints a line for each kill, and the counts.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

BACKENDS, SIGNALS = ("gymnasium", "async", "compiled"), ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
TRAINER = str(Path(__file__).resolve().parents[1] / "experiments" / "cartpole_dqn.py")


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add: Any = parser.add_argument
    add("--kills", type=int, default=50, help="how many times the run is killed, at least 1 (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of the moments (default: %(default)s)")
    add("--timesteps", type=int, default=30_000, help="environment steps of the run, at least 2000 (default: %(default)s)")
    add("--env_backend", choices=BACKENDS, default="gymnasium", help="what steps the environments (default: %(default)s)")
    add("--signal", "--number", choices=SIGNALS, default="SIGKILL", help="what the run is sent (default: %(default)s)")
    given = parser.parse_args()
    for name, least in (("kills", 1), ("timesteps", 2_000)):
        if getattr(given, name) < least:
            parser.error(f"--{name}={getattr(given, name)} must be at least {least}.")
    return given


def command(model_dir: Path, timesteps: int, env_backend: str) -> list[str]:
    """The run, with checkpoints so frequent that many kills meet one."""
    given = {
        "mode": "train",
        "model_dir": model_dir,
        "train_timesteps": timesteps,
        "save_checkpoints_timesteps": 250,
        "save_summary_timesteps": 250,
        "max_overhead": 1.0,
        "env_backend": env_backend,
        "check_env": False,
        "progress": False,
    }
    if env_backend == "compiled":
        given.pop("check_env")
    return [sys.executable, TRAINER, *(f"--{name}={value}" for name, value in given.items())]


def digest(model_dir: Path) -> tuple[str, dict[str, str]]:
    """The name of the newest checkpoint, and of each of its variables the bytes' SHA-256."""
    import polyrl  # noqa: F401  Before TensorFlow, which is quiet then.
    import tensorflow as tf

    newest = max((model_dir / "checkpoints").glob("ckpt-*[0-9]"))
    found = {}
    for file in sorted(newest.glob("*.index")):
        reader = tf.train.load_checkpoint(str(file.with_suffix("")))
        for name in reader.get_variable_to_shape_map():
            if name != "_CHECKPOINTABLE_OBJECT_GRAPH":
                found[f"{file.stem}/{name}"] = hashlib.sha256(reader.get_tensor(name).tobytes()).hexdigest()
    for file in sorted([*newest.rglob("*.npy"), *newest.rglob("*.npz")]):
        found[str(file.relative_to(newest))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return newest.name, found


def saving(model_dir: Path) -> bool:
    """Whether a checkpoint is being written."""
    return any((model_dir / "checkpoints").glob("ckpt-*.tmp"))


def newest(model_dir: Path) -> str:
    """The name of the newest checkpoint."""
    return max((path.name for path in (model_dir / "checkpoints").glob("ckpt-*[0-9]")), default="none")


def kill_once(
    run_command: list[str], signal_name: str, model_dir: Path, rng: random.Random, log: Path
) -> tuple[int, bool, bool]:
    """Starts the run and kills it some time after a checkpoint of this process; its status, whether inside of a save, and
    whether it was over before.
    """
    before, inside = newest(model_dir), rng.random() < 0.5
    with log.open("a") as output:
        run = subprocess.Popen(run_command, stdout=output, stderr=output, env=quiet())
        while run.poll() is None and newest(model_dir) == before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 1.0))
        until = time.monotonic() + 5.0
        while inside and run.poll() is None and not saving(model_dir) and time.monotonic() < until:
            pass
        was_saving, over = saving(model_dir), run.poll() is not None
        run.send_signal(getattr(signal, signal_name))
        return run.wait(), was_saving, over


def quiet() -> dict[str, str]:
    """The environment variables of a run."""
    return {**os.environ, "PYTHONPATH": str(Path(TRAINER).parents[1])}


def main() -> None:
    """Runs, kills, compares."""
    given = command_line()
    rng = random.Random(given.seed)
    directory = Path(tempfile.mkdtemp(prefix="polyrl-kills-"))
    whole, killed, log = directory / "whole", directory / "killed", directory / "log.txt"
    subprocess.run(
        command(whole, given.timesteps, given.env_backend),
        check=True,
        env=quiet(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    kills = inside = 0
    while kills < given.kills:
        killed_run = command(killed, given.timesteps, given.env_backend)
        status, was_saving, over = kill_once(killed_run, given.signal, killed, rng, log)
        if over:
            print(f"The run ended after {kills} kills; use more --timesteps.", flush=True)
            break
        kills, inside = kills + 1, inside + was_saving
        print(
            f"kill {kills}: status {status}, {'inside of a save' if was_saving else 'between saves'}, {newest(killed)}",
            flush=True,
        )
    subprocess.run(
        command(killed, given.timesteps, given.env_backend),
        check=True,
        env=quiet(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (name, expected), (other, found) = digest(whole), digest(killed)
    different = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
    print(f"{kills} kills by {given.signal}, {inside} of them inside of a save.")
    print(f"{name}, {other}: {len(expected)} variables and files, {len(different)} of them different.")
    if different or name != other:
        print("\n".join(sorted(different)))
        raise SystemExit(1)


if __name__ == "__main__":
    main()
