"""The server as a client of TensorFlow Serving sees it: https://www.tensorflow.org/tfx/serving/api_rest."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from serving_testing import ask

from polyrl.experiments.serving import Serving
from polyrl.serving import server as server_module
from polyrl.serving.served_model import ServedModel
from polyrl.serving.server import ModelServer, serve_until_signalled

MODEL = "/v1/models/policy"
PREDICT = f"{MODEL}:predict"


# What is answered. ------------------------------------------------------------------------------------------------------


def test_rows_are_answered_in_rows(client):
    status, answer, headers = ask(client, "POST", PREDICT, {"instances": [[1.0, 2.5], [3, -4]]})
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert answer == {"predictions": [{"sum": 3.5, "twice": [2.0, 5.0]}, {"sum": -1.0, "twice": [6.0, -8.0]}]}
    assert ask(client, "POST", PREDICT, {"instances": [{"state": [1.0, 2.5]}, {"state": [3, -4]}]})[1] == answer


def test_columns_are_answered_in_columns(client):
    expected = {"outputs": {"sum": [3.5], "twice": [[2.0, 5.0]]}}
    for given in ([[1.0, 2.5]], {"state": [[1.0, 2.5]]}):
        assert ask(client, "POST", PREDICT, {"inputs": given})[:2] == (200, expected)


def test_a_signature_is_named_and_its_dtypes_are_kept(client):
    images = [[[1, 2], [3, 4]], [[255, 255], [255, 255]]]
    masks = [[True, False, True], [False, False, True]]
    rows = [{"image": image, "step": step, "mask": mask} for image, step, mask in zip(images, (5, 7), masks, strict=True)]
    status, answer, _ = ask(client, "POST", PREDICT, {"signature_name": "mixed", "instances": rows})
    assert (status, answer) == (200, {"predictions": [{"legal": masks[0], "sum": 15}, {"legal": masks[1], "sum": 1027}]})
    columns = {"image": images, "step": [5, 7], "mask": masks}
    status, answer, _ = ask(client, "POST", PREDICT, {"signature_name": "mixed", "inputs": columns})
    assert (status, answer) == (200, {"outputs": {"legal": masks, "sum": [15, 1027]}})


def test_numbers_come_back_to_the_last_bit(client):
    values = np.random.default_rng(0).normal(size=[50, 2]).astype(np.float32)
    _, answer, _ = ask(client, "POST", PREDICT, {"inputs": values.tolist()})
    np.testing.assert_array_equal(np.array(answer["outputs"]["twice"], np.float32), 2 * values)


def test_the_version_may_be_named(client):
    assert ask(client, "POST", f"{MODEL}/versions/123:predict", {"instances": [[1, 2]]})[0] == 200
    assert ask(client, "GET", f"{MODEL}/versions/123")[0] == 200


def test_the_status_is_that_of_tensorflow_serving(client):
    status, answer, _ = ask(client, "GET", MODEL)
    state = {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert (status, answer) == (200, {"model_version_status": [state]})


def test_the_metadata_tell_the_signatures(client):
    status, answer, _ = ask(client, "GET", f"{MODEL}/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "policy", "signature_name": "", "version": "123"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    found = signatures["serving_default"]
    assert found["method_name"] == "tensorflow/serving/predict"
    assert found["inputs"]["state"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}], "unknown_rank": False},
        "name": "serving_default_state:0",
    }
    assert {"mixed", "scalar"} <= set(signatures)


def test_many_requests_go_over_one_connection_and_many_connections_at_once(served):
    wrong = []

    def many(number):
        connection = http.client.HTTPConnection("127.0.0.1", served.server_port, timeout=20)
        for step in range(20):
            _, answer, _ = ask(connection, "POST", PREDICT, {"inputs": [[number, step]]})
            if answer["outputs"]["twice"] != [[2.0 * number, 2.0 * step]]:
                wrong.append(answer)
        connection.close()

    threads = [threading.Thread(target=many, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# What is refused. -------------------------------------------------------------------------------------------------------

MIXED = {"image": [[[1, 2], [3, 4]]], "step": [5], "mask": [[True, False, True]]}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1, 2]", "must be a JSON object"),
        ("\xff", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ({}, "either 'instances' or 'inputs'; it has []"),
        ({"instances": [[1, 2]], "inputs": [[1, 2]]}, "either 'instances' or 'inputs'"),
        ({"instances": []}, "at least one instance"),
        ({"instances": "x"}, "at least one instance"),
        ({"instances": [[1, 2], {"state": [1, 2]}]}, "Each of the 'instances' must be an object"),
        ({"instances": [{"other": [1, 2]}]}, "instances[0] has the inputs ['other']; expected ['state']"),
        ({"instances": [{"state": [1, 2], "more": 1}]}, "expected ['state']"),
        ({"instances": [[1, 2], [3]]}, "state: lists of different lengths; expected float32 of shape [n, 2]"),
        ({"instances": [1, 2]}, "state: got shape [2]; expected float32 of shape [n, 2]"),
        ({"instances": [[[1, 2]]]}, "state: got shape [1, 1, 2]"),
        ({"instances": [["a", "b"]]}, "state: got strings"),
        ({"instances": [[None, 2]]}, "state: got values that are not all numbers"),
        ({"instances": [[True, 2]]}, "state: got true and false"),
        ({"instances": [[True, 2.5]]}, "state: got true and false"),
        ('{"instances": [[NaN, 2]]}', "state: got NaN or infinity"),
        ('{"instances": [[1, -Infinity]]}', "state: got NaN or infinity"),
        ({"instances": [[1e39, 2]]}, "state: got numbers that float32 cannot hold"),
        ({"instances": [[10**400, 2]]}, "state: got values that are not all numbers"),
        ({"inputs": {}}, "has the inputs []; expected ['state']"),
        ({"inputs": 3}, "state: got shape []"),
        ({"inputs": []}, "state: got shape [0]"),
        ({"signature_name": "other", "inputs": [[1, 2]]}, "no signature 'other'; the model has ['mixed', 'scalar', 'serving_"),
        ({"signature_name": 3, "inputs": [[1, 2]]}, "'signature_name' must be a string"),
        ({"signature_name": "mixed", "inputs": [[1, 2]]}, "must be an object with the inputs ['image', 'mask', 'step']"),
        ({"signature_name": "mixed", "inputs": {"image": [], "step": []}}, "expected ['image', 'mask', 'step']"),
        ({"signature_name": "mixed", "inputs": {**MIXED, "step": [1.5]}}, "step: got numbers with a fraction"),
        ({"signature_name": "mixed", "inputs": {**MIXED, "step": [2**31]}}, "step: got numbers that int32 cannot hold"),
        ({"signature_name": "mixed", "inputs": {**MIXED, "image": [[[1, 2], [3, 256]]]}}, "image: got numbers that uint8"),
        ({"signature_name": "mixed", "inputs": {**MIXED, "image": [[[1, 2], [3, -1]]]}}, "image: got numbers that uint8"),
        (
            {"signature_name": "mixed", "inputs": {**MIXED, "mask": [[1, 0, 1]]}},
            "mask: got integers; expected true and false of shape [n, 3]",
        ),
        ({"signature_name": "mixed", "inputs": {**MIXED, "step": [-1]}}, "step: expected none below 0, got"),
        ({"signature_name": "scalar", "instances": [[1, 2]]}, "seed: got shape [1, 2]; expected int32 of shape [2]"),
        ({"signature_name": "scalar", "instances": [1, 2]}, "have not as many rows each"),
    ],
)
def test_a_bad_request_is_answered_with_400_and_why_and_the_next_one_with_200(client, body, reason):
    status, answer, _ = ask(client, "POST", PREDICT, body)
    assert status == 400
    assert list(answer) == ["error"]
    assert reason in answer["error"]
    assert ask(client, "POST", PREDICT, {"instances": [[1, 2]]})[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("POST", "/v1/models/other:predict", 404, "no model other; this server has policy, version 123"),
        ("POST", f"{MODEL}/versions/7:predict", 404, "no model policy, version 7"),
        ("GET", "/v1/models/other", 404, "no model other"),
        ("GET", f"{MODEL}/versions/7/metadata", 404, "version 7"),
        ("GET", "/", 404, "Malformed request: GET /"),
        ("GET", "/v1/models", 404, "Malformed request"),
        ("GET", "/v1/models/../x", 404, "Malformed request"),
        ("GET", PREDICT, 405, "Use POST, not GET"),
        ("POST", MODEL, 405, f"Use GET, not POST. Predictions are asked for with POST {MODEL}:predict."),
        ("POST", f"{MODEL}/predict", 404, f"The model is at {MODEL}, with :predict or /metadata."),
        ("POST", f"{MODEL}/metadata", 405, "Use GET, not POST"),
        ("DELETE", MODEL, 405, "Only GET and POST"),
        ("PUT", PREDICT, 405, "Only GET and POST"),
        ("POST", f"{MODEL}:classify", 400, ":classify is not answered"),
        ("OPTIONS", MODEL, 501, "Unsupported method"),
    ],
)
def test_what_is_not_there_is_answered_with_its_status(client, method, path, status, reason):
    found, answer, headers = ask(client, method, path, {"instances": [[1, 2]]})
    assert found == status
    assert reason in answer["error"]
    assert ("allow" in headers) == (status == 405)
    assert ask(client, "POST", PREDICT, {"instances": [[1, 2]]})[0] == 200


def raw(server, request):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(request)
        answered = b""
        while part := connection.recv(65536):
            answered += part
    return answered


@pytest.mark.parametrize("unknown", ["temperature", "instance", "seed"])
def test_what_nothing_reads_in_a_body_is_refused(client, unknown):
    status, answer, _ = ask(client, "POST", PREDICT, {"instances": [[1, 2]], unknown: 0.5})
    assert status == 400
    assert answer["error"] == f"The body has ['{unknown}'], which nothing reads; it may have 'signature_name' in addition."


def test_a_body_of_unknown_length_or_too_large_is_refused_unread(served, monkeypatch):
    start = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n".encode()
    answered = raw(served, start + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 411 ")
    assert answered.count(b"HTTP/1.1") == 1, "the body is not taken for another request"
    monkeypatch.setattr(server_module, "LARGEST_BODY", 10)
    assert raw(served, start + b"Content-Length: 11\r\n\r\n").startswith(b"HTTP/1.1 413 ")


def test_what_is_not_http_is_refused_in_json(served):
    answered = raw(served, b"nonsense\r\n\r\n")
    assert b'{"error": "Bad request' in answered


def test_a_fault_of_the_server_is_answered_with_500(served, client, monkeypatch):
    def fail(self, body):
        raise RuntimeError("a fault")

    monkeypatch.setattr(ServedModel, "predict", fail)
    assert ask(client, "POST", PREDICT, {"instances": [[1, 2]]})[:2] == (500, {"error": "RuntimeError: a fault"})
    monkeypatch.undo()
    assert ask(client, "POST", PREDICT, {"instances": [[1, 2]]})[0] == 200


# Beginning and end. -----------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_named(served):
    with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1, port {served.server_port}: .*; use another --port"):
        ModelServer(served.model, port=served.server_port)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_request_that_it_answers(served, monkeypatch, number):
    answered, handlers = [], [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    predict, begun = ServedModel.predict, threading.Event()

    def slow(self, body):
        begun.set()
        time.sleep(0.4)
        return predict(self, body)

    monkeypatch.setattr(ServedModel, "predict", slow)
    server = ModelServer(served.model, port=0)

    def request():
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        thread = threading.Thread(target=lambda: begun.wait(20) and signal.raise_signal(number))
        thread.start()
        answered.append(ask(connection, "POST", PREDICT, {"instances": [[1, 2]]})[0])
        thread.join()

    asking = threading.Thread(target=request)
    asking.start()
    assert serve_until_signalled(server) == number
    asking.join()
    assert answered == [200]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    with pytest.raises(ConnectionError):
        http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5).request("GET", MODEL)


def test_the_answer_is_that_of_the_saved_model(served, client):
    function = tf.saved_model.load(str(served.model.path)).signatures["serving_default"]
    values = np.random.default_rng(1).normal(size=[32, 2]).astype(np.float32)
    expected = {name: value.numpy().tolist() for name, value in function(state=tf.constant(values)).items()}
    assert ask(client, "POST", PREDICT, {"inputs": {"state": values.tolist()}})[1] == {
        "outputs": json.loads(json.dumps(expected))
    }


def test_an_address_in_use_is_told_before_anything_is_exported(served):
    serving = Serving(port=served.server_port, export_format="onnx")
    with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1, port {served.server_port}: .*; use another --port"):
        serving.for_a_server()
    assert Serving(port=0, export_format="onnx").for_a_server() == Serving(port=0, export_format="saved_model")
