"""A few hundred malformed requests; benchmarks/endpoint_fuzz.py sends 10,000."""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from pathlib import Path

FILE = Path(__file__).parents[2] / "benchmarks" / "endpoint_fuzz.py"


def test_malformed_requests_are_refused_and_valid_ones_between_answered(server):
    spec = importlib.util.spec_from_file_location("endpoint_fuzz", FILE)
    fuzzing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzzing)
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    counts, faults = fuzzing.fuzz(server.url, server.grpc_address, 400, threads=4)
    assert not faults
    assert counts["valid request: right"] == 20
    assert sum(counts.values()) == 420
    assert len({answer.split(":")[0] for answer in counts}) == 14
    # Nothing is left behind: no request, no connection.
    assert server._service.work.wait_until_idle(20)
    end = time.monotonic() + 20
    while time.monotonic() < end and len(os.listdir("/proc/self/fd")) > files + 20:
        time.sleep(0.1)
    assert len(os.listdir("/proc/self/fd")) <= files + 20
    assert threading.active_count() <= threads + server._service.work._places + 16
