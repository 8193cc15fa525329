"""`--seeds`: a process for each, and what they come to together."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from polyrl.experiments import processes, report, seeds
from polyrl.flags.seeds import checked

PROGRAM = """
import os, pathlib, sys, time
flags = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:])
seed, model_dir = int(flags["seed"]), pathlib.Path(flags["model_dir"])
model_dir.mkdir(parents=True)
(model_dir / "flags").write_text(repr(sys.argv[1:]) + os.environ["TF_NUM_INTRAOP_THREADS"])
(model_dir / "began").write_text(str(time.time()))
time.sleep(float(flags["sleep"]))
(model_dir / "ended").write_text(str(time.time()))
print("what it shows")
if flags.get("fails") == flags["seed"]:
    sys.exit("ValueError: of this seed\\n  a: 1 there, 2 now\\nUse the same.\\n(--debug shows the traceback.)")
(model_dir / "eval").mkdir()
rows = f"global_step,global_timestep,mean_reward\\n9,10,0.0\\n99,100,{10.0 * seed}\\n"
(model_dir / "eval" / "evaluations.csv").write_text(rows)
"""


def command(*flags: str, sleep: float = 0.0) -> list[str]:
    return [sys.executable, "-c", PROGRAM, f"--sleep={sleep}", *flags]


def times(model_dir: Path, seed: int) -> tuple[float, float]:
    began, ended = (float((model_dir / f"seed-{seed}" / name).read_text()) for name in ("began", "ended"))
    return began, ended


def test_each_seed_is_a_run_and_the_table_has_the_mean_and_its_interval(tmp_path, capsys):
    seeds.run(command("--seeds=1,2,3,4"), [1, 2, 3, 4], tmp_path, 4)
    shown = " ".join(capsys.readouterr().out.split())
    assert "mean │ │ 25.000" in shown
    # The bootstrap of four scores 10, 20, 30, 40: every mean of four draws, enumerated.
    means = np.array(np.meshgrid(*4 * [[10.0, 20.0, 30.0, 40.0]])).reshape(4, -1).mean(axis=0)
    low, high = (float(bound) for bound in shown.split("95 % interval │ │ ")[1].split(" │")[0].split(" to "))
    assert (low, high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=1.3)
    with open(tmp_path / "seeds.csv") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["seed", "global_timestep", "mean_reward"],
        *([str(n), "100", str(10.0 * n)] for n in (1, 2, 3, 4)),
    ]
    assert "what it shows" in (tmp_path / "seed-2.log").read_text()
    flags = (tmp_path / "seed-2" / "flags").read_text()
    assert flags.endswith(f"'--seeds=', '--seed=2', '--model_dir={tmp_path}/seed-2']1")


@pytest.mark.parametrize("jobs", [1, 2])
def test_so_many_run_side_by_side(tmp_path, jobs):
    seeds.run(command(sleep=0.5), [5, 6], tmp_path, jobs)
    (began_first, ended_first), (began_second, ended_second) = (times(tmp_path, seed) for seed in (5, 6))
    overlap = min(ended_first, ended_second) - max(began_first, began_second)
    assert (overlap > 0.0) is (jobs == 2)


def test_one_that_fails_is_told_and_the_others_count(tmp_path, capsys, caplog):
    with pytest.raises(SystemExit) as error:
        seeds.run(command("--fails=2"), [1, 2, 3], tmp_path, 1)
    assert error.value.code == 1
    assert "Seed 2 ended with exit status 1: ValueError: of this seed\n  a: 1 there, 2 now\nUse the same.\n" in caplog.text
    assert "2 seeds in" in capsys.readouterr().out
    assert (tmp_path / "seeds.csv").read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("given", "mode", "seed", "message"),
    [
        (["1", "x"], "train_and_eval", False, "--seeds=1,x must be integers"),
        (["-1"], "eval", False, "must be integers of at least 0"),
        (["1", "1"], "eval", False, "has a seed twice"),
        (["1"], "train", False, "no effect with --mode=train: it needs --mode=train_and_eval or --mode=eval"),
        (["1"], "eval", True, "--seed has no effect with --seeds=1"),
    ],
)
def test_what_makes_no_sense_is_refused(given, mode, seed, message):
    with pytest.raises(ValueError, match=message):
        checked(given, mode, seed)
    assert checked(["3", " 12"], "eval", False) == [3, 12]


def test_half_a_row_is_not_read(tmp_path):
    file = tmp_path / "evaluations.csv"
    assert processes.evaluations(file) == []
    file.write_text("global_timestep,mean_reward,metric\n10,1.5,\n20,2.")
    assert processes.evaluations(file) == [{"global_timestep": 10.0, "mean_reward": 1.5}]


@pytest.mark.slow
def test_a_signal_ends_the_runs_and_then_this(tmp_path):
    code = (
        f"from polyrl.experiments import seeds; seeds.run({command(sleep=60.0)!r}, [1, 2], pathlib.Path({str(tmp_path)!r}), 2)"
    )
    process = subprocess.Popen([sys.executable, "-c", f"import pathlib; {code}"])
    while not all((tmp_path / f"seed-{seed}" / "began").exists() for seed in (1, 2)):
        time.sleep(0.1)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    assert not any((tmp_path / f"seed-{seed}" / "ended").exists() for seed in (1, 2))


STARTS = """
import pathlib, runpy, subprocess, sys, time
processes = runpy.run_path(sys.argv[1])  # Without the package, which takes seconds to import.
child = 'import os, runpy, sys, time; runpy.run_path(sys.argv[1])["end_with_starter"]()'
child += "; print(os.environ.get('POLYRL_STARTED_BY')); print('begun', flush=True); time.sleep(60)"
started = processes["start"]([sys.executable, "-c", child, sys.argv[1]], pathlib.Path(sys.argv[2]))
print(started.pid, flush=True)
time.sleep(60)
"""


def is_running(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # Ended, and nobody has asked for its status.


def wait_for(what, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_a_run_ends_when_what_started_it_is_killed(tmp_path):
    """The runs of `--seeds` went on for hours, and nobody knew."""
    log = tmp_path / "log"
    command = [sys.executable, "-c", STARTS, processes.__file__, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        child = int(starter.stdout.readline())
        try:
            wait_for(lambda: "begun" in log.read_text())
            time.sleep(1.5 * processes.LOOKS)
            assert is_running(child)
            starter.kill()
            wait_for(lambda: not is_running(child))
        finally:
            starter.kill()
            if is_running(child):
                os.kill(child, signal.SIGKILL)
    assert log.read_text() == "None\nbegun\nThe process that started this run is gone: it ends as by SIGTERM.\n"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_the_runs_of_a_killed_command_end_with_a_checkpoint(tmp_path):
    flags = (
        f"--model_dir={tmp_path}",
        "--seeds=1,2",
        "--jobs=2",
        "--jit=off",
        "--train_timesteps=100000000",
        "--eval_episodes=3",
    )
    command = [sys.executable, "-m", "polyrl", "--env=Acrobot-v1", "--eval_frequency=100000000", *flags]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=Path(__file__).resolve().parents[2])
    logs = [tmp_path / f"seed-{seed}.log" for seed in (1, 2)]
    try:
        wait_for(lambda: all((tmp_path / f"seed-{seed}" / "config.json").exists() for seed in (1, 2)), 120.0)
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: all("Training ended" in log.read_text() for log in logs), 60.0)
    for seed in (1, 2):
        assert list((tmp_path / f"seed-{seed}" / "checkpoints").glob("ckpt-*"))


@pytest.mark.slow
def test_the_programs_take_it(tmp_path):
    script = Path(__file__).resolve().parents[2] / "experiments" / "cartpole_dqn.py"
    tiny = ("--jit=off", "--train_timesteps=300", "--first_update=128", "--eval_episodes=3", "--eval_frequency=200")
    arguments = (f"--model_dir={tmp_path}", "--seeds=1,2", "--jobs=2", *tiny)
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert "2 seeds in" in done.stdout
    first, second = ((tmp_path / f"seed-{seed}" / "eval" / "evaluations.csv").read_text() for seed in (1, 2))
    assert first != second
    again = subprocess.run([sys.executable, str(script), f"--model_dir={tmp_path}/seed-1", "--jobs=2"], capture_output=True)
    assert b"--jobs=2 has no effect without --seeds" in again.stderr


def test_an_interruption_that_the_shell_has_switched_off_is_obeyed(tmp_path):
    """As of what a script starts in the background; minutes were lost."""

    def interrupted():
        with processes.ended_with_this([]):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1.0)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as end:
            interrupted()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert end.value.code == 128 + signal.SIGINT


def test_whoever_interrupts_runs_is_told_that_the_same_command_goes_on_with_them(caplog):
    """It ended without a word."""
    caplog.set_level("INFO", "polyrl")
    with processes.ended_with_this([]):
        pass
    assert caplog.messages == []

    def interrupted():
        with processes.ended_with_this([subprocess.Popen(["sleep", "60"])]):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1.0)

    with pytest.raises(SystemExit) as end:
        interrupted()
    assert end.value.code == 128 + signal.SIGTERM
    assert caplog.messages == ["Interrupted: the runs under way end with a checkpoint. The same command goes on with them."]


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_of_one_seed_there_is_no_interval(capsys, seeds):
    """It went from the mean to the mean."""
    results = {seed: {"global_timestep": 100.0, "mean_reward": 10.0 * seed} for seed in seeds}
    report.print_seeds(results, "10.000", "10.000 to 20.000", Path("runs"))
    assert ("95 % interval" in capsys.readouterr().out) == (len(seeds) > 1)
