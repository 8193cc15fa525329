"""Demonstrations: saved, loaded again, and refused if their arrays do not fit together."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.demos import DemoEpisode, Demonstrations, load, load_minari, load_npz, save_minari, save_npz
from polyrl.replay import UniformReplay


def episode(length: int = 3, **changes) -> DemoEpisode:
    rng = np.random.default_rng(length)
    made = DemoEpisode(
        rng.normal(size=[length + 1, 2]).astype(np.float32), np.arange(length) % 2, rng.normal(size=length), True, False
    )
    return made._replace(**changes)


def three() -> Demonstrations:
    """One terminated episode, one truncated, and one whose recording stopped early."""
    ends = [(True, False), (False, True), (False, False)]
    return Demonstrations([episode(n + 1, terminated=a, truncated=b) for n, (a, b) in enumerate(ends)])


def assert_same(first: Demonstrations, second: Demonstrations) -> None:
    assert len(first.episodes) == len(second.episodes)
    for one, two in zip(first.episodes, second.episodes, strict=True):
        for a, b in zip(one[:3], two[:3], strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        assert one[3:] == two[3:]


def test_transitions_mark_how_each_episode_ended_on_its_last_step():
    columns = [e.transitions() for e in three().episodes]
    assert [c["done"].tolist() for c in columns] == [[1], [0, 0], [0, 0, 0]]
    # An episode whose recording stopped early bootstraps from its last observation, like a truncated one.
    assert [c["truncated"].tolist() for c in columns] == [[0], [0, 1], [0, 0, 1]]
    for e, c in zip(three().episodes, columns, strict=True):
        np.testing.assert_array_equal(c["state"][1:], c["next_state"][:-1])
        np.testing.assert_array_equal(c["next_state"][-1], e.observations[-1])


def test_an_episode_both_terminated_and_truncated_counts_as_terminated():
    columns = Demonstrations([episode(2, truncated=True)]).episodes[0].transitions()
    assert (columns["done"].tolist(), columns["truncated"].tolist()) == ([0, 1], [0, 0])


def test_arrays_are_converted_to_the_dtypes_of_the_memory():
    made = Demonstrations([episode(observations=np.zeros([4, 2]), actions=np.array([0, 1, 1], np.uint8))]).episodes[0]
    assert [array.dtype for array in made[:3]] == [np.float32, np.int32, np.float32]
    images = Demonstrations([episode(observations=np.zeros([4, 2, 2, 1], np.uint8))])
    assert images.episodes[0].observations.dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_discrete_states_may_be_gymnasiums_int64(dtype):
    demos = Demonstrations([episode(observations=np.array([0, 2, 1, 3], dtype))])
    demos.check(tf.TensorSpec([], tf.int32), 2)
    memory = UniformReplay(10, 4, demonstrations=demos)
    one = {"state": tf.TensorSpec([], tf.int32), "next_state": tf.TensorSpec([], tf.int32)}
    scalar = tf.TensorSpec([], tf.float32)
    memory.build({**one, "action": tf.TensorSpec([], tf.int32), "reward": scalar, "done": scalar, "truncated": scalar})
    batch = memory.sample(tf.constant([0, 1]))
    assert set(batch["state"].numpy()) <= {0, 2, 1}


def test_the_fingerprint_depends_on_every_part():
    prints = {three().fingerprint, Demonstrations([episode()]).fingerprint}
    for change in (
        {"observations": episode().observations + 1},
        {"actions": np.ones(3, int)},
        {"rewards": np.ones(3)},
        {"terminated": False},
        {"truncated": True},
    ):
        prints.add(Demonstrations([episode(**change)]).fingerprint)
    assert len(prints) == 7
    assert three().fingerprint == three().fingerprint


REFUSED = [
    ({"actions": np.zeros(0, int)}, r"episode 0: expected actions of shape \[T\].*, got shape \(0,\)"),
    ({"actions": np.zeros([3, 1], int)}, r"expected actions of shape \[T\].*, got shape \(3, 1\)"),
    ({"actions": np.zeros(3)}, "expected integer actions, got float64; the large-margin loss needs discrete actions"),
    ({"actions": np.array([0, -1, 0])}, "got the action -1"),
    ({"rewards": np.zeros(2)}, r"expected one reward for each of the 3 actions, got rewards of shape \(2,\)"),
    ({"observations": np.zeros([3, 2])}, "expected 4 observations for 3 actions, .* got 3"),
    ({"observations": np.full([4, 2], np.nan)}, "the observations are not finite at step 0"),
    ({"rewards": np.array([0, np.inf, 0])}, "the rewards are not finite at step 1"),
    ({"observations": np.array(["a"] * 4)}, "expected numeric observations, got <U1"),
    ({"actions": np.array([0, 2**32, 0])}, "actions that int32 holds, got the action 4294967296"),
    ({"rewards": np.array(["1", "2", "a"])}, "episode 0: expected real numbers as rewards, got <U1"),
    ({"rewards": np.full(3, 1j)}, "expected real numbers as rewards, got complex128"),
    ({"observations": [[1, 2], [3]]}, "expected one array of observations, got rows of different shapes"),
    ({"observations": {"state": np.zeros([4, 2])}}, r"expected one array of observations, got a dict of \['state'\]"),
    ({"observations": 3.0}, "expected an array of observations, one for each step, got 3.0"),
]


@pytest.mark.parametrize(
    ("episodes", "words"),
    [
        (episode(), "expected a list of episodes, got one DemoEpisode"),
        ([tuple(episode())], r"episode 0: expected a DemoEpisode\(observations, .*\), got a tuple"),
        ([episode()._asdict()], "got a dict"),
        (
            [episode(terminated="False")],
            "episode 0: expected terminated to be True or False for the whole episode, got 'False'",
        ),
        ([episode(truncated=np.zeros(3, bool))], "expected truncated to be True or False for the whole episode, got array"),
        ([episode(terminated=None)], "expected terminated to be True or False .* got None"),
    ],
)
def test_what_is_not_a_list_of_episodes_is_refused(episodes, words):
    with pytest.raises(TypeError, match=words):
        Demonstrations(episodes)


def test_flags_may_be_numbers():
    made = Demonstrations([episode(terminated=np.float32(1.0), truncated=np.int8(0))]).episodes[0]
    assert made.terminated is True
    assert made.truncated is False


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_arrays_that_do_not_fit_together_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Demonstrations([episode(**changes)])


def test_an_empty_list_and_episodes_of_different_environments_are_refused():
    with pytest.raises(ValueError, match="there are no episodes"):
        Demonstrations([])
    with pytest.raises(ValueError, match=r"episode 1 has observations float32 \(3,\), episode 0 float32 \(2,\)"):
        Demonstrations([episode(), episode(observations=np.zeros([4, 3]))])


@pytest.mark.parametrize(
    ("spec", "actions", "words"),
    [
        (tf.TensorSpec([3], tf.float32), 2, r"observations are float32 \(2,\), those of the environment are float32 \(3,\)"),
        (tf.TensorSpec([2], tf.uint8), 2, r"observations are float32 \(2,\), those of the environment are uint8 \(2,\)"),
        (tf.TensorSpec([2], tf.float32), 1, "episode 1 has the action 1; the environment has 1 actions"),
    ],
)
def test_demonstrations_of_another_environment_are_refused(spec, actions, words):
    three().check(tf.TensorSpec([2], tf.float32), 2)
    with pytest.raises(ValueError, match=words):
        three().check(spec, actions)


def test_dict_states_are_refused():
    with pytest.raises(ValueError, match=r"the environment's states are dicts of \['action_mask', 'state'\]"):
        three().check({"state": tf.TensorSpec([2]), "action_mask": tf.TensorSpec([2], tf.bool)}, 2)


# Files. -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("observations", ["vectors", "images"])
def test_an_npz_file_round_trip_preserves_everything(tmp_path, observations):
    written = three()
    if observations == "images":
        rng = np.random.default_rng(0)
        images = [e._replace(observations=rng.integers(0, 256, [e.steps + 1, 4, 4, 3], np.uint8)) for e in written.episodes]
        written = Demonstrations(images)
    save_npz(written, tmp_path / "new" / "demos.npz")
    assert_same(load(tmp_path / "new" / "demos.npz"), written)
    assert load(tmp_path / "new" / "demos.npz").fingerprint == written.fingerprint


def test_an_existing_file_is_not_overwritten(tmp_path):
    save_npz(three(), tmp_path / "demos.npz")
    before = (tmp_path / "demos.npz").read_bytes()
    with pytest.raises(FileExistsError, match=r"demos\.npz exists already and is not overwritten"):
        save_npz(Demonstrations([episode()]), tmp_path / "demos.npz")
    assert (tmp_path / "demos.npz").read_bytes() == before


def columns() -> dict[str, np.ndarray]:
    return {
        "lengths": np.array([1, 2]),
        "observations": np.zeros([5, 2]),
        "actions": np.zeros(3, int),
        "rewards": np.zeros(3),
        "terminated": np.array([True, False]),
        "truncated": np.array([False, True]),
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lengths": np.array([1, 3])}, r"expected 6 rows of observations for 2 episodes with 4 steps, got shape \(5, 2\)"),
        ({"lengths": np.array([3, 0])}, "lengths must be integers"),
        ({"lengths": np.array([1.0, 2.0])}, "lengths must be integers"),
        ({"truncated": np.array([True])}, r"expected 2 rows of truncated .*, got shape \(1,\)"),
        ({"rewards": None}, r"lacks the arrays \['rewards'\]"),
    ],
)
def test_files_whose_arrays_do_not_fit_together_are_refused(tmp_path, change, words):
    given = {**columns(), **change}
    np.savez(tmp_path / "demos.npz", **{name: array for name, array in given.items() if array is not None})
    with pytest.raises(ValueError, match=words):
        load_npz(tmp_path / "demos.npz")


def test_a_path_without_a_valid_npz_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such file of demonstrations: .*demos\.npz.*record_demos\.py"):
        load(tmp_path / "demos.npz")
    (tmp_path / "demos.npz").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match=r"cannot be read as an \.npz file"):
        load(tmp_path / "demos.npz")
    np.savez(tmp_path / "objects.npz", **{**columns(), "actions": np.array([{}, {}, {}])})
    with pytest.raises(ValueError, match=r"cannot be read as an \.npz file"):
        load(tmp_path / "objects.npz")


# Minari. ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def minari(tmp_path, monkeypatch):
    module = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    return module


SPACE = Box(-10, 10, (2,), np.float64)


@pytest.mark.parametrize("start", [0, 3])
def test_a_minari_round_trip_preserves_everything(minari, start):
    save_minari(three(), "tiny/three-v0", SPACE, Discrete(2, start=start))
    back = load("tiny/three-v0")
    # Minari requires every episode to end: one whose recording stopped early is stored as truncated.
    expected = Demonstrations([e._replace(truncated=not e.terminated) for e in three().episodes])
    assert_same(back, expected)
    stored = list(minari.load_dataset("tiny/three-v0").iterate_episodes())
    assert [e.actions.tolist() for e in stored] == [[start], [start, start + 1], [start, start + 1, start]]


def test_minari_images_are_stored_without_loss(minari):
    images = np.random.default_rng(0).integers(0, 256, [4, 8, 8, 3], np.uint8)
    written = Demonstrations([episode(observations=images)])
    save_minari(written, "tiny/images-v0", Box(0, 255, (8, 8, 3), np.uint8), Discrete(2))
    assert_same(load_minari("tiny/images-v0"), written)


def test_an_existing_dataset_is_not_overwritten(minari):
    save_minari(three(), "tiny/three-v0", SPACE, Discrete(2))
    with pytest.raises(ValueError, match="'tiny/three-v0' exists already and is not overwritten"):
        save_minari(Demonstrations([episode()]), "tiny/three-v0", SPACE, Discrete(2))
    assert len(load_minari("tiny/three-v0").episodes) == 3


@pytest.mark.parametrize("name", ["tiny/absent-v0", "no such/thing here"])
def test_nothing_is_downloaded(minari, monkeypatch, name):
    save_minari(three(), "tiny/three-v0", SPACE, Discrete(2))
    monkeypatch.setattr(minari.storage.hosting, "download_dataset", lambda *a, **k: pytest.fail("It was downloaded."))
    with pytest.raises(FileNotFoundError, match=r"found \['tiny/three-v0'\]\. polyrl downloads nothing"):
        load(name)


@pytest.mark.filterwarnings("ignore")
def test_continuous_actions_are_refused(minari):
    buffer = minari.data_collector.EpisodeBuffer(
        observations=np.zeros([2, 2]), actions=np.zeros([1, 1]), rewards=[0.0], terminations=[True], truncations=[False]
    )
    box = Box(-1, 1, (1,), np.float64)
    minari.create_dataset_from_buffers("tiny/box-v0", [buffer], observation_space=SPACE, action_space=box)
    with pytest.raises(ValueError, match=r"'tiny/box-v0' has the action space Box.*Discrete"):
        load("tiny/box-v0")


def test_without_minari_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ValueError, match=r"demos='tiny/three-v0' needs the Python package 'minari'.*polyrl\[demos\]"):
        load("tiny/three-v0")
