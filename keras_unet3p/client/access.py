"""What a server asks of those who come from outside: a key, and which certificates are trusted."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from keras_unet3p.errors import InputError, printable

KEY_HEADER = "X-Api-Key"
KEY, KEY_FILE, CA_FILE = "UNET3P_API_KEY", "UNET3P_API_KEY_FILE", "UNET3P_CA_FILE"

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# What both HTTP headers and gRPC metadata take.
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_VALUE = re.compile(r"|[!-~]([ -~]*[!-~])?")


def access_of_environment(url: str) -> dict[str, Any]:
    """Key and certificates that the environment names, as arguments of `Client`.

    The commands of `unet3p` take them from here, so that no key stands in a command line, which
    other users of the machine see.

    | variable | what it is |
    | --- | --- |
    | `UNET3P_API_KEY` | goes with every request as the header `X-Api-Key` |
    | `UNET3P_API_KEY_FILE` | a file that holds it, such as a mounted secret |
    | `UNET3P_CA_FILE` | certificates (PEM) that are trusted instead of the system's |

    Args:
        url: of the server. Over a line that is not encrypted the key goes to this machine only.

    Returns:
        "headers" and "ca_file", each where a variable that is not empty names it.

    Raises:
        ValueError: both key and file are given, the file cannot be read, the key has another
            character than printable ASCII, or the line is not encrypted. The key is never shown.

    Example:
        >>> access_of_environment("https://localhost:8443")
        {}
    """
    found: dict[str, Any] = {}
    key = _key()
    if key is not None:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "grpcs") and parts.hostname not in LOOPBACK:
            raise InputError(
                f"{parts.scheme}://{parts.hostname} is not encrypted, and others could read there "
                f"the key that the environment has ({KEY} or {KEY_FILE}); expected https:// or "
                "grpcs://, or no key"
            )
        found["headers"] = {KEY_HEADER: key}
    if os.environ.get(CA_FILE):
        found["ca_file"] = os.environ[CA_FILE]
    return found


def _key() -> str | None:
    key, file = os.environ.get(KEY), os.environ.get(KEY_FILE)
    if key and file:
        raise InputError(f"{KEY} and {KEY_FILE}: give one of them, not both")
    name = KEY
    if file:
        name = f"{KEY_FILE}: {printable(file)}"
        try:
            # Latin-1 decodes everything; what is not ASCII is refused below.
            key = Path(file).read_text("latin-1").strip()
        except OSError as error:
            raise InputError(f"{name} cannot be read: {error.strerror}") from None
        if not key:
            raise InputError(f"{name} is empty; expected a key")
    if key and not _VALUE.fullmatch(key):
        raise InputError(f"{name}: expected a key in one line of printable ASCII characters")
    return key or None


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Refuse what a transport would refuse in a message that shows the value, which may be a key.

    Raises:
        ValueError: a name or a value that HTTP or gRPC does not take.

    Example:
        >>> check_headers({"X-Api-Key": "0a1b"})
        {'X-Api-Key': '0a1b'}
    """
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(
                f"headers: expected names of letters, digits, '_', '.' and '-', found {name!r}"
            )
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise InputError(
                f"headers: the value of {name!r} is not shown here; expected a string of printable "
                "ASCII characters without spaces at its ends"
            )
    return dict(headers)
