"""The schedules `export` and `serve` of an experiment."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from polyrl.envs import EnvLike, open_env
from polyrl.estimators import Predictor, exports
from polyrl.estimators.export_checks import CHECKED, check, drawn_states
from polyrl.estimators.exporters import check_name
from polyrl.serving import formats, versions
from polyrl.serving.served_model import ServedModel
from polyrl.serving.server import ModelServer, check_address, serve_until_signalled

logger = logging.getLogger("polyrl")


@dataclasses.dataclass(frozen=True)
class Serving:
    """What is exported, and where it is served.

    Args:
        model_name: of the export's directory in `model_dir/export`, and of the served model.
        export_format: `'saved_model'`, `'tflite'` or `'onnx'`; what is served is a SavedModel.
        host: address to listen at.
        port: to listen at; 0: any that is free.
    """

    model_name: str = "policy"
    export_format: str = "saved_model"
    host: str = "127.0.0.1"
    port: int = 8501

    def __post_init__(self) -> None:
        check_name("model_name", self.model_name)

    def for_a_server(self) -> Serving:
        """The same with a SavedModel; an OSError if nothing can listen at the address, before anything is exported."""
        check_address(self.host, self.port)
        return dataclasses.replace(self, export_format="saved_model")

    def directory(self, model_dir: Path) -> Path:
        """Where the versions go; each format but SavedModel has a directory of its own, as a server would read it."""
        suffix = "" if self.export_format == "saved_model" else f"_{self.export_format}"
        return model_dir / exports.DIRECTORY / f"{self.model_name}{suffix}"


def export(predictor: Predictor, env: EnvLike, model_dir: Path, serving: Serving) -> Path:
    """Exports a predictor's policy, and compares what it answers with what the model predicts, before it counts as done.

    Args:
        predictor: of a checkpoint.
        env: whose states it is asked.
        model_dir: of the run.
        serving: format and name.

    Raises:
        ValueError: if the format needs a package that is not installed; for ONNX of a recurrent model.
        RuntimeError: if it cannot be converted, or answers something else.
    """
    format, directory = serving.export_format, serving.directory(model_dir)
    formats.check_installed(format)
    if format == "onnx" and predictor.policy.policy_state_spec != ():
        raise ValueError(
            "export_format='onnx': tf2onnx does not convert polyrl's recurrent models. Use saved_model or tflite, which take "
            "and give what the model remembers."
        )

    def compare(version: Path) -> None:
        with open_env(env, num_envs=1, purpose="export") as vector:
            states = drawn_states(vector.single_observation_space, predictor.state_spec)
        difference = check(predictor, format, version, states)
        logger.info("Checked in %s states: the same actions, values to within %.1g.", f"{CHECKED:,}", difference)

    logger.info("Exporting %s as %s; this takes some seconds.", predictor.checkpoint, format)
    path, is_new = exports.export(predictor, directory, format, check=compare)
    if is_new:
        logger.info("Exported %s as %s: %s", predictor.checkpoint, format, path)
    else:
        logger.info("%s has been exported before: %s", predictor.checkpoint, path)
        if path != versions.newest(directory):
            logger.warning("%s is newer, and servers take the newest. Give another --model_name.", versions.newest(directory))
    return path


def serve(version: Path, serving: Serving) -> None:
    """Serves a version until a signal ends it.

    Raises:
        OSError: if it cannot listen there.
    """
    model = ServedModel(serving.model_name, version)
    server = ModelServer(model, serving.host, serving.port)
    address = f"http://{serving.host}:{server.server_port}/v1/models/{model.name}"
    checkpoint = versions.record_of(model.path).get("checkpoint", "of unknown origin")
    logger.info("Serving %s (%s). Ctrl-C ends it.", model.path, checkpoint)
    logger.info("Ready: %s", address)
    serve_until_signalled(server)
    logger.info("Ended.")
