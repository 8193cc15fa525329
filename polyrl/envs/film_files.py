"""Clips as files: mp4 through moviepy, GIF through pillow."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from polyrl.envs.backends import import_package
from polyrl.envs.film import Clip
from polyrl.paths import make_directory

FORMATS = ("mp4", "gif")
SMALLEST = 160
"""Narrower pictures are enlarged, each pixel to a square: those of grids of ten pixels."""

FASTEST = 50.0
"""Pictures in a second of a GIF; browsers show one with more in slow motion."""


def check_format(file_format: str, needed_by: str) -> None:
    """Checks that the packages that write the format are installed.

    Raises:
        ValueError: for an unknown format; if a package is missing, with what installs it.
    """
    if file_format not in FORMATS:
        raise ValueError(f"{needed_by}: the format {file_format!r} is unknown; use one of {FORMATS}.")
    # The extra installs all that either format needs, and what renders: nothing else is advised.
    import_package({"mp4": "moviepy", "gif": "PIL"}[file_format], needed_by, "video")


def write(clip: Clip, directory: Path, step: int, index: int, file_format: str) -> Path:
    """Writes `step-<environment steps>-return-<return>-episode-<index>.<format>`; a GIF has at most 320 pixels in width.

    Args:
        clip: the episode.
        directory: is made if it does not exist.
        step: environment steps that its weights were trained for.
        index: tells episodes with the same weights apart.
        file_format: `'mp4'` or `'gif'`.
    """
    path = directory / f"step-{step}-return-{clip.reward:.6g}-episode-{index}.{file_format}"
    make_directory(directory)
    if file_format == "gif":
        path.write_bytes(gif(clip, 320, 400)[0])
        return path
    from moviepy import VideoClip

    height, width = clip.frames[0].shape[:2]
    times = _times(width)
    # Players refuse videos with odd heights or widths.
    frames = [_enlarged(frame, times)[: height * times // 2 * 2, : width * times // 2 * 2] for frame in clip.frames]
    # Half a picture longer: moviepy writes int(duration * fps) pictures, one too few where rounding makes the product smaller.
    length = (len(frames) + 0.5) / clip.fps
    video = VideoClip(lambda time: frames[min(round(time * clip.fps), len(frames) - 1)], duration=length)
    video.write_videofile(str(path), fps=clip.fps, logger=None)
    return path


def gif(clip: Clip, width: int, most: int) -> tuple[bytes, int, int]:
    """An animated GIF that repeats for ever, in real time, and its width and height.

    Args:
        clip: the episode.
        width: wider pictures are made smaller.
        most: the largest number of pictures; of more, every second, third, ... is shown.
    """
    image = import_package("PIL.Image", "A GIF", "video")
    every = max(-(-len(clip.frames) // most), int(np.ceil(clip.fps / FASTEST)))
    frames = clip.frames[::every]
    height, own = frames[0].shape[:2]
    times = _times(own)
    size = (own * times, height * times) if own * times <= width else (width, max(1, round(height * width / own)))
    pictures = [image.fromarray(_enlarged(frame, times)).resize(size) for frame in frames]
    # One table of colours for all, of a few pictures side by side: with one for each, a still background flickers.
    sample = pictures[:: -(-len(pictures) // 8)]
    board = image.new("RGB", (size[0], size[1] * len(sample)))
    for place, picture in enumerate(sample):
        board.paste(picture, (0, place * size[1]))
    colours = board.quantize(64)
    first, *others = [picture.quantize(palette=colours, dither=image.Dither.NONE) for picture in pictures]
    file = io.BytesIO()
    duration = round(1_000 * every / clip.fps)
    first.save(file, "GIF", save_all=True, append_images=others, duration=duration, loop=0, optimize=True)
    return file.getvalue(), *size


def _times(width: int) -> int:
    return max(1, SMALLEST // width)


def _enlarged(frame: np.ndarray, times: int) -> np.ndarray:
    return frame if times == 1 else frame.repeat(times, axis=0).repeat(times, axis=1)
