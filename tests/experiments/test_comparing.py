"""`--mode=compare`: runs side by side, and seeds together."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from polyrl.experiments.comparing import COLUMNS, find, grouped, print_comparison, row


@pytest.fixture
def runs(tmp_path):
    def write(name, config, rows, final=None):
        directory = tmp_path / name
        directory.mkdir(parents=True)
        (directory / "config.json").write_text(json.dumps(config))
        table = "global_timestep,mean_reward\n" + "".join(f"{step},{score}\n" for step, score in rows)
        (directory / "evaluations.csv").write_text(table)
        if final is not None:
            (directory / "eval").mkdir()
            (directory / "eval" / "evaluations.csv").write_text(f"global_timestep,mean_reward\n9,1.0\n{final[0]},{final[1]}\n")

    for seed, last in ((1, 20.0), (2, 40.0)):
        write(f"dqn/seed-{seed}", {"env": "A", "model": "dqn", "seed": seed}, [(10, 50.0), (20, last)], (10, 55.0 + seed))
    write("c51", {"env": "A", "model": "c51", "seed": 1}, [(10, 5.0)])
    write("naf", {"env": "B", "model": "naf", "seed": 1}, [])
    return tmp_path


def test_seeds_are_one_line_and_other_runs_their_own(runs):
    groups = grouped(find([str(runs)]))
    lines = {
        name.removeprefix(f"{runs}/"): dict(zip(COLUMNS, row(name, members), strict=True)) for name, members in groups.items()
    }
    assert [*lines] == ["c51", "dqn", "naf"]
    assert lines["dqn"]["seeds"] == "2"
    assert lines["dqn"]["steps"] == "20"
    assert lines["dqn"]["last evaluation"].startswith("30.0 (20.0 to 40.0")
    assert lines["dqn"]["best evaluation"].startswith("50.0 (50.0 to 50.0")
    assert lines["dqn"]["best weights"].startswith("56.5 (56.0 to 57.0")
    assert (lines["c51"]["last evaluation"], lines["c51"]["best weights"]) == ("5.0", "")
    assert (lines["naf"]["last evaluation"], lines["naf"]["steps"]) == ("", "0")


def test_a_directory_given_twice_counts_once(runs):
    assert len(find([str(runs / "dqn"), str(runs)])) == 4


def test_two_configurations_in_one_directory_are_two_lines(runs):
    for seed in (1, 2):
        config = json.loads((runs / "dqn" / f"seed-{seed}" / "config.json").read_text())
        (runs / "dqn" / f"other-{seed}").mkdir()
        (runs / "dqn" / f"other-{seed}" / "config.json").write_text(json.dumps({**config, "n_step": 3}))
    assert [len(members) for members in grouped(find([str(runs / "dqn")])).values()] == [2, 2]


def test_where_there_is_nothing_it_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no run below"):
        print_comparison([str(tmp_path)])
    with pytest.raises(FileNotFoundError, match="there is no such directory"):
        print_comparison([str(tmp_path / "none")])


def test_the_command_prints_the_table(runs):
    command = [sys.executable, "-m", "polyrl", "--mode=compare", f"--runs={runs / 'dqn'},{runs / 'c51'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env={"COLUMNS": "200", "PATH": ""})
    assert done.returncode == 0, done.stderr
    assert "30.0 (20.0 to 40.0)" in done.stdout
    assert "c51" in done.stdout
