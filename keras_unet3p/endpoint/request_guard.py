"""A check of the headers of HTTP requests, before the application sees them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class RequestGuard:
    """Refuses requests from foreign web pages, and requests with ambiguous length.

    A web page of another origin can send requests to a server on this machine through the user's
    browser. They carry the page's `Origin`. If the page's host name was made to point to this
    machine (DNS rebinding), they carry that name as `Host`. An IP address cannot be redirected in
    this way, so IP addresses are accepted, as are `localhost` and the given names.

    Args:
        app: the application to protect.
        hosts: names under which the server is reached.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str]):
        self._app = app
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(Headers(scope=scope))
        answer: ASGIApp = self._app
        if refusal is not None:
            status, message = refusal
            # The connection is closed, so that following bytes are not read as a request.
            answer = JSONResponse({"error": message}, status, headers={"connection": "close"})
        await answer(scope, receive, send)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        if "content-length" in headers and "transfer-encoding" in headers:
            return 400, "A request has either Content-Length or Transfer-Encoding, not both."
        host, origin = headers.get("host", ""), headers.get("origin")
        # Browsers always send the header; an HTTP/1.0 health check may not.
        if "host" in headers and not self._is_known(host):
            return 403, f"The host {host[:100]!r} is not one that this server was started for."
        if origin is not None and origin.lower().partition("://")[2] != host.lower():
            return 403, f"Requests of the web page {origin[:100]!r} are not answered."
        return None

    def _is_known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self._hosts or bool(ipaddress.ip_address(name))
        except ValueError:
            return False
