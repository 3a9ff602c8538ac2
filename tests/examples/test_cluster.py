"""The manifests and the script that start a training on several machines."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kustomized import only, render
from typer.testing import CliRunner

from keras_unet3p import cli
from keras_unet3p.config import tf_config

CLUSTER = Path(__file__).parents[2] / "examples" / "cluster"
HOSTS = ["gpu9", "gpu10"]

# What stands in for srun: without its options, one process on each node, one after the other.
SRUN = """#!/usr/bin/env bash
while [[ "$1" == --* ]]; do shift; done
for task in 0 1; do
  SLURM_PROCID=$task SLURM_NTASKS=2 SLURM_STEP_NODELIST='gpu[9-10]' "$@"
done
"""
SCONTROL = "#!/bin/sh\n[ \"$*\" = 'show hostnames gpu[9-10]' ] && printf 'gpu9\\ngpu10\\n'\n"
# The command itself makes TF_CONFIG; a training says what it was told.
UNET3P = f"""#!/usr/bin/env bash
if [[ "$1" == train ]]; then
  printf '%s\\n' "$TF_CONFIG" "${{*@Q}}"
else
  exec {shlex.quote(sys.executable)} -m keras_unet3p "$@"
fi
"""


@pytest.fixture(scope="module")
def documents() -> list[dict]:
    return render(CLUSTER / "kubernetes")


@pytest.fixture(scope="module")
def job(documents) -> dict:
    return only(documents, "Job")["spec"]


def test_the_manifests_follow_their_schema(documents):
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate has the official schemas"
    )
    assert {d["kind"] for d in documents} == {"Job", "Service", "PersistentVolumeClaim"}
    for document in documents:
        kubernetes_validate.validate(document, "1.31", strict=True)


def test_the_pods_find_each_other(documents, job):
    service = only(documents, "Service")
    pod = job["template"]
    (container,) = pod["spec"]["containers"]
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables["JOB_COMPLETIONS"] == str(job["completions"])
    # The names that Kubernetes gives the pods: the Job's, the index, and the subdomain's.
    name = only(documents, "Job")["metadata"]["name"]
    assert pod["spec"]["subdomain"] == service["metadata"]["name"]
    made = tf_config({**variables, "JOB_COMPLETION_INDEX": "1"})
    expected = [f"{name}-{n}.{service['metadata']['name']}:2222" for n in range(2)]
    assert made["cluster"]["worker"] == expected
    (port,) = service["spec"]["ports"]
    assert port["port"] == container["ports"][0]["containerPort"] == 2222
    assert "--port 2222" in container["args"][0]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"]


def test_all_pods_see_one_run_folder(documents, job):
    claim = only(documents, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    volumes = {volume["name"]: volume for volume in job["template"]["spec"]["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (container,) = job["template"]["spec"]["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert container["image"].startswith("registry.example.com/unet3p-tools:")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> list[str]:
    """What the script of Slurm makes of two nodes: TF_CONFIG and the arguments of each process."""
    if shutil.which("bash") is None:
        pytest.skip("no bash runs the script")
    folder = tmp_path_factory.mktemp("slurm")
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("unet3p", UNET3P)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    own = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "DATA": "/shared/my data"}
    own["PYTHONPATH"] = os.pathsep.join(sys.path)
    ran = subprocess.run(
        ["bash", str(CLUSTER / "train.slurm"), "--epochs", "80"],
        env={**os.environ, **own},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_the_script_of_slurm_names_all_nodes(slurm):
    configs = [json.loads(line) for line in slurm[::2]]
    addresses = [f"{host}:2222" for host in HOSTS]
    assert configs == [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        for index in range(2)
    ]


def test_slurm_and_kubernetes_train_with_options_that_are_there(slurm, job):
    words = [shlex.split(line) for line in slurm[1::2]]
    assert words[0] == words[1]
    assert words[0][words[0].index("--images") + 1] == "/shared/my data/images"
    assert words[0][-2:] == ["--epochs", "80"]
    (container,) = job["template"]["spec"]["containers"]
    known = set(
        re.findall(
            r"--[a-z0-9-]+",
            CliRunner()
            .invoke(cli.app, ["train", "--help"], env={"COLUMNS": "400", "TERM": "dumb"})
            .output,
        )
    )
    text = container["args"][0]
    for options in (words[0], text[text.index("unet3p train") :].split()):
        given = {word for word in options if word.startswith("--")}
        assert {"--strategy", "--out"} <= given <= known, given - known


def test_the_script_is_bash_that_bash_takes():
    subprocess.run(["bash", "-n", str(CLUSTER / "train.slurm")], check=True)
