"""What `--help` says: the flags of polyrl and of the program, with bounds that are true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

import polyrl
from polyrl.flags import help_text
from polyrl.flags.positive import Positive

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
import types

from absl import flags
import polyrl.flags
from polyrl.flags.help_text import help_text

def library(name, file):
    module = types.ModuleType(name)
    module.__file__ = file
    sys.modules[name] = module
    exec("from absl import flags; flags.DEFINE_bool(f'of_{__name__}', False, 'A flag.')", vars(module))

library("a_library", "/venv/lib/python3/site-packages/a_library.py")
library("installed", "/venv/lib/python3/site-packages/installed.py")
library("beside", "/home/me/beside.py")
flags.DEFINE_integer("of_main", 1, "A flag.")
print(help_text("My program.", *sys.argv[1:]))
"""


@pytest.mark.parametrize(("package", "shown"), [([], ["main", "beside"]), (["installed"], ["main", "installed", "beside"])])
def test_flags_of_libraries_are_not_the_programs(tmp_path, package, shown):
    """TensorFlow's own headed the help of every script, and were called the program's."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    done = subprocess.run([sys.executable, str(file), *package], capture_output=True, text=True, check=True)
    assert re.findall(r"--(?:\[no\])?of_(\w+)", done.stdout) == shown
    assert done.stdout.startswith("My program.\n\nThis program\n\n  --of_main=")
    assert done.stdout.count("This program") == 1
    assert "--mode=" in done.stdout


SEARCH = """
import sys
from polyrl.flags import command, help_text
for word in sys.argv[1:]:
    try:
        print(f"== {word}")
        help_text.show(["--seed=3", f"--help={word}"], "My program.")
    except SystemExit as end:
        print(end.code)
print("tensorflow" in sys.modules)
"""
FOUND = {
    "replay": [
        "How it learns",
        "memory_size",
        "Actors in processes of their own",
        "memory_shards",
        "What is written, and how often",
        "save_replay",
    ],
    "GAMMA": ["How it learns", "discount"],
    "lr": "No flag has 'lr' in its name or its help. Use --learning_rate. --help shows all flags.",
    "quantiles": ["The model", "num_quantiles", "kappa"],
    "boltzmann": ["Whole configurations", "set"],
    "--Record-format": ["Videos", "record_format"],
    "seconds": ["The run itself", "progress", "env_timeout", "What is written, and how often", "save_checkpoints_secs"],
    "share noise": "No flag has 'share noise' in its name or its help. --help shows all flags.",
    "weights noise": ["The model", "noisy"],
    "priorty": "No flag has 'priorty' in its name or its help. Did you mean 'priority'? --help shows all flags.",
    "onxx": "No flag has 'onxx' in its name or its help. Did you mean 'onnx'? --help shows all flags.",
    "xyzzy": "No flag has 'xyzzy' in its name or its help. --help shows all flags.",
}


@pytest.fixture(scope="module")
def searched():
    done = subprocess.run([sys.executable, "-c", SEARCH, *FOUND], cwd=ROOT, capture_output=True, text=True, check=True)
    *texts, tensorflow = re.split(r"^== .*\n|(?=^(?:True|False)$)", done.stdout, flags=re.MULTILINE)[1:]
    assert tensorflow == "False\n"
    return dict(zip(FOUND, texts, strict=True))


@pytest.mark.parametrize("word", FOUND)
def test_help_of_a_word_shows_the_flags_that_have_it(searched, word):
    text, expected = searched[word], FOUND[word]
    if isinstance(expected, str):
        assert text == f"{expected}\n"
        return
    head, *lines = [line for line in text.splitlines() if line and not line.startswith(" " * 8)]
    name = word.lower().lstrip("-").replace("-", "_")
    assert head == f"Flags that have {name!r} in their name or their help:"
    assert [re.sub(r"  --(\[no\])?(\w+).*", r"\2", line) for line in lines] == expected


def test_help_of_a_word_by_the_command_and_what_comes_after_two_dashes():
    command = [sys.executable, "-m", "polyrl", "--help=quantils"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("Did you mean 'quantiles'? --help shows all flags.\n")
    assert not help_text.show(["--seed=3", "--", "--help"], "")


@pytest.mark.parametrize(
    ("arguments", "head"),
    [
        (["--help", "atoms"], "Flags that have 'atoms' in their name or their help:"),
        (["--help", "--seed=3"], "The command `polyrl`, which is also"),
        (["--version"], f"polyrl {polyrl.__version__}\n"),
    ],
)
def test_help_may_have_its_word_behind_it_and_the_version_is_told(arguments, head):
    done = subprocess.run([sys.executable, "-m", "polyrl", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(head)
    assert done.stderr == ""


def test_a_bound_that_is_refused_is_not_said_to_be_allowed():
    values = flags.FlagValues()
    flags.DEFINE(Positive(1.0), "share", 0.5, "A share.", flag_values=values, serializer=flags.ArgumentSerializer())
    for wrong in ("0", "-0.0", "-1", "1.5"):
        with pytest.raises(flags.IllegalFlagValueError, match="is not a number above 0, at most 1"):
            values(["", f"--share={wrong}"])
    values(["", "--share=1e-9"])
    assert values.share == 1e-9
    assert help_text._bounds(values["share"].parser) == " Above 0, at most 1."


@pytest.fixture(scope="module")
def shown():
    """The help of the command, by flag; and all that comes before the first one."""
    done = subprocess.run([sys.executable, "-m", "polyrl", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    head, *paragraphs = re.split(r"^  --(?=\S)", done.stdout, flags=re.MULTILINE)
    by_name = {re.match(r"(?:\[no\])?(\w+)", text)[1]: " ".join(text.split()) for text in paragraphs}
    return " ".join(head.split()), by_name


@pytest.mark.parametrize("name", ["reward_scale", "clip_rewards", "adam_epsilon", "target_update_tau", "entropy_temperature"])
def test_numbers_that_must_be_positive_say_so(shown, name):
    """They said "At least 0", which the models refuse; or "At least 1e-06", which is not so."""
    assert "Above 0" in shown[1][name]
    assert "At least" not in shown[1][name]


def test_defaults_that_depend_on_other_flags_are_told(shown):
    head, paragraphs = shown
    assert "preset" in head.split("Defaults are shown")[1]
    assert "runs/<env>_<model>" in paragraphs["model_dir"]


def test_texts_have_a_subject_and_no_raw_default(shown):
    """`--clip_rewards` said "And then clipped"; `--entropy_temperature` "of the softmax policy"; `--set` was `[]`."""
    for name, text in shown[1].items():
        assert "(default: [" not in text, name
    assert "Rewards are clipped" in shown[1]["clip_rewards"]
    assert "temperature of the softmax policy" in shown[1]["entropy_temperature"]
    for name in ("min_q_value", "max_q_value", "num_atoms"):
        assert "rainbow" in shown[1][name]
        assert name == "num_atoms" or "in units of" in shown[1][name]
