"""The machines that train together, as environment variables name them."""

import json
import os
import subprocess
import sys

import pytest

from keras_unet3p.config import Cluster, read_tf_config, tf_config

JOB = {"JOB_NAME": "cells", "JOB_SERVICE": "peers", "JOB_COMPLETIONS": "3"}
SLURM = {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_NODELIST": "n[2,10]"}


def environ(**value) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps(value)}


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """Slurm's program that expands the names of nodes, which knows two of them."""
    program = tmp_path / "scontrol"
    program.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[2,10]" ] && printf "n2\\nn10\\n"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("variables", [{}, {"TF_CONFIG": " "}, {"TF_CONFIG": "{}"}])
def test_without_a_cluster_there_is_none(variables):
    assert read_tf_config(variables) is None


def test_the_chief_is_the_first_of_all():
    jobs = {"worker": ["a:1", "b:1"], "chief": ["c:1"]}
    found = read_tf_config(environ(cluster=jobs, task={"type": "worker", "index": 1}))
    assert found == Cluster(("c:1", "a:1", "b:1"), 2)
    assert not found.is_chief
    found = read_tf_config(environ(cluster=jobs, task={"type": "chief", "index": "0"}))
    assert found.is_chief
    jobs.pop("chief")
    assert read_tf_config(environ(cluster=jobs, task={"type": "worker", "index": 0})).is_chief


WORKERS = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TF_CONFIG": "{"}, "JSONDecodeError"),
        ({"TF_CONFIG": "[1]"}, "AttributeError"),
        (environ(cluster=WORKERS), "KeyError: 'task'"),
        (environ(cluster=WORKERS, task={"type": "worker", "index": 2}), "IndexError"),
        (environ(cluster=WORKERS, task={"type": "worker", "index": -1}), "index is negative"),
        (
            environ(cluster={**WORKERS, "ps": ["c:1"]}, task={"type": "worker", "index": 0}),
            r"types \['ps', 'worker'\]",
        ),
        (environ(cluster={"worker": ["a"]}, task={"type": "worker", "index": 0}), "no host:port"),
        (
            environ(cluster={"worker": ["a:1", "a:1"]}, task={"type": "worker", "index": 0}),
            "the same address",
        ),
    ],
)
def test_a_damaged_one_is_refused(variables, message):
    with pytest.raises(ValueError, match=f"TF_CONFIG is .*{message}.*expected JSON"):
        read_tf_config(variables)


def test_kubernetes():
    made = tf_config({**JOB, "JOB_COMPLETION_INDEX": "2"}, port=5000)
    hosts = ["cells-0.peers:5000", "cells-1.peers:5000", "cells-2.peers:5000"]
    assert made == {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": 2}}
    assert read_tf_config({"TF_CONFIG": json.dumps(made)}) == Cluster(tuple(hosts), 2)


def test_slurm_keeps_the_order_of_its_tasks(scontrol):
    made = tf_config(SLURM)
    assert made["cluster"] == {"worker": ["n2:2222", "n10:2222"]}
    assert made["task"] == {"type": "worker", "index": 1}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "nothing to make it of; expected Slurm's SLURM_PROCID"),
        ({"JOB_COMPLETION_INDEX": "0", "JOB_NAME": "cells"}, "JOB_SERVICE, JOB_COMPLETIONS: not"),
        ({**JOB, "JOB_COMPLETION_INDEX": "3"}, "process 3, from 0 on, of 3"),
        ({**JOB, "JOB_COMPLETION_INDEX": "one"}, "JOB_COMPLETION_INDEX is 'one'"),
        ({"SLURM_PROCID": "0"}, "SLURM_STEP_NODELIST: not set"),
        ({**SLURM, "SLURM_NTASKS": "4"}, "SLURM_NTASKS is 4 on 2 nodes; expected one task on each"),
        ({**SLURM, "SLURM_STEP_NODELIST": "n[3]"}, "scontrol show hostnames"),
    ],
)
def test_what_is_missing_is_named(scontrol, variables, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        tf_config(variables)


def test_the_command_prints_it():
    command = [sys.executable, "-m", "keras_unet3p", "tf-config", "--port", "4000"]
    variables = {**os.environ, **JOB, "JOB_COMPLETION_INDEX": "1"}
    ran = subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    (line,) = ran.stdout.splitlines()
    assert json.loads(line) == tf_config(variables, port=4000)
