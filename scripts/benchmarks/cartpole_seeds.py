"""Steps and seconds to solve CartPole-v1, for each script and seed: prints the table of docs/command_line.md.

    python scripts/benchmarks/cartpole_seeds.py [--seeds 1 2 3 4 5] [--scripts c51 dqn ddqn]

Each run is a process of its own: it trains until 20 evaluation episodes have a mean of 475 (100,000 environment steps at the
most), then evaluates its best checkpoint over 100 episodes. Seconds are of the whole process, start to end.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import subprocess
import sys
import tempfile
import time

ROOT = Path(__file__).resolve().parents[2]


def measure(script: str, seed: int, model_dir: Path, *flags: str) -> tuple[int, float, float]:
    """Environment steps trained, seconds, and the best checkpoint's mean reward over 100 episodes."""
    command = [sys.executable, str(ROOT / "experiments" / f"cartpole_{script}.py"), f"--seed={seed}", *flags]
    start = time.monotonic()
    subprocess.run([*command, f"--model_dir={model_dir}"], check=True, capture_output=True)
    seconds = time.monotonic() - start
    newest = max((model_dir / "checkpoints").glob("ckpt-*"), key=lambda path: path.name)
    steps = json.loads((newest / "state.json").read_text())["global_timestep"]
    import polyrl  # noqa: F401  Quiet: before TensorBoard imports TensorFlow.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(model_dir / "eval"), size_guidance={"tensors": 0})
    events.Reload()
    proto = events.Tensors("eval/mean_reward")[-1].tensor_proto
    return steps, seconds, float(proto.float_val[0] if proto.float_val else memoryview(proto.tensor_content).cast("f")[0])


def main() -> None:
    """Measures and prints one row per script and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="seeds of the runs (default: %(default)s)"
    )
    parser.add_argument(
        "--scripts", nargs="+", default=["c51", "dqn", "ddqn"], help="experiments/cartpole_<script>.py (default: %(default)s)"
    )
    arguments = parser.parse_args()
    print("| script | seed | environment steps | seconds | mean of 100 episodes |\n|---|---|---|---|---|", flush=True)
    for script in arguments.scripts:
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as directory:
                steps, seconds, reward = measure(script, seed, Path(directory) / "run")
            print(f"| {script} | {seed} | {steps:,} | {seconds:.0f} | {reward:.1f} |", flush=True)


if __name__ == "__main__":
    main()
