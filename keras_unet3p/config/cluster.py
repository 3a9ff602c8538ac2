"""The machines that train together: `TF_CONFIG`, and what Slurm and Kubernetes say of them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Mapping
from typing import Any

from keras_unet3p.errors import InputError

_ADDRESS = re.compile(r"\S+:\d+")
_KUBERNETES = ("JOB_NAME", "JOB_SERVICE", "JOB_COMPLETIONS")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together, and which one this is.

    Attributes:
        addresses: "host:port" of every process, the chief's first.
        index: place of this process among them.

    Example:
        >>> cluster = Cluster(("node1:2222", "node2:2222"), index=1)
        >>> len(cluster.addresses), cluster.is_chief
        (2, False)
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.index == 0


def read_tf_config(environ: Mapping[str, str] = os.environ) -> Cluster | None:
    """The cluster that the environment variable `TF_CONFIG` describes, TensorFlow's own way.

    It is JSON: `{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index":
    0}}`.
    One of the processes may be of type "chief"; without one, worker 0 is the chief.

    Args:
        environ: the environment variables.

    Returns:
        The cluster; None where `TF_CONFIG` is not set, or names no cluster.

    Raises:
        ValueError: it is no such JSON, or names other types than chief and worker.

    Example:
        >>> task = {"type": "worker", "index": 1}
        >>> value = {"cluster": {"worker": ["a:2222", "b:2222"]}, "task": task}
        >>> read_tf_config({"TF_CONFIG": json.dumps(value)})
        Cluster(addresses=('a:2222', 'b:2222'), index=1)
    """
    text = environ.get("TF_CONFIG", "")
    if not text.strip():
        return None
    try:
        value = json.loads(text)
        jobs = value.get("cluster") or {}
        if not jobs:
            return None
        task = value["task"]
        kind, index = task["type"], int(task["index"])
        addresses = [*jobs.get("chief", []), *jobs.get("worker", [])]
        own = jobs[kind][index] if index >= 0 else None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _damaged(text, f"{type(error).__name__}: {error}") from None
    if set(jobs) - {"chief", "worker"}:
        raise _damaged(text, f"types {sorted(jobs)}; expected worker, and chief")
    if own is None or not all(isinstance(a, str) and _ADDRESS.fullmatch(a) for a in addresses):
        raise _damaged(text, "an address is no host:port, or the index is negative")
    if len(set(addresses)) != len(addresses):
        raise _damaged(text, "two processes have the same address")
    return Cluster(tuple(addresses), addresses.index(own))


def tf_config(environ: Mapping[str, str] = os.environ, *, port: int = 2222) -> dict[str, Any]:
    """`TF_CONFIG` of this process, made of what Slurm or Kubernetes tell it.

    - Slurm, in a step with one task on each node (`srun --ntasks-per-node=1`): `SLURM_PROCID`,
      `SLURM_NTASKS` and the nodes of `SLURM_STEP_NODELIST`, which `scontrol show hostnames` expands
      in the order of the tasks. (`tf.distribute.cluster_resolver.SlurmClusterResolver` sorts them
      as text, n10 before n2, and so takes tasks for each other.)
    - Kubernetes, in an Indexed Job with a headless Service: `JOB_COMPLETION_INDEX`, which
      Kubernetes sets, and `JOB_NAME`, `JOB_SERVICE` and `JOB_COMPLETIONS`, which the manifest sets
      (`examples/cluster/kubernetes`).

    Args:
        environ: the environment variables.
        port: at which the processes listen, one on each host.

    Returns:
        What `TF_CONFIG` holds as JSON.

    Raises:
        ValueError: neither Slurm's variables are there nor those of Kubernetes, one of them is
            missing or no number, or a node has several tasks.

    Example:
        >>> job = {"JOB_NAME": "cells", "JOB_SERVICE": "cells", "JOB_COMPLETIONS": "2"}
        >>> made = tf_config({**job, "JOB_COMPLETION_INDEX": "1"})
        >>> made["cluster"]["worker"]
        ['cells-0.cells:2222', 'cells-1.cells:2222']
        >>> made["task"]
        {'type': 'worker', 'index': 1}
    """
    if "JOB_COMPLETION_INDEX" in environ:
        hosts, index = _kubernetes_hosts(environ), _whole(environ, "JOB_COMPLETION_INDEX")
    elif "SLURM_PROCID" in environ:
        hosts, index = _slurm_hosts(environ), _whole(environ, "SLURM_PROCID")
    else:
        raise InputError(
            "TF_CONFIG: nothing to make it of; expected Slurm's SLURM_PROCID (a step that srun "
            "began) or Kubernetes' JOB_COMPLETION_INDEX (an Indexed Job)"
        )
    if index >= len(hosts):
        raise InputError(f"TF_CONFIG: this is process {index}, from 0 on, of {len(hosts)}")
    return {
        "cluster": {"worker": [f"{host}:{port}" for host in hosts]},
        "task": {"type": "worker", "index": index},
    }


def _kubernetes_hosts(environ: Mapping[str, str]) -> list[str]:
    missing = [name for name in _KUBERNETES if not environ.get(name)]
    if missing:
        raise InputError(
            f"{', '.join(missing)}: not set; the Job's manifest gives its name, that of its "
            "headless Service, and its completions"
        )
    name, service = environ["JOB_NAME"], environ["JOB_SERVICE"]
    return [f"{name}-{n}.{service}" for n in range(_whole(environ, "JOB_COMPLETIONS"))]


def _slurm_hosts(environ: Mapping[str, str]) -> list[str]:
    nodes = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_JOB_NODELIST")
    if not nodes:
        raise InputError("SLURM_STEP_NODELIST: not set; expected the nodes of the step, of srun")
    try:
        shown = subprocess.run(
            ["scontrol", "show", "hostnames", nodes],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"scontrol show hostnames {nodes}: {error}") from None
    hosts = shown.stdout.split()
    tasks = _whole(environ, "SLURM_NTASKS")
    if tasks != len(hosts):
        raise InputError(
            f"SLURM_NTASKS is {tasks} on {len(hosts)} nodes; expected one task on each "
            "(--ntasks-per-node=1), which takes all GPUs of its node"
        )
    return hosts


def _whole(environ: Mapping[str, str], name: str) -> int:
    value = environ.get(name, "")
    if not value.isdecimal():
        raise InputError(f"{name} is {value!r}; expected a whole number")
    return int(value)


def _damaged(text: str, problem: str) -> InputError:
    return InputError(
        f"TF_CONFIG is {text[:200]!r} ({problem}); expected JSON with the addresses of all "
        'processes and which one this is: {"cluster": {"worker": ["HOST:PORT", ...]}, "task": '
        '{"type": "worker", "index": 0}}'
    )
