"""An environment whose pictures say which step they show."""

from __future__ import annotations

import gymnasium
import numpy as np
from tiny_envs import ScheduleEnv


class PaintedEnv(ScheduleEnv):
    """`ScheduleEnv` with pictures: at step `t` all of it has the brightness `30 t`, modulo 256."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, size=(6, 8), render_mode=None, **arguments):
        super().__init__(**arguments)
        self.render_mode, self._picture = render_mode, np.zeros([*size, 3], np.uint8)

    def render(self):
        self._picture[:] = 30 * self._t % 256  # The same array each time, as some environments have it.
        return self._picture


class BlackOut(PaintedEnv):
    """Its graphics fail in the second step."""

    def render(self):
        if self._t == 2:
            raise RuntimeError("lost the context")
        return super().render()


class NeedsPackage(PaintedEnv):
    """As gymnasium's environments where pygame is not installed."""

    def render(self):
        raise gymnasium.error.DependencyNotInstalled("pygame is not installed")


class Returns(PaintedEnv):
    """Gives something else in place of a picture."""

    def __init__(self, picture, render_mode=None):
        super().__init__(render_mode=render_mode)
        self._given = picture

    def render(self):
        return self._given
