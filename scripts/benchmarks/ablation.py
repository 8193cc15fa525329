"""What each part of Rainbow is worth: `python scripts/benchmarks/ablation.py cartpole_rainbow --seeds 1 2 3 4 5`.

Rainbow, and Rainbow without each of its parts in turn (Hessel et al. 2018, figure 3), by a preset of Rainbow. Runs and results
are those of `learning.py`, in `<directory>/results.jsonl`; the table is that of `scripts/plot.py --table`.
"""

from __future__ import annotations

import subprocess
import sys

import learning  # type: ignore[import-not-found]

PARTS: dict[str, list[str]] = {
    "all parts": [],
    "without double": ["--nodouble"],
    "without dueling": ["--dueling=none"],
    "without noise": ["--nonoisy"],
    "without n-step": ["--n_step=1"],
    "without priorities": ["--noprioritized"],
    "without distribution": ["--model=dqn", "--double", "--noisy"],
}
"""The flags that take a part away. Without noise, a model explores as the exploration flags of the preset say."""


def wanted(presets: list[str], seeds: list[int]) -> list[tuple[str, int, str, list[str]]]:
    """Preset, seed, label and flags of each run; the seeds come last, so that all variants have the first one early."""
    return [(preset, seed, f"{preset} {part}", flags) for preset in presets for seed in seeds for part, flags in PARTS.items()]


def main() -> None:
    """Runs what is missing, and shows the table."""
    presets = "presets of Rainbow, as polyrl --mode=list shows them"
    parser = learning.argument_parser(__doc__, presets, learning.ROOT / "runs" / "ablation")
    arguments = parser.parse_args()
    runs = wanted(arguments.presets, arguments.seeds)
    learning.complete(runs, arguments.directory, arguments.jobs)
    labels = list(dict.fromkeys(label for _, _, label, _ in runs))
    table = [sys.executable, str(learning.ROOT / "scripts" / "plot.py"), "--table"]
    subprocess.run([*table, str(arguments.directory / "results.jsonl"), "--labels", *labels], check=True)


if __name__ == "__main__":
    main()
