"""Videos as they are read back by the libraries that play them."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from polyrl.envs import film_files
from polyrl.envs.film import Clip


def clip(frames=30, size=(40, 60), fps=10.0, reward=-12.5) -> Clip:
    """A white bar that moves to the right on black, two pixels in each picture."""
    pictures = []
    for t in range(frames):
        picture = np.zeros([*size, 3], np.uint8)
        picture[:, 2 * t : 2 * t + 2] = 255
        pictures.append(picture)
    return Clip(pictures, fps, reward, frames - 1)


def read_gif(content: bytes) -> tuple[list[np.ndarray], list[int], dict]:
    image = Image.open(io.BytesIO(content))
    pictures, durations = [], []
    for number in range(image.n_frames):
        image.seek(number)
        pictures.append(np.asarray(image.convert("RGB")))
        durations.append(image.info["duration"])
    return pictures, durations, image.info


def test_a_gif_shows_each_picture_in_real_time_and_for_ever():
    original = clip()
    content, width, height = film_files.gif(original, 320, 100)
    pictures, durations, info = read_gif(content)
    assert (width, height) == (120, 80)  # Enlarged: twice 60 is below 160.
    assert len(pictures) == 30
    for shown, drawn in zip(pictures, original.frames, strict=True):
        np.testing.assert_array_equal(shown[::2, ::2], drawn)
    assert durations == [100] * 30
    assert info["loop"] == 0


@pytest.mark.parametrize(("most", "fps", "every"), [(30, 10.0, 1), (29, 10.0, 2), (10, 10.0, 3), (100, 120.0, 3)])
def test_of_many_pictures_or_fast_ones_every_second_or_third_is_shown_for_as_long(most, fps, every):
    pictures, durations, _ = read_gif(film_files.gif(clip(fps=fps), 320, most)[0])
    assert len(pictures) == -(-30 // every)
    assert sum(durations) == pytest.approx(1_000 * 30 / fps, rel=0.21)


def test_wide_pictures_are_made_smaller():
    content, width, height = film_files.gif(clip(3, size=(400, 600)), 160, 200)
    assert (width, height) == (160, 107)
    assert read_gif(content)[0][0].shape == (107, 160, 3)


@pytest.mark.parametrize("size", [(40, 60), (7, 161), (301, 401)])
def test_an_mp4_has_each_picture_in_real_time(tmp_path, size):
    from moviepy import VideoFileClip

    path = film_files.write(clip(12, size), tmp_path / "videos", 16_000, 2, "mp4")
    assert path == tmp_path / "videos" / "step-16000-return--12.5-episode-2.mp4"
    with VideoFileClip(str(path)) as video:
        assert video.fps == 10.0
        assert video.duration == pytest.approx(1.2)
        assert all(side % 2 == 0 for side in video.size)
        assert video.size[0] >= 120
        frames = list(video.iter_frames())
    assert len(frames) == 12
    for t, frame in enumerate(frames):
        brightness = frame.mean(axis=(0, 2))
        if 2 * t + 2 <= size[1] // 2 * 2:
            centre = (2 * t + 1) * frame.shape[1] / (size[1] // 2 * 2)  # Of the bar.
            assert np.average(np.arange(len(brightness)), weights=brightness) == pytest.approx(centre, abs=4.0)
    assert list((tmp_path / "videos").iterdir()) == [path]


@pytest.mark.parametrize(
    ("pictures", "fps"), [(30, 15.0), (25, 15.0), (30, 30.0), (29, 25.0), (1, 30.0), (200, 50.0), (11, 29.97)]
)
def test_an_mp4_has_the_last_picture_too(tmp_path, pictures, fps):
    """30 at 15 a second were 29: thirty fifteenths of a second are less than two in floating point."""
    from imageio_ffmpeg import count_frames_and_secs

    path = film_files.write(clip(pictures, (8, 2 * pictures), fps), tmp_path, 0, 0, "mp4")
    assert count_frames_and_secs(path)[0] == pictures


def test_the_name_of_a_file_tells_step_return_and_number(tmp_path):
    for reward, shown in ((500.0, "500"), (-0.25, "-0.25"), (1234.5678, "1234.57")):
        path = film_files.write(clip(2, reward=reward), tmp_path, 7, 0, "gif")
        assert path.name == f"step-7-return-{shown}-episode-0.gif"
        assert Image.open(path).n_frames == 2


@pytest.mark.parametrize(("file_format", "package"), [("mp4", "moviepy"), ("gif", "PIL")])
def test_a_missing_package_is_named_with_the_extra(monkeypatch, file_format, package):
    film_files.check_format(file_format, "here")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"here needs the Python package '{package}'.*pip install 'polyrl\[video\]'") as told:
        film_files.check_format(file_format, "here")
    # To use the other format would be no help: its package, or what renders, may be missing as well.
    assert str(told.value).endswith("Install it with `pip install 'polyrl[video]'`.")


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="here: the format 'avi' is unknown"):
        film_files.check_format("avi", "here")
