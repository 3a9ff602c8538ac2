"""The files of the page at "/"."""

from __future__ import annotations

import functools
import hashlib
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page_asset(request: Request, path: str) -> Response | None:
    """Answers a request for the page or a file that it consists of; None if it is for neither.

    A browser keeps the files and asks each time whether they are still the same (304), so that a
    new version of the package shows its own page.

    Args:
        request: a GET or HEAD.
        path: of its URL.
    """
    if path != "/" and not path.startswith("/page/"):
        return None
    found = _assets().get("page.html" if path == "/" else path[len("/page/") :])
    if found is None:
        return None
    content, kind, tag = found
    headers = {
        "Cache-Control": "no-cache",
        "ETag": tag,
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


@functools.cache
def _assets() -> dict[str, tuple[bytes, str, str]]:
    """Content, type and entity tag of each file."""
    assets = {}
    for file in resources.files("keras_unet3p.endpoint").joinpath("page").iterdir():
        kind = _TYPES.get("." + file.name.rpartition(".")[2])
        if kind:
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            assets[file.name] = (content, kind, tag)
    return assets
