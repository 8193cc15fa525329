"""A body that is refused: its client gets to see the answer, also while it is still sending."""

from __future__ import annotations

import gzip
import json
import socket
import time

import pytest

from polyrl.serving import server as server_module

PREDICT = "/v1/models/policy:predict"


class Zeros:
    """A body that is made as it is sent."""

    def __init__(self, size):
        self.left = size

    def read(self, size):
        sent = min(size, self.left)
        self.left -= sent
        return bytes(sent)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", PREDICT, {"Content-Length": "30000000"}, 413),
        ("POST", "/v1/models/other:predict", {"Content-Length": "30000000"}, 404),
        ("PUT", PREDICT, {"Content-Length": "30000000"}, 405),
        ("POST", PREDICT, {"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_a_client_that_is_still_sending_gets_the_refusal(served, client, monkeypatch, method, path, headers, status):
    """The connection was reset below it, and the answer was lost."""
    monkeypatch.setattr(server_module, "LARGEST_BODY", 1_000_000)
    client.request(method, path, Zeros(30_000_000), headers, encode_chunked="Transfer-Encoding" in headers)
    answer = client.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (status, "close")
    assert "error" in json.loads(answer.read())


def test_a_client_that_waits_for_a_word_is_refused_before_it_sends(served, monkeypatch):
    monkeypatch.setattr(server_module, "LARGEST_BODY", 10)
    start = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ".encode()
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", served.server_port), timeout=20) as connection:
        connection.sendall(start + b"11\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        while connection.recv(65536):
            pass
    assert time.monotonic() - began < server_module.SILENCE
    with socket.create_connection(("127.0.0.1", served.server_port), timeout=20) as connection:
        connection.sendall(start + b"2\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")


def test_what_is_dropped_has_a_bound(served, monkeypatch):
    monkeypatch.setattr(server_module, "LARGEST_BODY", 10)
    monkeypatch.setattr(server_module, "DROPPED_BODY", 1_000_000)
    start = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", served.server_port), timeout=20) as connection:
        connection.sendall(start)
        with pytest.raises(ConnectionError):
            connection.sendall(bytes(100_000_000))


@pytest.mark.parametrize(("method", "status"), [("HEAD", 405), ("PUT", 405), ("OPTIONS", 501), ("FOO", 501)])
def test_another_method_without_a_body_is_answered_at_once_on_a_connection_that_stays(served, method, status):
    """The answer stayed in a buffer until the connection ended, for which the client waited."""
    with socket.create_connection(("127.0.0.1", served.server_port), timeout=5) as connection:
        for _ in range(2):
            connection.sendall(f"{method} /v1/models/policy HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            assert head.startswith(f"HTTP/1.1 {status} ".encode())
            assert (body == b"") == (method == "HEAD")


GOOD = json.dumps({"instances": [[1.0, 2.0]]}).encode()


@pytest.mark.parametrize(
    ("encoding", "body", "status", "words"),
    [
        ("gzip", gzip.compress(GOOD), 200, "predictions"),
        ("GZIP", gzip.compress(GOOD), 200, "predictions"),
        ("identity", GOOD, 200, "predictions"),
        ("gzip", GOOD, 400, "The body is not gzip, as its Content-Encoding says"),
        ("gzip", gzip.compress(GOOD)[:-9], 400, "its end is missing"),
        ("br", GOOD, 415, "Content-Encoding: br is unknown; send gzip, or none."),
        ("gzip", gzip.compress(bytes(2_000_000)), 413, "larger than"),
    ],
    ids=["gzip", "upper case", "nothing", "not gzip", "cut", "another", "large"],  # What is packed says when.
)
def test_a_packed_body_is_unpacked_up_to_a_bound(served, client, monkeypatch, encoding, body, status, words):
    """TensorFlow Serving unpacks gzip; and a small body may be a large one."""
    monkeypatch.setattr(server_module, "LARGEST_BODY", 1_000_000)
    for _ in range(2):  # The connection stays.
        client.request("POST", PREDICT, body, {"Content-Encoding": encoding})
        answer = client.getresponse()
        assert (answer.status, words in answer.read().decode()) == (status, True)
