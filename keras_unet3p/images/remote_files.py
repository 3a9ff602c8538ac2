"""Images on object stores and web servers: copied once, then read as files of this machine."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from pathlib import Path, PurePosixPath

from keras_unet3p.cache_folder import cache_folder
from keras_unet3p.errors import InputError, needing, printable
from keras_unet3p.files import reason, replacing
from keras_unet3p.images.decoding import EXTENSIONS
from keras_unet3p.images.in_threads import in_threads

AT_ONCE = 16
"""Files that are copied at a time."""
_SCHEME = re.compile(r"[A-Za-z][\w+.-]+(::[A-Za-z][\w+.-]+)*")


def is_remote(text: str | os.PathLike[str]) -> bool:
    """Whether a path is an address, `s3://bucket/images` say.

    Example:
        >>> is_remote("s3://bucket/images"), is_remote("images")
        (True, False)
    """
    scheme, sign, rest = os.fspath(text).partition("://")
    return bool(sign and rest) and _SCHEME.fullmatch(scheme) is not None


def local_copies(address: str, argument: str) -> tuple[str, list[tuple[str, Path]]]:
    """Copy the images of an address into this machine's cache, where they are not yet.

    A copy is kept under the address, the size and the store's mark of the version (its digest, or
    the time of the last change), so that one that was replaced there is copied anew. The cache is
    `cache_folder.cache_folder`; it grows with the images and may be deleted at any time.

    Args:
        address: of a file, a folder, or a pattern; any that fsspec knows. The store's own package
            has to be installed (s3fs, gcsfs, adlfs, ...), and finds its credentials itself.
        argument: its name, for errors.

    Returns:
        The address, and each image's path there with its copy's, sorted.

    Raises:
        ValueError: the store cannot be reached, or there is nothing.

    Example:
        >>> local_copies("s3://bucket/images/*.png", "images")  # doctest: +SKIP
        ('s3://bucket/images/*.png', [('bucket/images/a.png', PosixPath('.../a.png'))])
    """
    with needing("remote", f"reading {address.partition('://')[0]}://"):
        import fsspec
    try:
        store, path = fsspec.core.url_to_fs(address)
        if glob.has_magic(address):
            found = [name for name in store.glob(path) if not store.isdir(name)]
        elif store.isdir(path):
            found = [entry["name"] for entry in store.ls(path) if entry["type"] == "file"]
        else:
            found = [path]
        found = sorted(name for name in found if PurePosixPath(name).suffix.lower() in EXTENSIONS)
        copies = in_threads(lambda name: _copy(store, address, name), found, AT_ONCE)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise InputError(f"{argument}: {printable(address)}: {reason(error)}") from None
    if not copies:
        raise InputError(f"{argument}: {printable(address)} holds no image")
    return address, list(zip(found, copies, strict=True))


def _copy(store, address: str, name: str) -> Path:
    scheme = address.partition("://")[0]
    info = store.info(name)
    marks = [
        info.get(key) for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created")
    ]
    version = repr([scheme, name, info.get("size"), *marks]).encode()
    folder = cache_folder() / "remote" / hashlib.sha256(version).hexdigest()[:24]
    copy = folder / PurePosixPath(name).name
    if not copy.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(copy) as working:
            store.get_file(name, str(working))
    return copy
