"""What each stage of a run with actors costs: `python scripts/benchmarks/stages.py minatar_breakout_dqn`, for docs/scale.md.

    python scripts/benchmarks/stages.py minatar_breakout_dqn [--updates 500] [--write costs.json] [-- --num_envs=8]

The run is done in one process, one stage after another, with the preset's settings; flags after `--` go to the command
`polyrl`. What a message to another process takes is measured with Ray. `scripts/simulate_actors.py` computes from the file
what many actors and learners would do.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import statistics
import sys
import tempfile
import time
from typing import Any

WARM_UP = 100
"""Updates before those that are measured."""


class Nothing:
    """Answers with so many bytes."""

    def ask(self, size: int) -> bytes:
        """What a message costs that is about nothing."""
        return bytes(size)

    def used(self) -> tuple[int, float]:
        """The process, and the seconds of a core that it has used."""
        return os.getpid(), time.process_time()


def messages(chunk: int, count: int = 200) -> dict[str, list[float]]:
    """Seconds that calls of a process of Ray take which does nothing.

    `answer`: until the answer is there. `message`: those in which the learner asks, and takes an answer that is there;
    `called`: those of a core that the process which is asked needs; `ray`: those of Ray's own processes. `fetch`,
    `called_fetch`, `ray_fetch`: the same with an answer of the size of a chunk.
    """
    from polyrl.distributed.cluster import Asked, connected

    found: dict[str, list[float]] = {"answer": [], "message": [], "fetch": []}
    with connected(None, 1) as cluster:
        process = cluster.start(Nothing)

        def one(size: int) -> float:
            """Seconds of the learner for a call; its answer is there when it looks for it."""
            started = time.perf_counter()
            cluster.expect(process.ask.remote(size), Asked("ask", 0, 0))
            asked = time.perf_counter() - started
            time.sleep(0.01)
            started = time.perf_counter()
            while not cluster.ready(0.0):
                started = time.perf_counter()
            return asked + time.perf_counter() - started

        cluster.get(process.used.remote())  # It is there.
        for _ in range(count):
            started = time.perf_counter()
            cluster.expect(process.ask.remote(7), Asked("ask", 0, 0))
            cluster.ready(10.0)
            found["answer"].append(time.perf_counter() - started)
        for name, of_process, of_ray, size in (("message", "called", "ray", 7), ("fetch", "called_fetch", "ray_fetch", chunk)):
            for _ in range(20):
                one(size)
            (number, used), idle = cluster.get(process.used.remote()), others()
            began = time.perf_counter()
            time.sleep(2.0)
            waited = time.perf_counter() - began
            (_, used_idle), others_idle = cluster.get(process.used.remote()), others()
            began = time.perf_counter()
            found[name] = [one(size) for _ in range(count)]
            share = (time.perf_counter() - began) / waited  # What they do while nothing is asked goes on.
            (_, used_after), others_after = cluster.get(process.used.remote()), others()
            found[of_process] = [(used_after - used_idle - share * (used_idle - used)) / count]
            mine = {other for other in others_after if other != number and other in idle}
            of_others = sum(others_after[it] - others_idle[it] - share * (others_idle[it] - idle[it]) for it in mine)
            found[of_ray] = [max(of_others, 0.0) / count]
    return found


def others() -> dict[int, float]:
    """The seconds of a core that each process has used which this one, or one of its descendants, has started."""
    parents, used, tick = {}, {}, os.sysconf("SC_CLK_TCK")
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(directory.name)], used[int(directory.name)] = int(fields[1]), (int(fields[11]) + int(fields[12])) / tick

    def is_mine(process: int) -> bool:
        parent = parents.get(process, 0)
        return parent == os.getpid() or (parent > 1 and is_mine(parent))

    return {process: seconds for process, seconds in used.items() if is_mine(process)}


def stages(flags: list[str], updates: int) -> dict[str, Any]:
    """Seconds of each call by stage, how many environment steps, batches and bytes it is about, and the schedule."""
    import polyrl  # noqa: F401  Before TensorFlow.
    from polyrl.distributed import actor_loop, chunks, remote_actors
    from polyrl.distributed.local_cluster import LocalCluster
    from polyrl.estimators.hooks import Hook
    from polyrl.experiments import cli, family
    from polyrl.flags import command

    names = ("learn", "learned", "publish", "elsewhere", "block_bytes", "chunk_bytes")
    found: dict[str, list[float]] = {name: [] for name in names}
    clusters: list[LocalCluster] = []

    class Kept(LocalCluster):
        """The run's cluster, and the sizes of what it sends."""

        def __init__(self) -> None:
            super().__init__()
            clusters.append(self)

        def ready(self, seconds: float) -> list[tuple[Any, Any]]:
            ended = super().ready(seconds)
            found["block_bytes"] += [len(asked.what.value) for asked, _ in ended if asked.name == "collect"]
            found["chunk_bytes"] += [len(result) for asked, result in ended if asked.name == "sample"]
            return ended

    class Loop(actor_loop.ActorLoop):
        """Notes how long updates and publications take, and what other processes would do."""

        def _learn(self, timesteps: int, episodes: int) -> Any:
            started = time.perf_counter()
            result = super()._learn(timesteps, episodes)
            found["learn"].append(time.perf_counter() - started)
            found["learned"].append(result[0])
            return result

        def _packed_weights(self) -> bytes:
            started = time.perf_counter()
            weights = super()._packed_weights()
            found["publish"].append(time.perf_counter() - started)
            found["weights_bytes"] = [len(weights)]
            return weights

        def _look(self, seconds: float) -> None:
            started = time.perf_counter()
            super()._look(seconds)
            found["elsewhere"].append(time.perf_counter() - started)

        def _count_block(self, timestep: int, episodes: list[Any]) -> int:
            started = time.perf_counter()
            steps = super()._count_block(timestep, episodes)
            found["elsewhere"].append(time.perf_counter() - started)
            return steps

    class WarmedUp(Hook):
        """Forgets what was measured before, and notes what of the time since then was none of the stages."""

        begun: float | None = None

        def after_act(self, run: Any) -> None:
            if self.begun is not None:
                timed = [found[name] for name in ("learn", "publish", "elsewhere")] + [clusters[0].seconds["set_weights"]]
                # What the learner does besides: counters, hooks, and summaries, which it would write in any run.
                found["rest"] = [time.perf_counter() - self.begun - sum(map(sum, timed))]
                found["rest_updates"] = [sum(found["learned"])]
            elif run.step >= WARM_UP:
                clusters[0].seconds.clear()
                for values in found.values():
                    values.clear()
                self.begun = time.perf_counter()

    remote_actors.LocalCluster, remote_actors.ActorLoop = Kept, Loop  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as directory:
        off = ["--progress=false", "--save_checkpoints_timesteps=1000000000", "--threads=1", f"--model_dir={directory}"]
        cli.FLAGS([sys.argv[0], "--actors=1", *off, *flags])
        command.settle()
        experiment: Any = family.experiment_fn(cli.FLAGS.model_dir)
        experiment.env.in_process = True
        experiment.agent.train(experiment.env, hooks=[WarmedUp()], **{**experiment.training, **budget(updates)})
    found["decode"] = decoding(int(statistics.median(found["chunk_bytes"])))
    found |= dict(clusters[0].seconds)
    params, env, memory = experiment.agent.params, experiment.env, experiment.agent.memory
    about = {
        "flags": flags,
        "block_steps": env.steps * env.num_envs,
        "chunk": memory.chunk,
        "publish_every": env.publish_every,
        "updates_per_step": params.updates_at_once / params.update_frequency,
        "ahead": chunks.AHEAD,
    }
    return {"about": about, "found": found}


def budget(updates: int) -> dict[str, Any]:
    """That of the measurement in place of the run's own."""
    return {"timesteps": None, "episodes": None, "steps": updates + WARM_UP, "first_update": 1_000}


def decoding(size: int) -> list[float]:
    """Seconds that it takes to take bytes apart, and to hand them to TensorFlow."""
    import numpy as np
    from polyrl.distributed.wire import pack, unpack
    import tensorflow as tf

    packed, found = pack({"batch": np.zeros(size, np.uint8)}), []
    for _ in range(50):
        started = time.perf_counter()
        tf.constant(unpack(packed)[0]["batch"])
        found.append(time.perf_counter() - started)
    return found


def costs(measured: dict[str, Any]) -> dict[str, Any]:
    """Of each stage mean and spread in microseconds, for one environment step or one update; and sizes."""
    about, found = measured["about"], measured["found"]
    chunk, block = about["chunk"], about["block_steps"]
    learned = statistics.mean(found["learned"])
    per = {
        "act": (found["collect"], block),
        "insert": (found["insert"], block),
        "sample": (found["sample"], chunk),
        "decode": (found["decode"], chunk),
        "update": ([statistics.mean(found["learn"])], learned),
        "rest": (found["rest"], found["rest_updates"][0]),
        "publish": (found["publish"], 1),
        "take_weights": (found["set_weights"], 1),
        **{name: (seconds, 1) for name, seconds in measured["messages"].items()},
    }
    if "update_priorities" in found:
        per["priorities"] = (found["update_priorities"], chunk)
    shown = {name: spread([1e6 * second / count for second in seconds]) for name, (seconds, count) in per.items()}
    sizes = {
        "bytes_per_step": statistics.median(found["block_bytes"]) / block,
        "bytes_per_batch": statistics.median(found["chunk_bytes"]) / chunk,
        "bytes_of_weights": found["weights_bytes"][0],
    }
    return {**about, "microseconds": shown, **sizes}


def spread(values: list[float]) -> list[float]:
    """Mean, and the tenth and ninetieth percentile. What many calls take together is their mean."""
    ordered = sorted(values)
    return [statistics.mean(ordered), ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]]


def main() -> None:
    """Measures, prints a table, and writes it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", help="of which model and environment are, as polyrl --mode=list shows them")
    parser.add_argument("--updates", type=int, default=500, help="gradient updates that are measured (default: %(default)s)")
    parser.add_argument("--write", type=Path, help="file for the costs, JSON (default: none)")
    own, flags = sys.argv[1:], []
    if "--" in own:
        own, flags = own[: own.index("--")], own[own.index("--") + 1 :]
    arguments = parser.parse_args(own)
    measured = stages([f"--config={arguments.preset}", *flags], arguments.updates)
    measured["messages"] = messages(int(statistics.median(measured["found"]["chunk_bytes"])))
    result = costs(measured)
    print("| stage | microseconds: mean (10 % .. 90 %) |\n|---|---|")
    for name, (mean, low, high) in result["microseconds"].items():
        print(f"| {name} | {mean:.0f} ({low:.0f} .. {high:.0f}) |")
    print({name: value for name, value in result.items() if name != "microseconds"})
    if arguments.write is not None:
        arguments.write.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
