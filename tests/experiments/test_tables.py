"""Tables show names as they are: not as Rich's markup, and whole outside of a terminal."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from rich.table import Table

from polyrl import presets
from polyrl.experiments import report, tables
from polyrl.experiments.comparing import print_comparison

NAMES = ["[atari]", "[bold]runs[/bold]", "runs/[/]x", "runs/:bug:/1", "n" * 230, "a\\[b]"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is(capsys, name):
    table = Table(name, "other")
    table.add_row(name, "words of a text that may be broken " * 20)
    tables.show(table, f"of {name}")
    shown = capsys.readouterr().out
    assert shown.startswith(f"of {name}\n")
    assert shown.count(name) == 3


@pytest.mark.slow
def test_the_list_has_the_extras_and_whole_names():
    """`[atari]` was markup, and `cartpole_munchausen_dqn` was broken in the middle."""
    shown = subprocess.run([sys.executable, "-m", "polyrl", "--mode=list"], capture_output=True, text=True, check=True).stdout
    for name in (*presets.NAMES, "Atari, extra [atari]", "extra [minatar]", "extra [minigrid]", "Mnih et al. 2015:"):
        assert name in shown, name


def test_the_comparison_has_whole_names(tmp_path, capsys):
    runs = [tmp_path / f"[atari]-{'long' * 20}-{number}" for number in (1, 2)]
    for number, run in enumerate(runs):
        run.mkdir()
        params = {"env": "a_package.with_a_long_name:AnEnvironment-v0", "model": "munchausen_dqn", "seed": 1, "lr": number}
        (run / "params.json").write_text(json.dumps({"params": params}))
    print_comparison([str(tmp_path)])
    shown = capsys.readouterr().out
    for words in (*(run.name for run in runs), "a_package.with_a_long_name:AnEnvironment-v0", f"runs in {tmp_path}"):
        assert words in shown


def test_reports_show_paths_as_they_are(tmp_path, capsys):
    path = tmp_path / "[red]" / "ckpt-1"
    report.print_evaluation({"mean_reward": 1.0}, path, 3)
    report.print_videos({path: {"return": 1.0, "steps": 3}}, path)
    report.print_seeds({1: {"global_timestep": 1, "mean_reward": 1.0}}, "1", "1 to 1", path)
    assert capsys.readouterr().out.count(str(path)) == 4


def test_on_a_terminal_a_table_is_as_wide_as_that(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    table = Table()
    table.add_column("a", overflow="fold")
    table.add_row("x" * 90)
    tables.show(table)
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 7  # 90 letters in three lines.
    assert max(map(len, lines)) == 40


def test_a_narrow_terminal_breaks_a_path_and_does_not_cut_it(tmp_path, monkeypatch, capsys):
    """It ended with three dots."""
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    path = tmp_path / ("y" * 60)
    report.print_videos({path: {"return": 1.0, "steps": 3}}, path)
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).partition("\n")[2]
    assert max(map(len, shown.splitlines())) <= 50
    letters = "".join(line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│"))
    assert letters == str(path)
