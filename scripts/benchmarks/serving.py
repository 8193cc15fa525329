"""Measures the server of `--mode=serve` on one core, beside the same SavedModel called in its process.

    taskset -c 1 .venv/bin/python scripts/benchmarks/serving.py

Client and server are two processes on that core, with one connection that is kept; a request is sent when the one before is
answered. Three things are measured in turn, in as many rounds as asked for: the signature called with arrays (`call`), with
the reading and writing of JSON (`json`), and over HTTP (`http`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
import http.client
import json
import os
from pathlib import Path
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

KINDS = ("dqn", "c51")
"""The names of `MODELS`."""


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=KINDS, default=[*KINDS], help="what is served (default: %(default)s)")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32], help="states in a request (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each of the three (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="seconds of each of the three in a round (default: %(default)s)"
    )
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    command_line()  # --help is answered before TensorFlow is imported.

import numpy as np
import polyrl  # noqa: F401  Before TensorFlow, for a quiet start.
from polyrl import Agent, CategoricalDQNModel, DQNModel, RunConfig, UniformReplay
from polyrl.networks import mlp
from polyrl.serving.formats import caller
from polyrl.serving.served_model import ServedModel
from polyrl.serving.server import ModelServer, serve_until_signalled

MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "dqn": (DQNModel, {}),
    "c51": (CategoricalDQNModel, {"num_atoms": 51, "min_q_value": 0.0, "max_q_value": 200.0}),
}


def export(kind: str, path: Path) -> None:
    """A model of CartPole with two layers of 64 units, hardly trained."""
    model_class, arguments = MODELS[kind]

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        return model_class(mode, mlp([64, 64]), 4, 2, summaries=[], **arguments)(features, labels)

    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(progress=False, jit="off", save_summary_timesteps=None)
        agent = Agent(model_fn, UniformReplay(200, 32), folder, config)
        agent.train("CartPole-v1", first_update=50, max_timesteps=60)
        agent.predictor().export(path)


def serve(path: Path) -> None:
    """The server's process: says its port on a line."""
    server = ModelServer(ServedModel("policy", path), port=0)
    print(server.server_port, flush=True)
    serve_until_signalled(server)


def requests(path: Path, port: int, states: np.ndarray) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is measured, by name."""
    call, model = caller("saved_model", path), ServedModel("policy", path)
    body = json.dumps({"instances": states.tolist()}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def over_http() -> Any:
        connection.request("POST", "/v1/models/policy:predict", body)
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200 or len(answer["predictions"]) != len(states):
            raise RuntimeError(f"{response.status}: {answer}")

    yield "call", lambda: call({"state": states})
    yield "json", lambda: model.predict(body)
    yield "http", over_http


def seconds_of(request: Callable[[], Any], seconds: float) -> np.ndarray:
    """How long each request took, one after the other for that long."""
    taken, end = [], time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        request()
        taken.append(time.perf_counter() - begun)
    return np.array(taken)


def cpu_seconds(*processes: int) -> float:
    """What processes have used of the processor."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(kind: str, batch: int, rounds: int, seconds: float) -> None:
    """Prints a row for each of the three."""
    states = np.random.default_rng(0).normal(0.0, 0.1, [batch, 4]).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "1"
        export(kind, path)
        command = [sys.executable, __file__, "--serve", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            measured = dict(requests(path, int(server.stdout.readline()), states))
            taken: dict[str, list[np.ndarray]] = {name: [] for name in measured}
            shares: dict[str, list[float]] = {name: [] for name in measured}
            for request in measured.values():
                seconds_of(request, 1.0)
            for _ in range(rounds):
                for name, request in measured.items():
                    before, begun = cpu_seconds(os.getpid(), server.pid), time.perf_counter()
                    taken[name].append(seconds_of(request, seconds))
                    spent = time.perf_counter() - begun
                    shares[name].append((cpu_seconds(os.getpid(), server.pid) - before) / spent)
            server.terminate()
    for name in measured:
        rates = [len(each) / each.sum() for each in taken[name]]
        milliseconds = 1e3 * np.concatenate(taken[name])
        p50, p99 = np.percentile(milliseconds, [50, 99])
        rate = f"{statistics.median(rates):,.0f} ({min(rates):,.0f}..{max(rates):,.0f})"
        print(f"| {kind} | {batch} | {name} | {rate} | {p50:.2f} | {p99:.2f} | {min(shares[name]):.0%} |", flush=True)


def main() -> None:
    """Reads the command line and measures."""
    given = command_line()
    if given.serve is not None:
        serve(given.serve)
        return
    print(
        "| model | states in a request | what | requests a second: median (min..max) | p50, ms | p99, ms | least of the core |"
    )
    print("|---|---|---|---|---|---|---|")
    for kind in given.models:
        for batch in given.batches:
            measure(kind, batch, given.rounds, given.seconds)


if __name__ == "__main__":
    main()
