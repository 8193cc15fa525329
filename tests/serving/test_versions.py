"""Directories of exports: numbered by time, whole or not there, the oldest removed."""

from __future__ import annotations

import time

import pytest

from polyrl.serving import versions


def write(directory, text="x", **record):
    return versions.write(directory, lambda staging: (staging / "file").write_text(text), record)


def test_versions_are_seconds_and_each_is_newer_than_all_before(tmp_path):
    before = int(time.time())
    written = [write(tmp_path / "policy", str(number)) for number in range(3)]
    numbers = [int(path.name) for path in written]
    assert before <= numbers[0] < numbers[1] < numbers[2] <= time.time() + 3
    assert versions.found_in(tmp_path / "policy") == written
    assert versions.newest(tmp_path / "policy") == written[-1]
    assert [(path / "file").read_text() for path in written] == ["0", "1", "2"]


def test_numbers_are_compared_as_numbers_and_other_names_are_no_versions(tmp_path):
    for name in ("9", "10", "temp-1", "x", "-3"):
        (tmp_path / name).mkdir()
    (tmp_path / "99").write_text("a file")
    assert [path.name for path in versions.found_in(tmp_path)] == ["9", "10"]
    assert versions.newest(tmp_path / "missing") is None


def test_what_fails_leaves_nothing(tmp_path):
    def fill(staging):
        (staging / "half").write_text("half")
        raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        versions.write(tmp_path, fill, {})
    assert list(tmp_path.iterdir()) == []


def test_a_version_is_renamed_when_it_is_complete(tmp_path):
    def fill(staging):
        assert not staging.name.isdecimal()
        assert versions.found_in(tmp_path) == []

    assert versions.record_of(versions.write(tmp_path, fill, {"a": 1})) == {"a": 1}


def test_records_are_replaced_and_missing_ones_are_empty(tmp_path):
    version = write(tmp_path, score=1.0)
    versions.note(version, {"score": 2.0})
    assert versions.record_of(version) == {"score": 2.0}
    (version / versions.RECORD).write_text("not JSON")
    assert versions.record_of(version) == {}
    assert versions.record_of(tmp_path / "7") == {}


@pytest.mark.parametrize(("keep", "left"), [(1, 1), (2, 2), (5, 3), (None, 3)])
def test_the_oldest_are_removed(tmp_path, keep, left):
    written = [write(tmp_path) for _ in range(3)]
    removed = versions.collect(tmp_path, keep)
    assert removed == written[: 3 - left]
    assert versions.found_in(tmp_path) == written[3 - left :]
