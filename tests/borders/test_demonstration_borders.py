"""Demonstrations from arrays and files, and exported models: used as they are given, or refused by name."""

from __future__ import annotations

import functools
import io
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from borders_testing import ANYTHING, DTYPES, NUMBERS, ODD, ODD_DTYPES, arrays, attempt, drive, filled, quick, slow
from hypothesis import strategies as st
from test_acting_borders import SPACES, is_states, predictor

from polyrl.demos import DemoEpisode, Demonstrations, load, save_npz
from polyrl.demos.npz import COLUMNS


def episode(length: int = 3, **changes: Any) -> DemoEpisode:
    observations = np.arange(2 * length + 2, dtype=np.float32).reshape(length + 1, 2)
    return DemoEpisode(observations, np.arange(length) % 2, np.ones(length), True, False)._replace(**changes)


# Arrays and files. ----------------------------------------------------------------------------------------------------------


def an_episode_is_kept_or_refused(case: Any) -> None:
    """What is taken has the same numbers, and comes back from a file as it was."""
    field, value = case
    taken, demos = attempt(lambda: Demonstrations([episode(**{field: value})]), field, "actions", "rewards")
    if not taken:
        return
    kept = getattr(demos.episodes[0], field)
    if field in ("terminated", "truncated"):
        assert kept == np.asarray(value).item()
    else:
        np.testing.assert_allclose(np.asarray(kept, np.float64), np.asarray(np.asarray(value), np.float64), 1e-6, 1e-37)
    assert len(demos.episodes[0].transitions()["done"]) == demos.steps == 3
    with tempfile.TemporaryDirectory() as directory:
        save_npz(demos, f"{directory}/demos.npz")
        assert load(f"{directory}/demos.npz").fingerprint == demos.fingerprint


def episodes_are_episodes_or_refused(case: Any) -> None:
    assert attempt(lambda: Demonstrations(case), "expected", "there are no episodes")[0] is False


@functools.cache
def sound() -> tuple[Demonstrations, bytes]:
    demos = Demonstrations([episode(), episode(2)])
    path = Path(tempfile.mkdtemp()) / "demos.npz"
    save_npz(demos, path)
    return demos, path.read_bytes()


def damaged(changes: list[tuple[int, int]], length: int) -> bytes:
    found = bytearray(sound()[1])
    for place, byte in changes:
        found[place % len(found)] = byte
    return bytes(found[: len(found) - length % len(found)])


def saved(columns: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **columns)
    return file.getvalue()


def a_file_is_read_or_refused(case: bytes) -> None:
    """A damaged file gives what was written, as its checksums say, or an error with its name."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "demos.npz"
        path.write_bytes(case)
        taken, found = attempt(lambda: load(path), "demos.npz")
    assert not taken or found.fingerprint == sound()[0].fingerprint


def columns_fit_or_are_refused(case: Any) -> None:
    name, value = case
    columns = {
        "lengths": np.array([3, 2]),
        "observations": np.zeros([7, 2], np.float32),
        "actions": np.zeros(5, np.int32),
        "rewards": np.ones(5, np.float32),
        "terminated": np.array([True, False]),
        "truncated": np.array([False, True]),
    }
    columns[name] = value
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "demos.npz"
        path.write_bytes(saved({key: array for key, array in columns.items() if array is not None}))
        taken, found = attempt(lambda: load(path), "demos.npz")
    assert not taken or (len(found.episodes) >= 1 and found.steps == 5)


def a_source_exists_or_is_refused(case: Any) -> None:
    assert attempt(lambda: load(case), "source", str(case), "demonstrations", "Minari")[0] is False


# Exported models. -----------------------------------------------------------------------------------------------------------


def an_export_can_be_loaded_or_is_refused(case: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/{case}" if isinstance(case, str) else case
        taken, _ = attempt(lambda: predictor("floats").export(path), "path")
        if taken:
            assert "action" in tf.saved_model.load(os.path.abspath(path)).signatures


@functools.cache
def exported(name: str) -> Any:
    path = tempfile.mkdtemp()
    predictor(name).export(path)
    loaded = tf.saved_model.load(path)
    return loaded, loaded.signatures["action"]


def an_exported_model_acts_where_the_predictor_does(case: Any) -> None:
    """Of the dtype and shape that its signature has; of others TensorFlow speaks."""
    name, values = case
    _, action = exported(name)
    spec = action.structured_input_signature[1]["observation_state"]
    with np.errstate(over="ignore", invalid="ignore"):
        states = np.asarray(values).astype(spec.dtype.as_numpy_dtype)
    try:
        found = action(observation_state=tf.constant(states), seed=tf.constant([1, 2]))["action"].numpy()
    except tf.errors.InvalidArgumentError:
        assert not is_states(SPACES[name], states)
    else:
        assert is_states(SPACES[name], states)
        assert {*found.tolist()} <= {5, 6}


# Cases. ---------------------------------------------------------------------------------------------------------------------

FIELDS = st.sampled_from(DemoEpisode._fields)
FITTING = st.one_of(
    arrays(st.sampled_from([(4,), (4, 2), (3,), (3, 1), (4, 0), ()])), arrays((4,), ("i8", "u8", "O", "f8")), arrays((3,))
)
CHANGES = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=2)
FILES = st.one_of(
    st.builds(damaged, CHANGES, st.one_of(st.just(0), st.integers(0, 2_000))),
    st.binary(max_size=20),
    st.sampled_from([pickle.dumps({"a": 1}), b"\x93NUMPY", saved({"a": np.ones(3)}), saved({"a": np.array([{}], object)})]),
)
COLUMN_SHAPES = st.sampled_from([(2,), (5,), (7,), (7, 2), (5, 1), ()])
COLUMN_DTYPES = [dtype for dtype in (*DTYPES, *ODD_DTYPES) if np.dtype(dtype).kind != "O"]
OBJECTS = np.array([{}, 1], object)  # The file is then a pickled one.
PLAIN = st.one_of(
    st.sampled_from(COLUMN_DTYPES).flatmap(lambda dtype: filled(dtype, COLUMN_SHAPES)), st.none(), st.just(OBJECTS)
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)
NOT_STR = ODD.filter(lambda x: not isinstance(x, str))
NO_PATHS = st.one_of(st.just("a" * 300), st.text("[]\\\0", min_size=1, max_size=3), NOT_STR)
PATHS = st.one_of(TEXTS, st.text("a[]*?~ \\é/.:", max_size=8), NO_PATHS)
SOURCES = st.one_of(TEXTS, TEXTS.map("{}.npz".format), st.just("a" * 5_000), ODD, NUMBERS, ANYTHING)
OF_FLOATS = st.tuples(st.just("floats"), arrays(st.sampled_from([(0, 3), (1, 3), (2, 3)]), DTYPES))
STATES = st.one_of(
    OF_FLOATS,
    st.tuples(st.just("start"), arrays(st.sampled_from([(0,), (1,), (2,)]), ("i1", "i4"))),
)
PROPERTIES = {
    "episode": (an_episode_is_kept_or_refused, st.tuples(FIELDS, st.one_of(FITTING, FITTING, NUMBERS, ANYTHING)), 60),
    "episodes": (episodes_are_episodes_or_refused, ANYTHING, 60),
    "files": (a_file_is_read_or_refused, FILES, 80),
    "columns": (columns_fit_or_are_refused, st.tuples(st.sampled_from(COLUMNS), PLAIN), 60),
    "sources": (a_source_exists_or_is_refused, SOURCES, 40),
    "exports": (an_export_can_be_loaded_or_is_refused, PATHS, 30),
    "exported": (an_exported_model_acts_where_the_predictor_does, STATES, 30),
}
QUICK = {"exports": NO_PATHS, "exported": OF_FLOATS}
"""For the default run, which trains and exports one model."""


@pytest.mark.default_cases(6)
@pytest.mark.parametrize("name", PROPERTIES)
def test_demonstrations_and_exports_are_used_or_refused(name):
    check, cases, examples = PROPERTIES[name]
    quick(check, QUICK.get(name, cases), examples)


@slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_demonstrations_and_exports_are_used_or_refused_for_long(name):
    drive(*PROPERTIES[name][:2], seconds=15)
