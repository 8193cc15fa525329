"""`ServedModel`: one version of an exported model, and what it answers."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from polyrl.errors import gist
from polyrl.serving import requests
from polyrl.serving.formats import SERVING
from polyrl.serving.requests import RequestError


class ServedModel:
    """A SavedModel whose directory is named by its version.

    Args:
        name: that clients call it by.
        path: its directory, `.../<name>/<version>`.

    Attributes:
        version: its number.
    """

    def __init__(self, name: str, path: Path):
        self.name, self.path, self.version = name, path, int(path.name)
        self._loaded = tf.saved_model.load(str(path))
        self._signatures = dict(self._loaded.signatures)

    def status(self) -> dict[str, Any]:
        """What `GET /v1/models/NAME` answers."""
        status = {"error_code": "OK", "error_message": ""}
        return {"model_version_status": [{"version": str(self.version), "state": "AVAILABLE", "status": status}]}

    def metadata(self) -> dict[str, Any]:
        """What `GET /v1/models/NAME/metadata` answers: the signatures, as they are in the file."""
        saved = SavedModel.FromString((self.path / "saved_model.pb").read_bytes())
        options: dict[str, Any] = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
        signatures = saved.meta_graphs[0].signature_def
        found = {name: MessageToDict(signatures[name], **options) for name in sorted(signatures)}
        spec = {"name": self.name, "signature_name": "", "version": str(self.version)}
        return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": found}}}

    def predict(self, body: bytes) -> bytes:
        """What `POST /v1/models/NAME:predict` answers.

        Raises:
            RequestError: for a request that the model cannot answer, and why.
        """
        request = requests.parsed(body)
        name = request.signature or SERVING
        if name not in self._signatures:
            raise RequestError(f"There is no signature {name!r}; the model has {sorted(self._signatures)}.")
        function = self._signatures[name]
        given = requests.arrays(request, function.structured_input_signature[1])
        try:
            outputs = function(**{key: tf.constant(value) for key, value in given.items()})
        except tf.errors.InvalidArgumentError as error:
            raise RequestError(_reason(error)) from None
        answered = requests.answer(request, {key: outputs[key].numpy() for key in sorted(outputs)})
        return json.dumps(answered).encode()

    def check(self, name: str, version: str | None) -> None:
        """Refuses another model or version, with 404."""
        if name != self.name or (version is not None and int(version) != self.version):
            asked = name if version is None else f"{name}, version {version}"
            served = f"{self.name}, version {self.version}"
            raise RequestError(f"There is no model {asked}; this server has {served}.", HTTPStatus.NOT_FOUND)


def _reason(error: tf.errors.InvalidArgumentError) -> str:
    """Why a model refuses its inputs: what `tf.debugging.Assert` was told to say, `[text] [values]`, or TensorFlow says."""
    found = re.search(r"assertion failed: (\[.*\])", str(error))
    return gist(error) if found is None else found[1][1:-1].replace("] [", " ")
