"""Processes on this machine that train together, as on several machines."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; taken all at once, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def tf_configs(count: int) -> list[str]:
    """`TF_CONFIG` of each of them."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(count)]
    return [
        json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
        for index in range(count)
    ]


@contextlib.contextmanager
def started(command: Sequence[str], folder: Path, count: int = 2) -> Iterator[list]:
    """The processes, each with its output in `folder`; none outlives the context."""
    with contextlib.ExitStack() as stack:
        processes = []
        for index, config in enumerate(tf_configs(count)):
            output = stack.enter_context((folder / f"output-{index}.txt").open("w"))
            temporary = folder / f"temporary-{index}"
            temporary.mkdir(exist_ok=True)
            own = {"TF_CONFIG": config, "WORKER": str(index), "TMPDIR": str(temporary)}
            environ = {**os.environ, **own}
            process = subprocess.Popen(
                [*_on_one_processor(index), *command],
                env=environ,
                cwd=REPOSITORY,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            stack.callback(_end, process)
            processes.append(process)
        yield processes


def _on_one_processor(index: int) -> list[str]:
    """Where there is taskset: with one thread an operation adds up in the same order each time."""
    if shutil.which("taskset") is None:
        return []
    processors = sorted(os.sched_getaffinity(0))
    return ["taskset", "--cpu-list", str(processors[index % len(processors)])]


def outputs(folder: Path) -> list[str]:
    """What the processes wrote, the last part of it."""
    return [path.read_text()[-4000:] for path in sorted(folder.glob("output-*.txt"))]


def run_together(command: Sequence[str], folder: Path, timeout: float = 240) -> None:
    """Run the command in two processes, both of which must succeed in time."""
    deadline = time.monotonic() + timeout
    with started(command, folder) as processes:
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.1))
        assert [process.returncode for process in processes] == [0, 0], outputs(folder)


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
