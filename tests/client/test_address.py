"""A model behind an endpoint, in one URL."""

from __future__ import annotations

import pytest

from keras_unet3p.client import EndpointAddress, EndpointError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host:8501", ("http://host:8501", None, None, None)),
        ("http://host:8501/", ("http://host:8501", None, None, None)),
        ("grpc://host:8500/cells", ("grpc://host:8500", "cells", None, None)),
        ("https://host/cells/versions/12", ("https://host", "cells", 12, None)),
        ("http://host/cells/labels/canary/", ("http://host", "cells", None, "canary")),
        ("http://host/v1/models/cells", ("http://host", "cells", None, None)),
        ("http://host/v1/models/a%20b/labels/c%2Fd", ("http://host", "a b", None, "c/d")),
    ],
)
def test_parts(url, expected):
    assert tuple(EndpointAddress.of(url)) == expected


@pytest.mark.parametrize("path", ["a/b", "cells/versions/x", "cells/labels", "cells/versions/1/2"])
def test_other_paths_are_refused(path):
    with pytest.raises(ValueError, match=r"expected MODEL, MODEL/versions/N or MODEL/labels/LABEL"):
        EndpointAddress.of(f"http://host/{path}")


def test_a_version_and_a_label_are_asked_for(model_folder):
    from keras_unet3p.endpoint import LocalServer

    with LocalServer({"cells": model_folder}) as server:
        with EndpointAddress.of(f"{server.url}/cells/versions/1").client() as client:
            assert client.metadata()["version"] == 1
        client = EndpointAddress.of(f"{server.url}/cells/versions/7").client(retries=0)
        with client, pytest.raises(EndpointError, match="NOT_FOUND"):
            client.metadata()
