"""Which HTTP requests the endpoint answers at all, by their headers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class RequestGuard:
    """Refuses requests that a foreign web page makes, and those that may be read in two ways.

    A page of another origin reaches a server on this machine through the user's browser: its
    requests name their `Origin`, and where its own name was made to point here (DNS rebinding)
    they name that as `Host`. An address in numbers cannot be made to point elsewhere, so it is
    accepted beside `localhost` and the names given.

    Args:
        app: the application behind it.
        hosts: names by which the server is reached.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str]):
        self._app = app
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(Headers(scope=scope))
        answer: ASGIApp = self._app
        if refusal is not None:
            status, message = refusal
            # Nothing that follows on this connection is taken for a request.
            answer = JSONResponse({"error": message}, status, headers={"connection": "close"})
        await answer(scope, receive, send)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        if "content-length" in headers and "transfer-encoding" in headers:
            return 400, "A request has either Content-Length or Transfer-Encoding."
        host, origin = headers.get("host", ""), headers.get("origin")
        # Without the header it is no browser: a health check in HTTP/1.0, say.
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
