"""A SavedModel without any reinforcement learning, and a client that speaks HTTP only."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import tensorflow as tf


class Doubling(tf.Module):
    """Doubles numbers; adds images and steps; refuses negative steps."""

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "state")])
    def double(self, state: Any) -> Any:
        return {"twice": 2.0 * state, "sum": tf.reduce_sum(state, axis=1)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2, 2], tf.uint8, "image"),
            tf.TensorSpec([None], tf.int32, "step"),
            tf.TensorSpec([None, 3], tf.bool, "mask"),
        ]
    )
    def mixed(self, image: Any, step: Any, mask: Any) -> Any:
        tf.debugging.Assert(tf.reduce_all(step >= 0), ["step: expected none below 0, got", step])
        return {"sum": tf.reduce_sum(tf.cast(image, tf.int32), axis=[1, 2]) + step, "legal": mask}

    @tf.function(input_signature=[tf.TensorSpec([2], tf.int32, "seed")])
    def scalar(self, seed: Any) -> Any:
        return {"one": seed[0], "both": seed}


def save(path: Path) -> Path:
    """Writes it as a version."""
    module = Doubling()
    tf.saved_model.save(
        module,
        str(path),
        signatures={"serving_default": module.double, "mixed": module.mixed, "scalar": module.scalar},
    )
    return path


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """Status, the JSON that was answered, and the headers; a str is sent as it is."""
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    connection.request(method, path, text, headers)
    response = connection.getresponse()
    content = response.read()
    return response.status, json.loads(content), {name.lower(): value for name, value in response.getheaders()}
