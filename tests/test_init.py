"""`import polyrl`: fast, and the names that a user needs."""

from __future__ import annotations

import ast
import gc
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import polyrl
from polyrl.engine.collection import without_collection

NAMES = sorted(polyrl.__all__)

LOOK = """
import sys
import polyrl

def loaded():
    return sorted(name for name in sys.modules if name.split(".")[0] == "polyrl")

assert "tensorflow" not in sys.modules
assert set(polyrl.__all__) <= set(dir(polyrl))
print(loaded())
polyrl.Modes
print(loaded())
from polyrl import *
assert {name for name in polyrl.__all__ if globals()[name] is getattr(polyrl, name)} == set(polyrl.__all__)
assert not {"keras", "matplotlib", "cv2", "optuna", "ray", "torch", "jax"} & set(sys.modules), "slow, and not needed"
"""


@pytest.mark.slow
def test_importing_it_imports_no_other_module_of_it():
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['polyrl', 'polyrl._quiet']", "['polyrl', 'polyrl._quiet', 'polyrl.modes']"]


@pytest.mark.slow
def test_the_garbage_collector_waits_for_tensorflow_and_is_then_what_the_user_had():
    code = """
import gc, sys
generations = []
gc.callbacks.append(lambda phase, info: generations.append(info["generation"]) if phase == "start" else None)
import polyrl, tensorflow
print(len(generations) < 50, generations.count(2), gc.isenabled())
"""
    for before, printed in (("", "True 0 True\n"), ("import gc; gc.disable()", "True 0 False\n")):
        done = subprocess.run([sys.executable, "-c", before + code], capture_output=True, text=True, timeout=200)
        assert (done.returncode, done.stdout) == (0, printed), done.stderr


def test_the_collector_waits_in_the_block_alone_and_not_against_the_users_choice():
    inside = []

    def fail():
        with without_collection():
            inside.append(gc.isenabled())
            with without_collection():
                pass
            inside.append(gc.isenabled())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [*inside, gc.isenabled()] == [False, False, True]


FROZEN = """
import gc
from polyrl.engine.collection import without_collection
gc.freeze() if {frozen} else gc.collect()
count = gc.get_freeze_count()
with without_collection(then_old=True):
    made = [[] for _ in range(1_000)]
old = {{id(each) for each in gc.get_objects(generation=2)}}
print(sum(id(each) in old for each in made), gc.get_freeze_count() == count)
"""


@pytest.mark.parametrize(("frozen", "old"), [(False, 1_000), (True, 0)])
def test_what_is_made_in_the_block_counts_as_old_unless_the_user_has_frozen_something(frozen, old):
    """In a process of its own, as it moves all of its objects."""
    done = subprocess.run([sys.executable, "-c", FROZEN.format(frozen=frozen)], capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout) == (0, f"{old} True\n"), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    [
        "os.close(2)",
        "sys.stderr.close()",
        "sys.stderr = None",
        "sys.stderr = io.StringIO()",
        "sys.stderr = io.TextIOWrapper(io.BytesIO())",
    ],
)
def test_it_can_be_imported_whatever_stderr_is(before):
    code = f"import io, os, sys; {before}; import polyrl; polyrl.Agent; print('imported')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout) == (0, "imported\n"), done.stderr


def test_the_names_are_those_that_a_user_needs():
    assert set(NAMES) == {
        *("Agent", "RunConfig", "Modes", "EstimatorSpec", "GymEnvironment", "RLExperiment", "run_experiment"),
        *("Predictor", "TrainSpec", "EvalSpec", "train_and_evaluate", "WarmStartSettings"),
        *("BaseQModel", "DQNModel", "DDQNModel", "CategoricalDQNModel", "NAFModel", "UniformReplay", "PrioritizedReplay"),
        *("QRDQNModel", "IQNModel", "MunchausenDQNModel", "MunchausenIQNModel", "RainbowModel", "ExpectedSarsaModel"),
        *("PQNModel", "RolloutMemory", "R2D2Model", "SequenceReplay", "PrioritizedSequenceReplay"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_is_the_object_of_its_module(name):
    module = importlib.import_module(polyrl._MODULES[name])
    assert getattr(polyrl, name) is getattr(module, name)
    assert name in getattr(module, "__all__", [name])


def test_type_checkers_see_the_same_names_from_the_same_modules():
    tree = ast.parse(Path(polyrl.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {alias.name: statement.module for statement in block.body for alias in statement.names}
    assert seen == polyrl._MODULES
    assert sorted(seen) == NAMES


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("Agnet", "Agent"), ("DDQNmodel", "DDQNModel"), ("run_experiments", "run_experiment"), ("demoss", "demos")],
)
def test_a_mistyped_name_is_told_the_nearest_one(wrong, near):
    with pytest.raises(AttributeError) as error:
        getattr(polyrl, wrong)
    assert str(error.value) == f"module 'polyrl' has no attribute {wrong!r}. Did you mean {near!r}?"


@pytest.mark.parametrize(
    ("name", "use"), [("C51", "CategoricalDQNModel"), ("ReplayBuffer", "UniformReplay"), ("ModeKeys", "Modes")]
)
def test_a_name_of_another_library_is_told_what_to_use(name, use):
    assert hasattr(polyrl, use)
    with pytest.raises(AttributeError, match=rf"has no attribute '{name}'\. Use {use}\.$"):
        getattr(polyrl, name)


@pytest.mark.slow
def test_python_adds_no_second_suggestion():
    done = subprocess.run([sys.executable, "-c", "import polyrl; polyrl.Agnet"], capture_output=True, text=True, timeout=200)
    assert done.stderr.count("Did you mean") == 1


def test_a_module_that_is_not_imported_is_not_a_mistyped_name(monkeypatch):
    importlib.import_module("polyrl.ops")
    monkeypatch.delattr(polyrl, "ops")
    with pytest.raises(AttributeError, match=r"It is a module that has not been imported: use `import polyrl\.ops`"):
        _ = polyrl.ops


@pytest.mark.parametrize("name", ["__wrapped__", "_private", "not a name", "xyzzy"])
def test_other_names_are_missing_without_a_guess(name):
    assert not hasattr(polyrl, name)
    with pytest.raises(AttributeError, match=r"has no attribute '[^']+'\.$"):
        getattr(polyrl, name)


@pytest.mark.slow
@pytest.mark.parametrize(("level", "quiet"), [("0", False), ("1", False), ("2", True), ("3", True)])
def test_a_log_level_that_leaves_messages_out_is_no_louder(level, quiet):
    """Level 3 brought back what is left out without any."""
    code = "import os, polyrl, tensorflow; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": level}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, env=environment)
    assert (done.returncode, done.stdout) == (0, f"{level}\n")
    assert (done.stderr == "") is quiet
