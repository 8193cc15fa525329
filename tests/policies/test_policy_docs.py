"""docs/policies.md: the example runs, the table has every word of the source's page and names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from policy_signatures import ROOT, test_names

PAGE = (ROOT / "docs" / "policies.md").read_text()
TABLE = re.findall(r"^\| (.+?) \| (.+?) \| (`test_.+`) \|$", PAGE, flags=re.MULTILINE)

PROPERTIES = [
    "action_spec",
    "collect_data_spec",
    "emit_log_probability",
    "info_spec",
    "observation_and_action_constraint_splitter",
    "policy_state_spec",
    "policy_step_spec",
    "time_step_spec",
    "trajectory_spec",
    "validate_args",
]
ARGUMENTS = [
    "time_step_spec",
    "action_spec",
    "q_network",
    "min_q_value",
    "max_q_value",
    "observation_and_action_constraint_splitter",
    "temperature",
]
METHODS = {
    "action": ["time_step", "policy_state", "seed"],
    "distribution": ["time_step", "policy_state"],
    "get_initial_state": ["batch_size"],
    "update": ["policy", "tau", "tau_non_trainable", "sort_variables_by_name"],
}
WORDS = [
    *(f"argument `{name}`" for name in ARGUMENTS),
    *(f"property `{name}`" for name in PROPERTIES),
    *(f"method `{name}`" for name in METHODS),
    *(f"`{method}`: `{name}`" for method, names in METHODS.items() for name in names),
    *(f"`{method}`: returned `{name}`" for method in ("action", "distribution") for name in ("action", "state", "info")),
    *(f"`action`: ValueError, TypeError: `{name}_spec`" for name in ("time_step", "policy_state", "policy_step")),
    "error ValueError: no `num_atoms`",
    "error TypeError: `action_spec` not bounded",
    "`action`: RuntimeError",
    "`distribution`: ValueError, TypeError",
    "`update`: returned op",
]


def test_the_table_has_every_word_of_the_source_and_each_once() -> None:
    assert sorted(row[0] for row in TABLE) == sorted(WORDS)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_the_tests_that_the_table_names_exist(row: tuple[str, str, str]) -> None:
    named = re.findall(r"`(test_\w+\.py::test_\w+)`", row[2])
    assert named
    assert " ".join(f"`{name}`" for name in named) == row[2]
    assert set(named) <= test_names()


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    variables: dict = {}
    exec(first, variables)
    assert variables["probabilities"].shape == (1, 2, 51)
    exec(second, loaded := {})
    assert loaded["act"].structured_outputs["action"].dtype == variables["policy"].action_spec.dtype
