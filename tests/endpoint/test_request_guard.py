"""Requests that foreign web pages make through a user's browser, and ambiguous ones."""

from __future__ import annotations

import asyncio
import base64
import json
import socket

import cv2
import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from keras_unet3p.endpoint import LocalServer
from keras_unet3p.endpoint.request_guard import RequestGuard


def status(headers: dict[str, str], hosts=()) -> int:
    """The status that the guard, or the application behind it, answers."""
    sent = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        sent.append(message)

    guard = RequestGuard(PlainTextResponse("the application"), hosts)
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(guard({"type": "http", "method": "GET", "headers": pairs}, receive, send))
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("LOCALHOST:8501", 200),
        ("127.0.0.1:8501", 200),
        ("10.1.2.3", 200),
        ("[::1]:8501", 200),
        ("cells.example", 200),
        ("Cells.Example:80", 200),
        ("evil.example:8501", 403),
        ("cells.example.evil", 403),
        ("evil.cells.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.", 403),
        ("", 403),
        ("[::1", 403),
        (":8501", 403),
    ],
)
def test_hosts(host, expected):
    assert status({"host": host}, ["cells.example"]) == expected


@given(st.from_regex(r"[a-z0-9.-]{1,20}(:[0-9]{1,5})?", fullmatch=True))
def test_no_name_but_the_given_ones_is_answered(host):
    name = host.split(":")[0]
    known = name == "localhost" or name.replace(".", "").isdigit()
    assert known or status({"host": host}) == 403


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:8501", 200),
        ("https://LOCALHOST:8501", 200),
        ("http://localhost:8502", 403),
        ("http://127.0.0.1:8501", 403),
        ("http://evil.example", 403),
        ("http://localhost:8501.evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_origins(origin, expected):
    assert status({"host": "localhost:8501", "origin": origin}) == expected


def test_foreign_pages_reach_nothing_of_a_running_server(server):
    image = cv2.imencode(".png", np.full((5, 6), 200, np.uint8))[1].tobytes()
    body = json.dumps({"instances": [{"b64": base64.b64encode(image).decode()}]})
    predict = f"{server.url}/v1/models/cells:predict"
    for headers, expected in (
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example", "Content-Type": "text/plain"}, 403),
        ({"Origin": server.url, "Content-Type": "text/plain"}, 200),
        ({"Host": socket.gethostname()}, 200),
    ):
        answer = requests.post(predict, data=body, headers=headers, timeout=30)
        assert answer.status_code == expected
        assert list(answer.json()) == (["predictions"] if expected == 200 else ["error"])
        if "Host" in headers:
            for path in ("/", "/health", "/v1/models/cells"):
                answer = requests.get(server.url + path, headers=headers, timeout=30)
                assert answer.status_code == expected
    policy = requests.get(server.url, timeout=30).headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy


def test_further_names_are_accepted_when_given(model_folder):
    with LocalServer({"cells": model_folder}, allowed_hosts=["cells.example"]) as server:
        for host, expected in (("cells.example", 200), ("evil.example", 403)):
            answer = requests.get(server.url + "/health", headers={"Host": host}, timeout=30)
            assert answer.status_code == expected


def test_a_body_of_two_lengths_is_refused_and_the_connection_closed(server):
    host, port = server.url.removeprefix("http://").split(":")
    inner = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/models/cells:predict HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            % (5 + len(inner))
            + inner
        )
        received = b""
        while part := connection.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 400")
    assert b"either Content-Length or Transfer-Encoding" in received
    assert received.count(b"HTTP/1.1") == 1
