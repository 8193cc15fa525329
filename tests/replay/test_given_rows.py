"""A memory that is used directly: what it is given is stored as it is, or refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl.replay import PrioritizedReplay, UniformReplay

NAN, INF = float("nan"), float("inf")
SCALAR = tf.TensorSpec([], tf.float32)
SPECS = {
    "state": tf.TensorSpec([2], tf.float32),
    "action": tf.TensorSpec([], tf.int32),
    "reward": SCALAR,
    "done": SCALAR,
    "next_state": tf.TensorSpec([2], tf.float32),
}
ROWS = {
    "state": np.array([[1, 2], [3, 4]], np.float32),
    "action": np.array([0, 1], np.int32),
    "reward": np.array([1, 2], np.float32),
    "done": np.array([0, 1], np.float32),
    "next_state": np.array([[5, 6], [7, 8]], np.float32),
}
SEED = tf.constant([1, 2])


def memory(kind=UniformReplay, filled=True):
    made = kind(size=8, batch_size=4)
    made.build(SPECS)
    if filled:
        made.add(ROWS)
    return made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reward", np.array([1.0, 2.0])),
        ("reward", [1, 2]),
        ("action", np.array([0, 1])),
        ("action", [0, 1]),
        ("done", [False, True]),
        ("done", np.array([0, 1])),
        ("state", [[1, 2], [3, 4]]),
    ],
    ids=str,
)
def test_what_has_one_meaning_is_stored_as_that(name, value):
    given = memory(filled=False)
    given.add({**ROWS, name: value})
    for key, column in memory().columns.items():
        np.testing.assert_array_equal(given.columns[key], column)


def test_a_terminal_next_state_may_be_anything():
    given = memory()
    given.add({**ROWS, "next_state": [[5, 6], [NAN, INF]]})


WRONG = [
    ("reward", [NAN, 1.0], ValueError, r"rows\['reward'\]: expected finite numbers; got nan in row 0"),
    ("reward", np.array([1.0, 1e300]), ValueError, "'reward'.*row 1"),
    ("reward", [[1.0], [2.0]], ValueError, r"'reward'\] has shape \(2, 1\); expected \[N\]"),
    ("reward", 1.0, ValueError, r"'reward'\] has shape \(\); expected \[N\]"),
    ("reward", [1.0, 2.0, 3.0], ValueError, "as many rows in each column.*'reward': 3"),
    ("reward", ["a", "b"], TypeError, "'reward'.*must be a tensor or an array of numbers"),
    ("reward", None, TypeError, "'reward'.*must be a tensor or an array of numbers"),
    ("done", [0.0, 3.0], ValueError, "'done'.*expected 0 or 1; got 3.0 in row 1"),
    ("action", [0.7, 1.0], TypeError, "'action'.*expected int32, got float32, which would be rounded"),
    ("action", [-1, 0], ValueError, "'action'.*counted from 0; got -1 in row 0"),
    ("action", np.array([2**40, 0]), ValueError, "'action'.*integers of int32; got 1099511627776 in row 0"),
    ("state", [[NAN, 1.0], [1.0, 1.0]], ValueError, "'state'.*finite numbers"),
    ("state", np.zeros([2, 3], np.float32), ValueError, r"'state'\] has shape \(2, 3\); expected \[N, 2\]"),
    ("next_state", [[NAN, 1.0], [1.0, 1.0]], ValueError, "'next_state'.*finite numbers.*row 0"),
]


@pytest.mark.parametrize("kind", [UniformReplay, PrioritizedReplay])
@pytest.mark.parametrize(("name", "value", "error", "message"), WRONG, ids=lambda value: str(value)[:30])
def test_rows_that_no_transition_has_are_refused_and_nothing_is_stored(kind, name, value, error, message):
    given = memory(kind)
    with np.errstate(over="ignore"), pytest.raises(error, match=message):
        given.add({**ROWS, name: value})
    assert int(given.stored()) == 2


@pytest.mark.parametrize("rows", [None, {}, [1, 2], {"state": [1.0]}])
def test_other_columns_are_refused(rows):
    with pytest.raises((TypeError, ValueError), match="rows"):
        memory().add(rows)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (None, "specs=None must be a dict"),
        ({"state": (4,)}, r"specs\['state'\]=\(4,\) must be a tf.TensorSpec"),
        ({"state": tf.TensorSpec([None], tf.float32)}, "each of its sizes must be known"),
    ],
)
def test_what_is_not_a_spec_is_refused(specs, message):
    with pytest.raises((TypeError, ValueError), match=message):
        UniformReplay(size=8, batch_size=4).build(specs)


@pytest.mark.parametrize("kind", [UniformReplay, PrioritizedReplay])
@pytest.mark.parametrize(
    "use",
    [
        lambda m: m.add(ROWS),
        lambda m: m.sample(SEED),
        lambda m: m.draw(SEED),
        lambda m: m.stored(),
        lambda m: m.newest(1),
        lambda m: m.start_episodes(),
        lambda m: m.columns,
        lambda m: m.inserted,
        lambda m: m.rows,
    ],
    ids=["add", "sample", "draw", "stored", "newest", "start_episodes", "columns", "inserted", "rows"],
)
def test_a_memory_that_has_not_been_built_says_so(kind, use):
    with pytest.raises(RuntimeError, match=rf"{kind.__name__} has no storage yet; call build\(specs\) first"):
        use(kind(size=8, batch_size=4))


def test_priorities_need_a_built_memory_that_holds_the_rows():
    with pytest.raises(RuntimeError, match="call build"):
        PrioritizedReplay(size=8, batch_size=4).update_priorities([0], [1.0])
    given = memory(PrioritizedReplay)
    for index, priorities, message in (
        ([0, 99], [1.0, 1.0], "index.*positions in the memory, from 0 to 7; got 99 in row 1"),
        ([0, 1], [1.0], r"priorities has shape \(1,\); expected that of index, \(2,\)"),
        ([0.5, 1.0], [1.0, 1.0], "index.*int32"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            given.update_priorities(index, priorities)
    given.update_priorities([0, 1], [2.0, 3.0])
    assert float(given.max_priority) == pytest.approx(3.0 + given.epsilon)


@pytest.mark.parametrize("kind", [UniformReplay, PrioritizedReplay])
def test_an_empty_memory_gives_no_batch(kind):
    with pytest.raises(RuntimeError, match=f"{kind.__name__} is empty; add transitions before sampling"):
        memory(kind, filled=False).sample(SEED)


@pytest.mark.parametrize("pair", [None, "a", 1, [1, 2, 3], [0.5, 1.0], tf.constant([1, 2, 3]), tf.constant([0.5, 1.0])])
def test_a_seed_is_two_integers(pair):
    with pytest.raises((TypeError, ValueError), match="seed"):
        memory().sample(pair)
