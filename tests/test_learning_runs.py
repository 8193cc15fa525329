"""`scripts/benchmarks/learning.py`: which runs are done already."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "benchmarks" / "learning.py"
SPEC = importlib.util.spec_from_file_location("learning_script", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
learning = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(learning)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Does what is missing, without training: the seeds and labels that were run, and all results."""

    def complete(*wanted: tuple[str, int, str, list[str]]) -> tuple[list[tuple[str, int]], list[dict[str, Any]]]:
        runs = []

        def run(preset: str, seed: int, label: str, flags: list[str], directory: Path, start: Any) -> dict[str, Any]:
            runs.append((label, seed))
            about = {"label": label, "preset": preset, "seed": seed, "flags": flags, "settings": learning.settings(preset)}
            return {**about, "seconds": 1.0, "final": 2.0, "best": 3.0, "curve": [[10, 1.0]]}

        monkeypatch.setattr(learning, "run", run)
        results = learning.complete(list(wanted), tmp_path, 1)
        return runs, results

    return complete


@pytest.mark.parametrize("flags", [["--seed=9"], ["-seed", "9"], ["--config=cartpole_dqn"], ["--double", "--model_dir=here"]])
def test_flags_that_make_another_run_are_refused(done: Any, flags: list[str]) -> None:
    """With --seed=9 all runs were that of seed 9, and recorded as those of other seeds."""
    with pytest.raises(SystemExit, match=r"--(seed|config|model_dir) is decided by this program: (use|name) "):
        done(("cartpole_c51", 1, "a", flags))


def test_flags_after_a_second_separator_are_refused(done: Any) -> None:
    """They ended the flags: preset, seed and directory were none, and another run was recorded under their names."""
    with pytest.raises(SystemExit, match="Flags after a second -- would be none"):
        done(("cartpole_c51", 1, "a", ["--double", "--"]))


def test_a_seed_given_twice_is_refused(done: Any) -> None:
    with pytest.raises(SystemExit, match="Wanted twice: a with seed 1"):
        done(ONE, TWO, ONE)


ONE, TWO = ("cartpole_c51", 1, "a", []), ("cartpole_c51", 2, "a", [])


def test_what_is_done_is_not_repeated(done: Any) -> None:
    assert done(ONE)[0] == [("a", 1)]
    runs, results = done(ONE, TWO)
    assert runs == [("a", 2)]
    assert [result["seed"] for result in results] == [1, 2]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (("cartpole_c51", 1, "a", ["--learning_rate=0.5"]), r"flags \[\] there, \['--learning_rate=0\.5'\] now"),
        (
            ("cartpole_dqn", 1, "a", []),
            "preset cartpole_c51 there, cartpole_dqn now; max_q_value of the preset 100.0 there, None",
        ),
    ],
)
def test_a_result_of_other_settings_is_not_taken_for_it(done: Any, other: tuple[Any, ...], told: str) -> None:
    done(ONE)
    with pytest.raises(
        SystemExit, match=rf"a result of label=a, seed 1 with other settings: .*{told}.*Give these runs a --label"
    ):
        done(TWO, other)


def test_a_preset_that_has_changed_since_is_noticed(done: Any, tmp_path: Path) -> None:
    done(ONE)
    file = tmp_path / "results.jsonl"
    (result,) = map(json.loads, file.read_text().splitlines())
    file.write_text(json.dumps({**result, "settings": {**result["settings"], "discount": 0.5}}) + "\n")
    with pytest.raises(SystemExit, match=r"discount of the preset 0\.5 there, None now"):
        done(ONE)
    # Older files do not have the settings.
    file.write_text(json.dumps({name: value for name, value in result.items() if name != "settings"}) + "\n")
    assert done(ONE)[0] == []


def test_a_line_that_was_cut_off_is_a_run_that_is_not_done(done: Any, tmp_path: Path, capsys: Any) -> None:
    done(ONE, TWO)
    file = tmp_path / "results.jsonl"
    file.write_text(file.read_text()[:-20])
    runs, results = done(ONE, TWO)
    assert runs == [("a", 2)]
    assert len(results) == len(file.read_text().splitlines()) == 2
    assert "the last line was cut off" in capsys.readouterr().out


def test_a_line_that_is_no_result_is_told_by_its_number(done: Any, tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("{}x\n")
    with pytest.raises(SystemExit, match=r"results\.jsonl: line 1 is not JSON"):
        done(ONE)
