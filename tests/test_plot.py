"""`scripts/plot.py`: interquartile means and their intervals."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

SPEC = importlib.util.spec_from_file_location("plot_script", Path(__file__).resolve().parents[1] / "scripts" / "plot.py")
plot = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(plot)


def test_the_interquartile_mean_leaves_out_a_quarter_on_each_side():
    assert plot.interquartile_mean(np.array([100.0, 1.0, 2.0, -50.0])) == pytest.approx(1.5)
    assert plot.interquartile_mean(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 80.0])) == pytest.approx(4.5)
    # Of five, the second and the fourth count by three quarters: (0.75 * 2 + 3 + 0.75 * 4) / 2.5.
    assert plot.interquartile_mean(np.array([1.0, 2.0, 3.0, 4.0, 50.0])) == pytest.approx(3.0)
    assert plot.interquartile_mean(np.array([1.0, 2.0, 3.0, 7.0, 50.0])) == pytest.approx((1.5 + 3 + 5.25) / 2.5)


def test_the_interval_holds_the_mean_and_shrinks_with_the_number_of_seeds():
    rng = np.random.default_rng(0)
    widths = []
    for seeds in (5, 80):
        scores = rng.normal(size=[3, seeds])
        low, high = plot.interval(scores)
        assert ((low <= plot.interquartile_mean(scores)) & (plot.interquartile_mean(scores) <= high)).all()
        widths.append((high - low).mean())
    assert widths[1] < 0.5 * widths[0]


def test_curves_are_those_of_all_seeds_as_far_as_all_have_come():
    results = [{"label": "a", "curve": [[10, 1.0], [20, 2.0]]}, {"label": "a", "curve": [[10, 3.0]]}]
    steps, scores = plot.curves(results, "a")
    assert steps.tolist() == [10]
    assert scores.tolist() == [[1.0, 3.0]]
    with pytest.raises(SystemExit, match="no results of b"):
        plot.curves(results, "b")


def test_a_table_has_the_mean_and_the_interval_of_each_score():
    results = [
        {"label": "a", "final": 4.0 * seed, "best": 10.0, "curve": [[10, 1.0], [20, 2.0 * seed]]} for seed in range(1, 5)
    ]
    (row,) = plot.table(results, ["a"]).splitlines()[2:]
    name, seeds, final, best, way = [cell.strip() for cell in row.strip("|").split("|")]
    assert (name, seeds, best) == ("a", "4", "10.0 (10.0..10.0)")
    low, high = plot.interval(np.array([[4.0, 8.0, 12.0, 16.0]]))
    assert final == f"10.0 ({low[0]:.1f}..{high[0]:.1f})"
    assert way.startswith("3.0 (")  # (1 + 2 * seed) / 2 of the seeds 2 and 3.


def run(monkeypatch, *arguments):
    """The program with these arguments: the message that it ends with, or None."""
    monkeypatch.setattr(sys, "argv", ["plot.py", *map(str, arguments)])
    try:
        plot.main()
    except SystemExit as end:
        return str(end.code)
    return None


WHOLE = {"label": "a", "final": 1.0, "best": 2.0, "curve": [[10, 1.0]]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("one\n", "line 1 is not a result"),
        ("[]\n", "line 1 is not a result"),
        (b"\xff\xfe", "line 1 is not a result"),
        *(
            (json.dumps(WHOLE) + "\n" + json.dumps({**WHOLE, name: value}) + "\n", "line 2 is not a result")
            for name, value in [("curve", []), ("curve", [1, 2]), ("label", 3), ("final", None), ("best", float("nan"))]
        ),
    ],
)
def test_an_odd_file_is_told_in_one_message(monkeypatch, tmp_path, content, told):
    file = tmp_path / "results.jsonl"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = run(monkeypatch, file, "--table")
    assert message.startswith(f"ValueError: {file}")
    assert told in message
    assert "\n" not in message


def test_directories_of_runs_are_drawn_those_of_seeds_together(monkeypatch, tmp_path, capsys):
    def write(name, seed, curve):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "params.json").write_text(
            json.dumps({"params": {"env": "A", "model": "dqn"}, "config": {"seed": seed}})
        )
        rows = "".join(f"{step},{reward}\n" for step, reward in curve)
        (tmp_path / name / "evaluations.csv").write_text(f"global_timestep,mean_reward\n{rows}")

    write("dqn/seed-1", 1, [(10, 1.0), (20, 3.0)])
    write("dqn/seed-2", 2, [(10, 3.0), (20, 9.0), (30, 5.0)])
    write("c51", 1, [(10, 7.0)])
    write("begun", 1, [])
    assert run(monkeypatch, tmp_path / "dqn", tmp_path / "c51", tmp_path / "begun", "--table") is None
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == ["c51", "dqn"]
    assert "| 2 | 4.0 (" in rows[1]  # 3 and 5 at the end.
    assert "| 6.0 (" in rows[1]  # 3 and 9 at best.


def test_files_that_cannot_be_read_or_written_are_told_in_one_message(monkeypatch, tmp_path):
    (tmp_path / "missed").mkdir()
    told = run(monkeypatch, tmp_path / "missing")
    assert told == (
        f"FileNotFoundError: {tmp_path / 'missing'}: there is no such file or directory. Did you mean '{tmp_path / 'missed'}'?"
    )
    assert run(monkeypatch, tmp_path) == f"ValueError: No run in {tmp_path} has been evaluated while it trained."
    file = tmp_path / "results.jsonl"
    file.write_text(json.dumps(WHOLE))
    assert run(monkeypatch, file, "--labels", "b") == "There are no results of b; there are ['a']."
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'polyrl[plot]'" in run(monkeypatch, file)


@pytest.mark.slow
def test_curves_are_drawn(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    file, image = tmp_path / "results.jsonl", tmp_path / "curves.png"
    file.write_text(json.dumps(WHOLE))
    assert run(monkeypatch, file, "--output", image) is None
    assert image.read_bytes().startswith(b"\x89PNG")
    assert run(monkeypatch, file, "--output", tmp_path / "nowhere" / "curves.png").startswith("FileNotFoundError: ")
    assert run(monkeypatch, file, "--output", tmp_path / "curves.txt").startswith("ValueError: ")


def test_seeds_are_compared_where_all_were_evaluated():
    results = [{"label": "a", "seed": seed, "curve": curve} for seed, curve in enumerate([[[5, 1.0], [10, 2.0]], [[10, 3.0]]])]
    steps, scores = plot.curves(results, "a")
    assert (steps.tolist(), scores.tolist()) == ([10], [[2.0, 3.0]])
    results[1]["curve"] = [[11, 3.0]]
    with pytest.raises(ValueError, match="evaluated at other steps each"):
        plot.curves(results, "a")


def test_a_seed_counts_once(monkeypatch, tmp_path):
    file = tmp_path / "results.jsonl"
    file.write_text(json.dumps({**WHOLE, "seed": 4}) + "\n")
    assert "two results of a for the seeds [4]" in run(monkeypatch, file, file, "--table")
