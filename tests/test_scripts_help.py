"""Every program in `scripts/` answers `--help` at once, does nothing else, and says what each of its flags is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = sorted(
    str(file.relative_to(ROOT)) for file in (ROOT / "scripts").rglob("*.py") if 'if __name__ == "__main__"' in file.read_text()
)

INSPECT = """
import argparse
import runpy
import sys

def parse(parser, *arguments):
    for action in parser._actions:
        said = (action.help or "").lower()
        given = action.default not in (None, False, argparse.SUPPRESS)
        if action.help != argparse.SUPPRESS and (len(said.split()) < 2 or given and not ("default" in said or "(" in said)):
            print(action.dest, repr(action.help))
    sys.exit()

argparse.ArgumentParser.parse_args = argparse.ArgumentParser.parse_known_args = parse
path, sys.argv = sys.argv[1], sys.argv[1:2]
sys.path.insert(0, path.rpartition("/")[0])
runpy.run_path(path, run_name="__main__")
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs Python away from the checkout, in a process that cannot import TensorFlow; the result, and what it has written."""
    without, elsewhere = tmp_path_factory.mktemp("without"), tmp_path_factory.mktemp("elsewhere")
    for name in ("tensorflow", "tf_keras"):
        (without / f"{name}.py").write_text("raise SystemExit('TensorFlow was imported.')\n")

    def command(*arguments, path=(str(without), str(ROOT))):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=elsewhere,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done, list(elsewhere.iterdir())

    return command


@pytest.mark.default_cases(14)
@pytest.mark.parametrize(
    ("program", "flag"),
    [
        *((program, "--help") for program in PROGRAMS),
        # Those that do not leave it to argparse alone.
        *((f"scripts/{name}.py", "-h") for name in ("checkpoints", "record_demos", "tune", "errors")),
    ],
)
def test_help_is_shown_and_nothing_is_done(run, program, flag):
    """errors.py rewrote a page of the docs, benchmarks began to measure, and others ended with status 1."""
    page = (ROOT / "docs" / "errors.md").stat().st_mtime_ns
    done, written = run(str(ROOT / program), flag)
    assert (done.returncode, done.stderr, written) == (0, "", [])
    summary = compile((ROOT / program).read_text(), program, "exec").co_consts[0].split("\n")[0]
    assert " ".join(summary.split()) in " ".join(done.stdout.split())
    assert (ROOT / "docs" / "errors.md").stat().st_mtime_ns == page


@pytest.mark.parametrize("script", ["lowest.sh", "quickstart.sh", "slow.sh", "test.sh"])
def test_shell_scripts_show_their_comment_and_install_nothing(tmp_path, script):
    (tmp_path / "scripts").mkdir()
    for name in (script, "setup.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    command = ["bash", f"scripts/{script}", "--help"]
    # Without a Python that could install anything.
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHON": "false"}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    comment = [line for line in (ROOT / "scripts" / script).read_text().splitlines()[1:] if line.startswith("# ")]
    assert done.stdout.splitlines()[0] == comment[0][2:]
    assert "set -" not in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["scripts"]


@pytest.mark.default_cases(19)
@pytest.mark.parametrize("program", sorted({*PROGRAMS} - {"scripts/record_demos.py", "scripts/checkpoints.py"}))
def test_every_argument_has_a_text_and_its_default_is_told(run, program):
    done, _ = run("-c", INSPECT, str(ROOT / program))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_help_of_record_demos_has_its_own_flags_before_those_that_it_shares(run):
    """It showed none: "The experiment script is missing."."""
    done, _ = run(str(ROOT / "scripts" / "record_demos.py"), "--help")
    text = done.stdout[done.stdout.index("This program") :]
    assert text.index("--episodes=") < text.index("--minari_id=") < text.index("The run itself") < text.index("--model_dir=")


@pytest.mark.slow
def test_the_help_of_record_demos_has_the_flags_of_the_script_that_is_given(run):
    done, _ = run(
        str(ROOT / "scripts/record_demos.py"), str(ROOT / "experiments/cartpole_c51.py"), "--help", path=(str(ROOT),)
    )
    assert done.returncode == 0, done.stderr
    for flag in ("--episodes", "--minari_id", "--num_atoms", "--model_dir"):
        assert flag in done.stdout
    for library in ("op_conversion_fallback_to_while_loop", "tt_check_filter", "hbm_oom_exit"):
        assert library not in done.stdout


def test_the_signal_of_kill_runs_is_called_so_and_its_old_name_still_works(run):
    done, _ = run(str(ROOT / "scripts" / "kill_runs.py"), "--number=SIGTERM", "--kills=0")
    assert done.returncode == 2
    assert "--kills=0 must be at least 1." in done.stderr
    done, _ = run(str(ROOT / "scripts" / "kill_runs.py"), "--signal=SIGNAL")
    assert "--signal" in done.stderr
    assert "SIGKILL" in done.stderr
