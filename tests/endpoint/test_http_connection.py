"""Clients that leave requests unfinished."""

from __future__ import annotations

import contextlib
import socket

import pytest
import requests

from keras_unet3p.endpoint import LocalServer

HEAD = b"POST /v1/models/cells:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"


def connect(server, data: bytes = b"") -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.sendall(data)
    return connection


def received(connection: socket.socket, drip: bytes = b"") -> bytes:
    """All that comes until the connection is closed, while `drip` is sent again and again."""
    data = b""
    connection.settimeout(0.1)
    for _ in range(100):
        with contextlib.suppress(TimeoutError):
            try:
                if drip:
                    connection.sendall(drip)
                part = connection.recv(65536)
            except ConnectionError:
                return data
            if not part:
                return data
            data += part
    raise AssertionError("The connection is still open after 10 s.")


def test_requests_that_do_not_arrive_in_time_are_given_up(model_folder):
    with LocalServer({"cells": model_folder}, receive_timeout=1) as server:
        silent = connect(server)
        slow = connect(server, b"GET /health HTTP/1.1\r\nX: ")
        used = connect(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += used.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        body = connect(server, HEAD + b"{")
        # The application has answered this one before its body has come.
        answered = connect(server, HEAD.replace(b"Host: localhost", b"Host: evil") + b"{")
        with silent, slow, used, body, answered:
            assert received(slow, drip=b"x") == b""
            assert received(silent) == b""
            assert received(used, drip=b"G") == b""
            assert received(body).startswith(b"HTTP/1.1 504")
            assert received(answered, drip=b"x").startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("data", [b"", b"GET /health HTTP/1.1\r\n", HEAD])
def test_connections_that_bring_no_request_give_way_to_those_that_do(model_folder, data):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(LocalServer({"cells": model_folder}, max_unfinished=8))
        for _ in range(30):
            stack.enter_context(connect(server, data))
            answer = requests.get(server.url + "/health", timeout=10)
            assert answer.status_code == 200
        assert len(server._rest.server_state.connections) <= 9


def test_bodies_that_do_not_arrive_take_no_place(model_folder):
    options = {"workers": 1, "max_waiting": 0}
    with LocalServer({"cells": model_folder}, **options) as server, contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(connect(server, HEAD + b"{"))
        body = {"signature_name": "spin", "inputs": [0.0]}
        url = f"{server.url}/v1/models/cells:predict"
        assert requests.post(url, json=body, timeout=10).status_code == 200
        assert server._service.work.taken == 0
