"""docs/features.md: what a row names is on a page that it links to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROWS = dict(re.findall(r"^\| ([a-zS].*?) \| (.*) \| [^|]*\|$", (DOCS / "features.md").read_text(), flags=re.MULTILINE))
WORDS = {
    "progress bar, tables on the console": ["progress bar", "tables"],
    "early stopping": ["early stopping"],
    "flags with help, units, did-you-mean": ["nearest", "units"],
    "periodic evaluation, best model": ["evaluates", "best"],
}
"""What the pages of some rows must have beyond the code in the row."""


def pages(row: str) -> str:
    """The linked pages, in one."""
    return "\n".join((DOCS / link).read_text() for link in re.findall(r"\]\(([^)#]+\.md)", row))


@pytest.mark.parametrize("feature", [name for name, row in ROWS.items() if ".md" in row])
def test_the_linked_page_has_the_thing(feature):
    row = ROWS[feature]
    codes = [code.removesuffix("/").removeprefix("polyrl ") for code in re.findall(r"`([^`]+)`", row)]
    found = pages(row)
    assert [word for word in [*codes, *WORDS.get(feature, [])] if word.lower() not in found.lower()] == []


def test_rows_are_found_and_each_has_a_link():
    assert len(ROWS) > 30
    assert [name for name, row in ROWS.items() if "](" not in row and name != "feature"] == []
