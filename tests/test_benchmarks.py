"""The benchmarks' own logic, with workers that only pretend to measure; and polyrl's worker for a fraction of a second."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "scripts" / "benchmarks"


@pytest.fixture
def modules(monkeypatch):
    """The modules `measuring` and `rows`, imported as the scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import measuring
    import rows

    yield measuring, rows
    for name in ("measuring", "rows", "stopwatch", "results", "time_to_result", "growth"):
        sys.modules.pop(name, None)


def compare(modules, row, values, pairs=3, pythons=("polyrl", "peers"), tell=lambda worker, figures: None):
    """Measures with workers that give these values by their titles, again and again."""
    measuring, _ = modules
    streams = {title: itertools.cycle(given) for title, given in values.items()}

    def measure(worker):
        value = next(streams[worker.title])
        if value is None:
            raise measuring.WorkerError("it broke")
        return {"value": value}

    return measuring.measure_row(row, pairs, dict.fromkeys(pythons, "python"), measure, tell)


def make_row(rows, target=None, **arguments):
    peer = rows.Peer(rows.Worker("SB3", "peers", "sb3.py"), target)
    return rows.Row("a_row", rows.Worker("polyrl", "polyrl", "polyrl.py"), (peer,), **arguments)


def test_ratio_is_of_medians_and_sides_alternate(modules):
    order = []
    row = make_row(modules[1], target=4.0)
    values = {"polyrl": [100.0, 400.0, 90.0], "SB3": [20.0, 25.0, 1.0]}
    (line,) = compare(modules, row, values, tell=lambda worker, figures: order.append(worker.title))
    assert order == ["polyrl", "SB3"] * 3
    assert line.ratio == 5.0  # 100 / 20
    assert line.reached


@pytest.mark.parametrize(("target", "reached"), [(2.0, True), (2.5, False)])
def test_less_is_better_in_seconds(modules, target, reached):
    (line,) = compare(modules, make_row(modules[1], target, unit="s"), {"polyrl": [3.0], "SB3": [6.0]})
    assert line.ratio == 2.0
    assert line.reached is reached


@pytest.mark.parametrize(("value", "reached"), [(5.0, True), (5.1, False)])
def test_limit_holds_for_the_figure_itself(modules, value, reached):
    (line,) = compare(modules, make_row(modules[1], unit="s", limit=5.0), {"polyrl": [value], "SB3": [6.0]})
    assert line.reached is reached


def test_a_peer_without_a_python_is_left_out(modules):
    (line,) = compare(modules, make_row(modules[1], target=2.0), {"polyrl": [3.0]}, pythons=["polyrl"])
    assert line.theirs is None
    assert line.ratio is None
    assert line.reached is None
    assert line.ours.median == 3.0


def test_a_worker_that_fails_once_has_no_figure(modules):
    (line,) = compare(modules, make_row(modules[1], target=2.0), {"polyrl": [3.0], "SB3": [1.0, None]})
    assert line.theirs.error == "it broke"
    assert len(line.theirs.results) == 1
    assert line.ratio is None
    assert len(line.ours.results) == 3


def test_the_result_is_found_among_other_output(modules):
    measuring, _ = modules
    assert measuring.parse('WARNING\n{"value": 1.0}\n\n{"value": 2.5, "steps": 3}\n[1]\n12\nbye')["steps"] == 3
    with pytest.raises(measuring.WorkerError, match="no result"):
        measuring.parse("Traceback")


def test_a_failing_process_says_why(modules, tmp_path):
    measuring, rows = modules
    script = tmp_path / "worker.py"
    script.write_text("raise SystemExit('no such thing')")
    with pytest.raises(measuring.WorkerError, match="no such thing"):
        measuring.Processes({"polyrl": sys.executable}, core=-1)(rows.Worker("polyrl", "polyrl", str(script)))


SAYS_ITS_SURROUNDINGS = """
import json, os
names = [name for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "XLA_FLAGS") if name in os.environ]
path = os.environ["PYTHONPATH"].split(":")[0]
print(json.dumps({"value": 1, "threads": len(names), "cores": len(os.sched_getaffinity(0)), "path": path}))
"""


def test_one_core_and_one_thread_or_all_as_a_user_has_them(modules, tmp_path, monkeypatch):
    measuring, rows = modules
    for name in measuring.ONE_THREAD:
        monkeypatch.delenv(name, raising=False)
    script = tmp_path / "worker.py"
    script.write_text(SAYS_ITS_SURROUNDINGS)
    worker = rows.Worker("polyrl", "polyrl", str(script))
    pinned, unpinned, free = (measuring.Processes({"polyrl": sys.executable}, core)(worker) for core in (0, -1, None))
    everywhere = len(os.sched_getaffinity(0))
    assert [result["threads"] for result in (pinned, unpinned, free)] == [3, 3, 0]
    assert [result["cores"] for result in (pinned, unpinned, free)] == [1, everywhere, everywhere]


def test_another_checkout_is_measured_as_a_peer(modules, tmp_path):
    measuring, rows = modules
    script = tmp_path / "worker.py"
    script.write_text(SAYS_ITS_SURROUNDINGS)
    row = rows.against(rows.Row("a_row", rows.Worker("polyrl", "polyrl", str(script))))
    (before,) = row.peers
    processes = measuring.Processes({"polyrl": sys.executable, "baseline": sys.executable}, -1, "/a/checkout")
    assert processes(before.worker)["path"] == "/a/checkout"
    assert processes(row.worker)["path"] == str(BENCHMARKS)
    assert rows.against(rows.Row("another", rows.Worker("cpprb", "peers", "cpprb.py"))).peers == ()


def test_several_runs_at_the_same_time_count_with_their_mean(modules, tmp_path):
    """Each waits until both are there: one after the other they would wait for ever."""
    measuring, rows = modules
    script = tmp_path / "worker.py"
    script.write_text(
        "import json, os, pathlib, sys, time\n"
        "here = pathlib.Path(__file__).parent / 'here'\n"
        "here.mkdir(exist_ok=True)\n"
        "(here / str(os.getpid())).touch()\n"
        "while len(list(here.iterdir())) < 2: time.sleep(0.01)\n"
        "print(json.dumps({'value': sorted(os.listdir(here)).index(str(os.getpid()))}))\n"
    )
    processes = measuring.Processes({"polyrl": sys.executable}, None, together=2)
    assert processes(rows.Worker("polyrl", "polyrl", str(script)))["value"] == 0.5


def test_rows_by_name_and_group(modules):
    _, rows = modules
    assert [row.name for row in rows.select(["summaries", "startup"])] == [
        "startup",
        "summaries_dqn",
        "summaries_compiled",
    ]
    assert "replay_memory" not in [row.name for row in rows.select([])]
    with pytest.raises(ValueError, match="pongg"):
        rows.select(["pongg"])


@pytest.mark.slow
def test_the_worker_times_a_window(modules):
    measuring, rows = modules
    arguments = ("cartpole_dqn", "--warm_up=1100", "--seconds=0.2")
    result = measuring.Processes({"polyrl": sys.executable}, core=-1)(
        rows.Worker("polyrl", "polyrl", "polyrl_worker.py", arguments)
    )
    assert result["seconds"] >= 0.2
    assert result["value"] == pytest.approx(result["steps"] / result["seconds"])
    assert (result["summaries"], result["checkpoints"]) == (0, 0)


@pytest.mark.slow
def test_the_memory_is_filled_and_measured(modules):
    measuring, rows = modules
    arguments = ("--frames=3000", "--jit=off")
    result = measuring.Processes({"polyrl": sys.executable}, core=-1)(
        rows.Worker("polyrl", "polyrl", "polyrl_replay_memory.py", arguments)
    )
    assert 0.02 < result["value"] < 2.0
    assert 2_000 < result["stored"] <= 3_000


@pytest.mark.slow
def test_the_parts_of_the_engine_are_timed_against_plain_code(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import engine

    for name in ("TURNS", "CALLS", "ROUNDS"):
        monkeypatch.setattr(engine, name, 1)
    engine.main()
    lines = capsys.readouterr().out.splitlines()
    parts = {line.split(":")[0] for line in lines[1:]}
    assert parts == {"carried", "fused_step", "rows", "layout", "direct_call", "narrow_dense", "projection", "xla"}
    assert all(float(figure.rstrip("x")) > 0.0 for line in lines[1:] for figure in line.split()[-3:-1])
    sys.modules.pop("engine", None)


@pytest.mark.slow
def test_a_learning_run_that_a_signal_ends_has_no_result(tmp_path):
    """It is resumed by the next call; its weights so far are not those of the budget."""
    endless = ("--train_timesteps=1000000000", "--eval_frequency=1000000000", "--units=8", "--jit=off")
    command = [sys.executable, str(BENCHMARKS / "learning.py"), "--worker", "--config=cartpole_dqn", *endless]
    command += [f"--model_dir={tmp_path}", "--save_checkpoints_timesteps=1000", "--max_overhead=1", "--save_replay=false"]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        limit = time.monotonic() + 200
        while not list((tmp_path / "checkpoints").glob("ckpt-*")) and time.monotonic() < limit:
            time.sleep(0.2)
        done.send_signal(signal.SIGTERM)
        output, _ = done.communicate(timeout=90)
    finally:
        done.kill()
    assert (done.returncode, output) == (128 + signal.SIGTERM, "")


def test_the_optimum_of_the_pendulum_moves_as_gymnasium_does(monkeypatch):
    """Upright at rest, no torque is needed, and none is paid for."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pendulum_optimum

    found, velocity = pendulum_optimum.values(61, 51, 5)
    assert found[30, 25] == pytest.approx(0.0, abs=1e-6)
    assert velocity[25] == pytest.approx(0.0)
    starts = found[:-1, np.abs(velocity) <= 1.0]
    assert -155.0 < starts.mean() < -137.0  # A coarse grid loses some of the -138.
    env = gymnasium.make("Pendulum-v1").unwrapped
    env.reset(seed=0)
    for angle, speed, torque in [(0.5, -1.0, 1.5), (-2.0, 3.0, -2.0)]:
        env.state = np.array([angle, speed])
        _, reward, *_ = env.step(np.array([torque]))
        expected, faster, turned = pendulum_optimum.step(np.array(angle), np.array(speed), torque)
        assert reward == pytest.approx(expected, rel=1e-6)
        assert env.state == pytest.approx([turned, faster], rel=1e-6)
    sys.modules.pop("pendulum_optimum", None)


def test_a_run_that_never_gets_there_is_not_left_out(modules):
    import time_to_result

    def of(*seconds):
        return time_to_result.shown([{"value": value, "steps": 10 * (n + 1)} for n, value in enumerate(seconds)])

    assert of(3.0, 1.0, 2.0) == ("3 of 3", "2.0 (1.0..3.0)", "20")
    assert of(3.0, float("inf"), 2.0) == ("2 of 3", "3.0 (2.0..never)", "20")
    assert of(float("inf"), float("inf"), 2.0) == ("1 of 3", "never (2.0..never)", "20")


def test_what_one_more_costs_is_the_slope_between_two_sizes(modules):
    import growth

    rows = list(growth.table("actions", {2: [50.0, 52.0, 51.0], 4: [61.0, 60.0, 90.0], 12: [61.0]}).columns)
    assert list(rows[1].cells) == ["51 (50..52)", "61 (60..90)", "61 (61..61)"]
    assert list(rows[2].cells) == ["", "5e+03", "0"]


def test_sizes_take_turns(modules):
    import growth

    order = []

    def measure(worker):
        order.append(worker.title)
        return {"value": 1e6 / len(order)}

    found = growth.measured("num_envs", 2, measure, lambda text: None)
    assert order == [f"num_envs={value}" for value in growth.AXES["num_envs"].values] * 2
    assert found[4] == [2 * 4.0, 8 * 4.0]  # The second and the eighth; an iteration is four steps.


@pytest.mark.slow
def test_a_size_on_the_command_line_is_that_of_the_run(modules):
    measuring, rows = modules
    arguments = ("growing_c51", "--atoms=7", "--num_envs=4", "--update_frequency=4", "--warm_up=2100", "--seconds=0.2")
    worker = rows.Worker("polyrl", "polyrl", "polyrl_worker.py", arguments)
    assert measuring.Processes({"polyrl": sys.executable}, core=-1)(worker)["value"] > 0


@pytest.mark.slow
def test_the_time_to_a_result_begins_with_the_process(modules):
    measuring, rows = modules
    arguments = ("CartPole-v1", "--seed=101")
    worker = rows.Worker("polyrl", "polyrl", "polyrl_result.py", arguments)
    before = time.monotonic()
    result = measuring.Processes({"polyrl": sys.executable}, core=-1)(worker)
    assert 2.0 < result["value"] < time.monotonic() - before
    assert 2_500 <= result["steps"] <= 50_000
