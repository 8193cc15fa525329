"""`--mode=compare`: runs side by side, and seeds together."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from polyrl.experiments.comparing import COLUMNS, LEAST, differences, find, grouped, print_comparison, row


@pytest.fixture
def runs(tmp_path):
    def write(name, params, rows, final=None, state=None):
        directory = tmp_path / name
        directory.mkdir(parents=True)
        (directory / "params.json").write_text(json.dumps({"params": params, "config": {"seed": params.get("seed", 1)}}))
        if state is not None:
            (directory / "checkpoints" / "ckpt-000000020").mkdir(parents=True)
            (directory / "checkpoints" / "ckpt-000000020" / "state.json").write_text(json.dumps(state))
        table = "global_timestep,mean_reward\n" + "".join(f"{step},{score}\n" for step, score in rows)
        (directory / "evaluations.csv").write_text(table)
        if final is not None:
            (directory / "eval").mkdir()
            (directory / "best" / f"ckpt-{final[0]:09}").mkdir(parents=True)
            (directory / "eval" / "evaluations.csv").write_text(f"global_timestep,mean_reward\n9,1.0\n{final[0]},{final[1]}\n")

    for seed, last in ((1, 20.0), (2, 40.0)):
        write(f"dqn/seed-{seed}", {"env": "A", "model": "dqn", "seed": seed}, [(10, 50.0), (20, last)], (10, 55.0 + seed))
    write("c51", {"env": "A", "model": "c51", "seed": 1}, [(10, 5.0)])
    write("naf", {"env": "B", "model": "naf", "seed": 1}, [])
    for name, discount in (("far", 0.99), ("near", 0.9)):
        models = {"Model": {"class": "DDQNModel", "discount": discount}}
        state = {"circumstances": {"environment": "Bowl(size=3)"}, "models": models}
        write(f"own/{name}", {}, [(10, 0.7349)], state=state)
    return tmp_path


def test_seeds_are_one_line_and_other_runs_their_own(runs):
    groups = grouped(find([str(runs)]))
    lines = {
        name.removeprefix(f"{runs}/"): dict(zip(COLUMNS, row(name, members), strict=True)) for name, members in groups.items()
    }
    assert [*lines] == ["c51", "dqn", "naf", "own/far", "own/near"]
    assert lines["dqn"]["seeds"] == "2"
    assert lines["dqn"]["steps"] == "20"
    assert lines["dqn"]["last"] == "30.00\n(20.00 to 40.00)"
    assert lines["dqn"]["best"] == "50.00\n(50.00 to 50.00)"
    assert lines["dqn"]["best weights"] == "56.50\n(56.00 to 57.00)"
    assert (lines["c51"]["last"], lines["c51"]["best weights"]) == ("5.000", "")
    assert (lines["naf"]["last"], lines["naf"]["steps"], lines["naf"]["training"]) == ("", "0", "")


def test_arguments_of_the_environment_are_a_part_of_it(runs):
    """Two sizes of a grid were the same environment."""
    copied(runs / "c51", "larger", env_kwargs=["size=8", "slow=True"])
    (found,) = find([str(runs / "larger")])
    assert row("larger", [found])[1] == "A(size=8, slow=True)"


def test_a_run_without_evaluations_has_the_returns_of_its_training(runs):
    """As the baseline of random actions; it had no number at all."""
    metrics = runs / "naf" / "metrics.jsonl"
    for text, expected in (
        ('{"rollout/ep_rew_mean": 20.0}\n{"rollout/ep_rew_mean": 22.5}\n{"train/q_mean": 3.0}\n', "22.50"),
        ('{"rollout/ep_rew_mean": 21.0}\n{"rollout/ep_rew_mean": 2', "21.00"),
        ('{"train/q_mean": 3.0}\n', ""),
    ):
        metrics.write_text(text)
        (found,) = find([str(runs / "naf")])
        assert dict(zip(COLUMNS, row("naf", [found]), strict=True))["training"] == expected


def test_steps_are_those_of_the_run_and_the_best_weights_are_the_best_ones(runs):
    """Both were those of whatever had been evaluated last."""
    run = runs / "c51"
    for name in ("checkpoints/ckpt-000000900", "checkpoints/ckpt-000001234", "best/ckpt-000000700-5"):
        (run / name).mkdir(parents=True)
    (run / "checkpoints" / "ckpt-000009999.set-aside-0").mkdir()
    (run / "eval").mkdir()
    table = run / "eval" / "evaluations.csv"
    for rows, expected in (
        ("700,41.0\n700,42.0\n1234,7.0\n", "42.00"),  # The newest weights were evaluated after the best ones.
        ("1234,7.0\n", ""),
        ("600,9.0\n", ""),  # It was the best one once.
        ("700,41.0,100\n700,42.0,100\n700,9.0,10\n", "42.00"),  # A look at few episodes says less.
    ):
        table.write_text("global_timestep,mean_reward,episodes\n" + rows)
        (found,) = find([str(run)])
        line = dict(zip(COLUMNS, row("c51", [found]), strict=True))
        assert (line["steps"], line["last"], line["best weights"]) == ("1,234", "5.000", expected)


def test_a_directory_given_twice_counts_once(runs):
    assert len(find([str(runs / "dqn"), str(runs)])) == 6


def test_the_run_of_another_program_is_known_by_its_checkpoint(runs):
    """A new user's tables had empty columns for all runs of scripts, and returns of FrozenLake with one digit."""
    groups = grouped(find([str(runs / "own")]))
    for members in groups.values():
        assert row("own", members)[1:7] == ["Bowl(size=3)", "DDQNModel", "1", "20", "", "0.735"]
    assert len(groups) == 2  # Other arguments of the model are another run, not another seed.


def copied(directory, name, **params):
    described = json.loads((directory / "params.json").read_text())
    (directory.parent / name).mkdir()
    described = {"params": {**described["params"], **params}, "config": described["config"]}
    (directory.parent / name / "params.json").write_text(json.dumps(described))


def test_two_configurations_in_one_directory_are_two_lines(runs):
    for seed in (1, 2):
        copied(runs / "dqn" / f"seed-{seed}", f"seed-1{seed}", n_step=3)
    assert [len(members) for members in grouped(find([str(runs / "dqn")])).values()] == [2, 2]


def test_in_what_runs_of_one_model_differ_is_told(runs):
    """They were alike in the table but for their paths."""
    schedule = {"identifier": "cosine", "alpha": 0.1}
    copied(runs / "c51", "slow", learning_rate=1e-4, rate=schedule, units=["8"], progress=True)
    copied(runs / "c51", "fast", learning_rate=0.00123456, rate={**schedule, "alpha": 0.5}, units=["8"], progress=False)
    groups = grouped(find([str(runs / name) for name in ("slow", "fast", "naf", "dqn", "own")]))
    assert differences({name.removeprefix(f"{runs}/"): members for name, members in groups.items()}) == [
        "What differs between the runs of c51 on A:",
        "  slow: learning_rate=0.0001, rate.alpha=0.1",
        "  fast: learning_rate=0.001235, rate.alpha=0.5",
        "What differs between the runs of DDQNModel on Bowl(size=3):",
        "  own/far: discount=0.99",
        "  own/near: discount=0.9",
    ]


def test_settings_that_only_some_runs_have_are_no_difference_of_settings(runs):
    copied(runs / "c51", "more", n_step=3)
    copied(runs / "c51", "again")
    file = runs / "again" / "params.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "config": {"seed": 2}}))
    named = {name: find([str(runs / name)]) for name in ("c51", "more", "again")}
    assert differences({name: named[name] for name in ("c51", "more")}) == []
    assert differences(named)[1:] == ["  c51: seed=1", "  more: seed=1", "  again: seed=2"]
    assert differences({"c51": named["c51"], "both": named["c51"] + named["again"]}) == []


def test_the_same_seed_twice_is_no_mean_of_seeds(runs):
    copied(runs / "dqn" / "seed-1", "seed-9")
    assert [len(members) for members in grouped(find([str(runs / "dqn")])).values()] == [1, 1, 1]


def test_runs_that_are_not_of_seeds_are_never_taken_together(runs):
    """A run of 10,000 steps and one of 3,000 were the mean of two seeds, and one of them had no line."""
    for name in ("first", "second"):
        copied(runs / "c51", name, seed=name)
    assert len(grouped(find([str(runs / "first"), str(runs / "second"), str(runs / "c51")]))) == 3


def shown(directory, columns, monkeypatch, capsys):
    """The table and what is below it, without colours; a terminal of the kind `dumb` would have 80 columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_comparison([str(directory)])
    printed = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    line = next(number for number, text in enumerate(printed) if not text.strip())
    return "\n".join(text.rstrip() for text in printed[line:])


@pytest.mark.parametrize(
    ("columns", "left_out"), [(98, ()), (97, LEAST[:1]), (69, LEAST[:3]), (57, LEAST[:4]), (48, LEAST[:5]), (41, LEAST)]
)
def test_a_narrow_terminal_has_whole_names_and_fewer_columns(runs, monkeypatch, capsys, columns, left_out):
    """Names and numbers were cut, or broken in the middle."""
    long = "a_run_with_a_long_name"
    (runs / "c51").rename(runs / long)
    table = shown(runs, columns, monkeypatch, capsys)
    assert max(map(len, table.splitlines())) <= columns
    assert "…" not in table
    table, _, note = table.partition("Left out")
    heads = table.split("─")[0].split()
    words = [word for name in COLUMNS if name not in left_out for word in name.split()]
    assert sorted(heads) == sorted(words)
    for word in (long, "own/near", "dqn", "57.00)"):
        assert word in table, word
    assert " ".join(note.split()) == (
        f", as the terminal has {columns} columns: {', '.join(left_out)}. In a file all are shown." if left_out else ""
    )


def test_what_no_terminal_of_this_width_can_hold_is_broken_and_not_cut(runs, monkeypatch, capsys):
    name = "run-" + "x" * 50
    (runs / "c51").rename(runs / name)
    table = shown(runs, 40, monkeypatch, capsys)
    assert max(map(len, table.splitlines())) <= 40
    assert table.count("x") == 50


def test_where_there_is_nothing_it_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no run below"):
        print_comparison([str(tmp_path)])
    with pytest.raises(FileNotFoundError, match="there is no such directory"):
        print_comparison([str(tmp_path / "none")])


@pytest.mark.slow
def test_the_command_prints_the_table(runs):
    command = [sys.executable, "-m", "polyrl", "--mode=compare", f"--runs={runs / 'dqn'},{runs / 'c51'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env={"COLUMNS": "200", "PATH": ""})
    assert done.returncode == 0, done.stderr
    assert "(20.00 to 40.00)" in done.stdout
    assert "c51" in done.stdout
    wrong = [sys.executable, "-m", "polyrl", "--mode=compare", f"--model_dir={runs / 'c51'}"]
    done = subprocess.run(wrong, capture_output=True, text=True, timeout=200, env={"PATH": ""})
    assert done.returncode == 1
    assert f"no effect with --mode=compare: directories of runs are --runs={runs / 'c51'}." in done.stderr
