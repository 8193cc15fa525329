"""Addresses of Ray's clusters: what is none, or where nothing listens, is told at once."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from polyrl.distributed import cluster
from polyrl.distributed.cluster import connected

if importlib.util.find_spec("ray") is None:
    pytest.skip("ray is not installed: pip install 'polyrl[ray]'", allow_module_level=True)

OPENS = """
import ray
from polyrl.distributed.cluster import connected

try:
    with connected(None, 1):
        print("began")
except RuntimeError as error:
    print(error)
"""

ENDS = """
import os, signal
from polyrl.distributed.cluster import connected

with connected(None, 1):
    print("begun", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("still there")
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize(
    "address", ["foo", "", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:0", "127.0.0.1:70000", "http://127.0.0.1:6379"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"ray_address=.* is no address; expected 'host:port'"), connected(address, 1):
        pass


@pytest.mark.parametrize(
    "form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "[::1]:{}", "[::ffff:127.0.0.1]:{}", "no.such.host.invalid:{}", "a..b:{}"]
)
def test_an_address_where_nothing_listens_is_refused(form: str) -> None:
    address = form.format(free_port())
    with pytest.raises(ValueError, match=r"nothing answers there .* Start Ray there"), connected(address, 1):
        pass


def test_a_long_wait_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Something listens, and is not Ray: it says nothing."""
    said: list[str] = []

    def slow(**_: object) -> None:
        said.extend(record.message for record in caplog.records)
        time.sleep(0.3)
        said.extend(record.message for record in caplog.records)
        raise ConnectionError("never")

    os.environ.setdefault(cluster.ONE_MACHINE, "0")  # Other tests of this process need it to have been there at the import.
    monkeypatch.setattr("ray.init", slow)
    monkeypatch.setattr(cluster, "REACHED_WITHIN", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        told = r"could not connect to ray_address='127.0.0.1:\d+' \(never\)\. Set the environment variable RAY_AUTH_MODE=token"
        with pytest.raises(ConnectionError, match=told), connected(address, 1):
            pass
    text = (
        "Ray has not answered at ray_address='{}' for 0.1 seconds. If nothing runs there, interrupt this and start Ray there."
    )
    assert len(said) == 1
    assert said[0].startswith(text.format(address))


def test_a_cluster_that_would_listen_on_all_interfaces_is_refused() -> None:
    environment = {name: value for name, value in os.environ.items() if name != cluster.ONE_MACHINE}
    done = subprocess.run([sys.executable, "-c", OPENS], capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "Ray was imported before, by this program or for a cluster at an address: one of this run's own"
    )


def test_signals_are_answered_as_before_beside_ray() -> None:
    """Ray's own code for SIGTERM would print a stack of addresses, and abort."""
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=100)
    assert done.stdout == "begun\n"
    assert done.returncode == -signal.SIGTERM
    assert "SIGTERM" not in done.stderr
