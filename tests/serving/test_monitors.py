"""The monitors of the Prometheus operator: their fields and values, by the operator's own schemas.

An npm package holds the schemas twice: as TypeScript's types, which refuse unknown fields, and as
validators of the values.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from kustomized import only, render

PACKAGES = ["@kubernetes-models/prometheus-operator@6.0.0", "typescript@5.9.3"]
KINDS = ["PodMonitor", "PrometheusRule"]
MODULE = "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"


@pytest.fixture(scope="module")
def node(tmp_path_factory) -> Path:
    """A folder in which Node.js finds the schemas."""
    if shutil.which("npm") is None:
        pytest.skip("npm installs the schemas, and is not there")
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "package.json").write_text('{"type": "module"}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent", *PACKAGES]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip("npm's registry does not answer")
    if done.returncode:
        pytest.skip(f"npm cannot install the schemas: {done.stderr[-300:]}")
    return folder


def complaints(node: Path, document: dict) -> str:
    """What the types and the validator say of a document; nothing where it follows the schema."""
    kind, content = document["kind"], json.dumps(document)
    (node / "checked.ts").write_text(
        f'import {{ type I{kind}, {kind} }} from "{MODULE}/{kind}";\n'
        f"const document: I{kind} = {content};\n"
        f"new {kind}(document).validate();\n"
    )
    options = ["--noEmitOnError", "--strict", "--skipLibCheck", "--module", "nodenext"]
    said = []
    for command in (["node_modules/.bin/tsc", *options, "checked.ts"], ["node", "checked.js"]):
        done = subprocess.run(command, cwd=node, capture_output=True, text=True, timeout=120)
        said.append((done.stdout + done.stderr) if done.returncode else "")
        if done.returncode:
            break
    return "".join(said)


@pytest.mark.parametrize("kind", KINDS)
def test_a_monitor_follows_its_schema(node, kind):
    assert complaints(node, only(render("monitoring"), kind)) == ""


def test_the_check_notices_unknown_fields_and_wrong_values(node):
    right = only(render("monitoring"), "PodMonitor")
    unknown, wrong = copy.deepcopy(right), copy.deepcopy(right)
    unknown["spec"]["podMetricsEndpoints"][0]["intervall"] = "15s"
    assert "intervall" in complaints(node, unknown)
    wrong["spec"]["podMetricsEndpoints"][0]["interval"] = "a quarter of a minute"
    assert "interval" in complaints(node, wrong)
