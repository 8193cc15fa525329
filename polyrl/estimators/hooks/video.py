"""The hook that records videos while training."""

from __future__ import annotations

import logging

from polyrl.envs import film, film_files
from polyrl.envs.gym import EnvLike
from polyrl.estimators.hooks.base import Cadence, Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.estimators.hooks.pace import aside
from polyrl.summaries import write_animation
from polyrl.validation import check_int

logger = logging.getLogger("polyrl")

DIRECTORY = "videos"
WIDTH, MOST = 160, 200
"""Of the GIF in TensorBoard: the largest width in pixels, and number of pictures. Event files are read as a whole."""


class VideoHook(Hook):
    """Records greedy episodes with the present weights every `every_timesteps` environment steps.

    Each becomes a file in `model_dir/videos`, and the first a small animated GIF in TensorBoard, `eval/video`. The run is the
    one without the hook, bit for bit: episodes have an environment and random numbers of their own. What goes wrong, as a
    package that is missing or an environment that cannot be rendered, is logged once, and the run goes on without videos.

    Args:
        env: what to record, as for `Agent.train`; not the instance that is trained on. It is made again for each recording.
        every_timesteps: environment steps between two recordings.
        episodes: episodes of one recording.
        file_format: of the files, `'mp4'` or `'gif'`.

    Raises:
        ValueError: for numbers below 1, or another format.
    """

    def __init__(self, env: EnvLike, every_timesteps: int, episodes: int = 1, file_format: str = "mp4"):
        self._env = env
        self._cadence = Cadence(check_int("every_timesteps", every_timesteps, minimum=1))
        self._episodes = check_int("episodes", episodes, minimum=1)
        if file_format not in film_files.FORMATS:
            raise ValueError(f"file_format={file_format!r} is unknown; use one of {film_files.FORMATS}.")
        self._format = file_format
        self._has_failed = False

    def begin(self, run: RunContext) -> None:
        self._cadence.start(run.timestep)

    def after_act(self, run: RunContext) -> None:
        if self._has_failed or not self._cadence.due(run.timestep):
            return
        try:
            with aside(run):
                self._record(run)
        except Exception as error:  # Whatever a graphics library, an encoder or the disk comes up with: it is only a video.
            self._has_failed = True
            logger.warning("VideoHook: %s: %s The run goes on without videos.", type(error).__name__, error)

    def _record(self, run: RunContext) -> None:
        for file_format in {"gif", self._format}:
            film_files.check_format(file_format, "VideoHook")
        for index, clip in enumerate(film.clips(self._env, self._episodes, run.play)):
            film_files.write(clip, run.model_dir / DIRECTORY, run.timestep, index, self._format)
            if index == 0:
                write_animation(run.writer, "eval/video", *film_files.gif(clip, WIDTH, MOST), step=run.timestep)
