"""What other processes raised is told in few words, whatever Ray makes of it."""

from __future__ import annotations

import importlib.util
import threading
from typing import Any

import pytest

from polyrl.distributed.remote_errors import first_line, last_raised, raised

RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not RAY, reason="ray is not installed: pip install 'polyrl[ray]'")


class OfTwo(Exception):
    """Pickle makes it again with one argument, and fails."""

    def __init__(self, part: str, where: str):
        super().__init__(f"the {part} is off")
        self.where = where


class WithLock(Exception):
    """Pickle cannot take it."""

    def __init__(self, text: str):
        super().__init__(text)
        self.lock = threading.Lock()


def through_ray(error: Exception) -> BaseException:
    """As Ray gives it to the process that asked."""
    from ray.exceptions import RayError, RayTaskError

    def collect() -> None:
        raise error

    try:
        collect()
    except Exception as caught:
        import traceback

        text = "".join(traceback.format_exception(caught))
        told = RayTaskError("\x1b[36mray::Actor.collect()\x1b[39m", f"\x1b[36mray::Actor.collect()\x1b[39m\n{text}", caught)
    given: Any = RayError.from_bytes(told.to_bytes())
    return given.as_instanceof_cause() if isinstance(given, RayTaskError) else given


@needs_ray
@pytest.mark.parametrize("error", [OSError("the arm is off"), WithLock("the arm is off"), OfTwo("arm", "lab")])
def test_its_message_comes_first_without_colours(error: Exception) -> None:
    given = through_ray(error)
    shown = raised(given)
    assert "\x1b" not in shown
    assert shown.splitlines()[0].endswith(f"{type(error).__name__}: the arm is off"), shown


def test_an_error_of_this_process_is_told_as_it_is() -> None:
    assert raised(KeyError("mission")) == "KeyError: 'mission'"
    text = "\x1b[36mray::Actor\x1b[39m\nof its constructor\nOSError: no display\nand more"
    assert last_raised(ValueError(text)) == "OSError: no display\nand more"
    assert last_raised(ValueError("")) == "ValueError"
    assert first_line(ConnectionError("It is gone. Try again.\nframes")) == "It is gone"
