"""The processes of a cluster wait for each other in Python, before TensorFlow connects them.

TensorFlow waits in code that keeps Python's lock, and takes SIGTERM for itself: nothing would end a process that waits.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterator

PAUSE = 0.2
"""Seconds between two looks for those that are missing."""

PATIENCE = 30.0
"""Seconds of waiting between two lines that say for whom."""


def meet(address: str, others: list[str], tell: Callable[[str], None]) -> None:
    """Waits until each of the other processes listens; meanwhile this one does.

    Args:
        address: of this process, as `first:2222`.
        others: addresses of the others.
        tell: shows a line: from time to time, for whom this process waits, and why.

    Raises:
        OSError: if this process cannot listen at its address.
    """
    with _listening(address):
        missing = _missing(others)
        told = time.monotonic()
        while missing:
            time.sleep(PAUSE)
            if time.monotonic() - told > PATIENCE:
                told = time.monotonic()
                tell("Still waiting for " + ", ".join(f"{other} ({reason})" for other, reason in missing.items()) + ".")
            missing = _missing(list(missing))


def _missing(addresses: list[str]) -> dict[str, str]:
    """The addresses at which nothing listens, and what the system says of each."""
    found = {}
    for address in addresses:
        try:
            socket.create_connection(_parts(address), timeout=1.0).close()
        except OSError as error:
            found[address] = error.strerror or str(error)
    return found


@contextlib.contextmanager
def _listening(address: str) -> Iterator[None]:
    """Within it the others see that this process is there. Nothing is read: TensorFlow's server comes after it."""
    with _bound(address) as listener:
        listener.listen()
        yield


def _bound(address: str) -> socket.socket:
    try:
        family, _, _, _, place = socket.getaddrinfo(*_parts(address), type=socket.SOCK_STREAM)[0]
        return _socket(family, place)
    except OSError as error:
        if not isinstance(error, socket.gaierror) and error.errno != errno.EADDRNOTAVAIL:
            raise
    # A name by which others know this machine, and it does not know itself: of a service, or behind a router.
    return _socket(socket.AF_INET, ("", _parts(address)[1]))


def _socket(family: int, place: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
    except BaseException:
        made.close()
        raise
    return made


def _parts(address: str) -> tuple[str, int]:
    """Host and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
