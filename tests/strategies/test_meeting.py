"""Processes of a cluster wait for each other before TensorFlow connects them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest
from cluster_testing import free_ports

from polyrl.estimators.strategies import meeting
from polyrl.estimators.strategies.meeting import meet


def addresses(count: int) -> list[str]:
    return [f"127.0.0.1:{port}" for port in free_ports(count)]


def silent(line: str) -> None:
    raise AssertionError(line)


def started(address: str, others: list[str], tell: Callable[[str], None] = silent) -> threading.Thread:
    thread = threading.Thread(target=meet, args=(address, others, tell), daemon=True)
    thread.start()
    return thread


def listening(address: str) -> socket.socket:
    return socket.create_server(("127.0.0.1", int(address.rpartition(":")[2])))


def test_it_waits_until_all_are_there_and_listens_meanwhile() -> None:
    own, second, third = addresses(3)
    thread = started(own, [second, third])
    with listening(second):
        time.sleep(3 * meeting.PAUSE)
        assert thread.is_alive()
        assert not meeting._missing([own])
        with listening(third):
            thread.join(20.0)
            assert not thread.is_alive()


def test_two_of_them_find_each_other() -> None:
    # Who goes on first listens no more until TensorFlow's server does, here by the second socket.
    first, second = addresses(2)
    threads = {first: started(first, [second]), second: started(second, [first])}
    deadline = time.monotonic() + 20.0
    while all(thread.is_alive() for thread in threads.values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    gone = [address for address, thread in threads.items() if not thread.is_alive()]
    assert gone
    with listening(gone[0]):
        for thread in threads.values():
            thread.join(20.0)
    assert not any(thread.is_alive() for thread in threads.values())


def test_the_address_is_free_afterwards() -> None:
    own, other = addresses(2)
    with listening(other):
        meet(own, [other], silent)
    listening(own).close()


def test_one_process_waits_for_nobody() -> None:
    meet(addresses(1)[0], [], silent)


def test_for_whom_it_waits_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "PATIENCE", 0.0)
    own, missing = addresses(2)

    class Told(Exception):
        pass

    def tell(line: str) -> None:
        raise Told(line)

    with pytest.raises(
        Told, match=rf"Still waiting for {missing} \(Connection refused\), no-such-host.invalid:2222 \(.+\)\.$"
    ):
        meet(own, [missing, "no-such-host.invalid:2222"], tell)


def test_an_address_that_is_taken_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            meet(f"127.0.0.1:{taken.getsockname()[1]}", [], silent)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_a_name_that_only_others_know_is_listened_for_at_all_interfaces(host: str) -> None:
    port = free_ports(1)[0]
    with meeting._listening(f"{host}:{port}"):
        socket.create_connection(("127.0.0.1", port), timeout=5.0).close()


def test_an_address_of_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    port = free_ports(1)[0]
    with meeting._listening(f"[::1]:{port}"):
        assert not meeting._missing([f"[::1]:{port}"])
