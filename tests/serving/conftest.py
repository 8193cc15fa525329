"""A server of a small SavedModel, and a client of it that keeps its connection."""

from __future__ import annotations

import http.client

import pytest
from serving_testing import save

from polyrl.serving.served_model import ServedModel
from polyrl.serving.server import ModelServer, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    server = ModelServer(ServedModel("policy", save(tmp_path_factory.mktemp("policy") / "123")), port=0)
    with serving(server):
        yield server


@pytest.fixture
def client(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.server_port, timeout=20)
    yield connection
    connection.close()
