"""The recipes for clusters, which are not run here: Ray's schema takes the one, and the other asks for what polyrl takes."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

CLUSTER = Path(__file__).resolve().parents[2] / "scripts" / "cluster"

PARSE = """
import sys
from polyrl.flags import FLAGS, command
left = FLAGS(sys.argv)[1:]
assert not left, left
command.use_config()
command.check_alone()
print(FLAGS.actors, FLAGS.memory_shards, FLAGS.ray_address, FLAGS.model_dir)
"""


def test_the_launchers_file_is_one_by_rays_schema() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    given = yaml.safe_load((CLUSTER / "ray-cluster.yaml").read_text())
    util.validate_config(util.prepare_config(given))
    assert len(given["provider"]["worker_ips"]) == given["max_workers"]
    # No machine listens for more than its own network.
    (head,) = [command for command in given["head_start_ray_commands"] if "--head" in command]
    assert f"--node-ip-address={given['provider']['head_ip']}" in head
    assert "--include-dashboard=false" in head


def test_the_job_on_kubernetes_asks_for_what_there_is() -> None:
    job = yaml.safe_load((CLUSTER / "kuberay.yaml").read_text())
    program, *flags = shlex.split(job["spec"]["entrypoint"])
    assert program == "polyrl"
    done = subprocess.run([sys.executable, "-c", PARSE, *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    actors, shards, address, model_dir = done.stdout.split()
    assert address == "auto"
    cluster = job["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert group["replicas"] * cpus(group) >= int(actors) + int(shards)  # Each takes one.
    for pods in (cluster["headGroupSpec"], group):
        (container,) = pods["template"]["spec"]["containers"]
        (mount,) = container["volumeMounts"]
        assert model_dir.startswith(f"{mount['mountPath']}/")
        assert [volume["name"] for volume in pods["template"]["spec"]["volumes"]] == [mount["name"]]


def cpus(group: dict[str, Any]) -> int:
    (container,) = group["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == container["resources"]["requests"]
    return int(container["resources"]["limits"]["cpu"])
