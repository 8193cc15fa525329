"""An HTTP server for a `ServedModel`, in TensorFlow Serving's REST form, on Python's standard library."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import re
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from polyrl.serving.requests import RequestError, unpacked
from polyrl.serving.served_model import ServedModel

logger = logging.getLogger("polyrl")

LARGEST_BODY = 64 * 2**20
"""Bytes; a larger request is refused."""

DROPPED_BODY = 8 * LARGEST_BODY
"""Bytes of a refused body that are read and dropped at the most, so that the client comes to read the answer."""

DROP_SECONDS, SILENCE = 30.0, 5.0
"""How long that may take, and how long the client may send nothing."""

LAST_ANSWERS = 10.0
"""Seconds that a server which ends waits for the requests that it is answering."""

MODEL = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d{1,18}))?(/metadata|:[a-z]+)?")


def check_address(host: str, port: int) -> None:
    """Raises an OSError, which says where, if nothing can listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            raise _at(host, port, error) from None


def _at(host: str, port: int, error: OSError) -> OSError:
    another = "--host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "--port"
    return OSError(error.errno, f"cannot listen at {host}, port {port}: {error.strerror}; use another {another}")


class ModelServer(ThreadingHTTPServer):
    """Answers requests, each connection in a thread of its own.

    Args:
        model: what is served.
        host: address to listen at; `0.0.0.0`: all.
        port: to listen at; 0: any that is free.

    Raises:
        OSError: if it cannot listen there; the message says where.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, model: ServedModel, host: str = "127.0.0.1", port: int = 8501):
        self.model = model
        self._answering, self._changed = 0, threading.Condition()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise _at(host, port, error) from None

    def server_bind(self) -> None:
        # Without HTTPServer's look-up of the host's full name, which may take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Around each request: a server that ends waits for it."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def finish(self) -> None:
        """Waits for the requests that are being answered, and closes. No new ones may be accepted any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._answering == 0, LAST_ANSWERS)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("A connection of %s broke off.", client_address, exc_info=True)

    def _count(self, change: int) -> None:
        with self._changed:
            self._answering += change
            self._changed.notify_all()


def serve_until_signalled(server: ModelServer) -> int:
    """Serves until SIGINT or SIGTERM, answers the requests that it has begun, and returns the signal's number."""
    ended, numbers = threading.Event(), []

    def end(number: int, frame: Any) -> None:
        numbers.append(number)
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with serving(server):
            while not ended.wait(0.2):  # A signal that another thread receives does not wake this one.
                pass
            for number, handler in before.items():  # A second one does not wait.
                signal.signal(number, handler)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return numbers[0]


@contextlib.contextmanager
def serving(server: ModelServer) -> Iterator[None]:
    """Serves in another thread, for as long as the block runs."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.finish()


class _Handler(BaseHTTPRequestHandler):
    """One connection: requests one after the other."""

    server: ModelServer
    protocol_version = "HTTP/1.1"
    server_version = "polyrl"
    timeout = 120.0
    # Head and body leave together: apart, the second would wait for the client's acknowledgement of the first.
    wbufsize = 2**16
    disable_nagle_algorithm = True
    _has_read = _has_unread = False

    def do_GET(self) -> None:
        self._answer("GET", lambda verb: {None: self._status, "/metadata": self._metadata}.get(verb))

    def do_POST(self) -> None:
        self._answer("POST", lambda verb: self._predict if verb == ":predict" else None)

    def do_PUT(self) -> None:
        self._refuse(RequestError("Only GET and POST are answered.", HTTPStatus.METHOD_NOT_ALLOWED))

    do_DELETE = do_PATCH = do_HEAD = do_PUT

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses (a malformed request line, an unknown method) is answered in JSON as well."""
        self._refuse(RequestError(message or HTTPStatus(code).phrase, code))
        self.wfile.flush()  # As the base class does after what it does not refuse; the client may keep the connection.

    def handle_expect_100(self) -> bool:
        """To a client that asks before it sends a body: yes, or why not."""
        if not self._is_too_large():
            super().handle_expect_100()
            self.wfile.flush()
            return True
        self._refuse(self._too_large())
        self._has_unread = False
        return False

    def finish(self) -> None:
        """Before the end of a connection, what a client still sends of a refused body is read and dropped.

        Otherwise the system would reset the connection, and throw away the answer with it.
        """
        with contextlib.suppress(OSError):  # It may have gone.
            self.wfile.flush()
            if self._has_unread:
                self.connection.shutdown(socket.SHUT_WR)
                self.connection.settimeout(SILENCE)
                left, end = DROPPED_BODY, time.monotonic() + DROP_SECONDS
                while left > 0 and time.monotonic() < end and (part := self.rfile.read1(2**16)):
                    left -= len(part)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        logger.debug(format, *args)

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _answer(self, method: str, answers: Callable[[str | None], Callable[[], bytes] | None]) -> None:
        with self.server.answering():
            try:
                found = MODEL.fullmatch(self.path.partition("?")[0])
                if found is None:
                    here = f"{method} {self.path}. The model is at /v1/models/{self.server.model.name}"
                    raise RequestError(f"Malformed request: {here}, with :predict or /metadata.", HTTPStatus.NOT_FOUND)
                name, version, verb = found.groups()
                answer = answers(verb)
                if answer is None:
                    self._raise_for(method, verb)
                self.server.model.check(name, version)
                assert answer is not None
                self._send(HTTPStatus.OK, answer())
            except RequestError as error:
                self._refuse(error)
            except ConnectionError:
                raise
            except Exception as error:
                logger.exception("%s %s failed.", method, self.path)
                self._refuse(RequestError(f"{type(error).__name__}: {error}", HTTPStatus.INTERNAL_SERVER_ERROR))

    def _raise_for(self, method: str, verb: str | None) -> None:
        """Says why a model's address is not answered."""
        if verb in (None, "/metadata", ":predict"):
            right = "POST" if verb == ":predict" else "GET"
            asks = (
                f" Predictions are asked for with POST {self.path.partition('?')[0].rstrip('/')}:predict."
                if verb is None
                else ""
            )
            raise RequestError(f"Use {right}, not {method}.{asks}", HTTPStatus.METHOD_NOT_ALLOWED)
        raise RequestError(f"{verb} is not answered: the signatures of a policy are for :predict.")

    def _status(self) -> bytes:
        return json.dumps(self.server.model.status(), indent=1).encode()

    def _metadata(self) -> bytes:
        return json.dumps(self.server.model.metadata(), indent=1).encode()

    def _predict(self) -> bytes:
        return self.server.model.predict(self._body())

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise RequestError("The request needs a Content-Length.", HTTPStatus.LENGTH_REQUIRED)
        if self._is_too_large():
            raise self._too_large()
        self._has_read = True
        body = self.rfile.read(int(length))
        body = unpacked(body, self.headers.get("Content-Encoding", "identity"), LARGEST_BODY)
        if len(body) > LARGEST_BODY:
            raise self._too_large()
        return body

    def _is_too_large(self) -> bool:
        length = self.headers.get("Content-Length", "")
        return length.isdecimal() and int(length) > LARGEST_BODY

    @staticmethod
    def _too_large() -> RequestError:
        return RequestError(f"The body is larger than {LARGEST_BODY} bytes.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def _refuse(self, error: RequestError) -> None:
        self._send(error.status, json.dumps({"error": str(error)}).encode())

    def _send(self, status: int, body: bytes) -> None:
        # What was not read of a body would be taken for the next request.
        headers = getattr(self, "headers", {})
        has_body = headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers
        self._has_unread, self._has_read = has_body and not self._has_read, False
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, POST")
        if self._has_unread:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
