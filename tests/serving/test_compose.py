from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML reads the manifests")

SERVING = Path(__file__).parents[2] / "serving"
COMPOSE = yaml.safe_load((SERVING / "compose.yaml").read_text())
SERVERS = {name: s for name, s in COMPOSE["services"].items() if "build" in s}

# What the Compose specification allows in a service, of what is used here or likely to be.
SERVICE_KEYS = {
    "image": str,
    "build": dict,
    "profiles": list,
    "restart": str,
    "entrypoint": list,
    "command": list,
    "environment": dict,
    "volumes": list,
    "ports": list,
    "read_only": bool,
    "tmpfs": list,
    "cap_drop": list,
    "security_opt": list,
    "healthcheck": dict,
    "stop_grace_period": str,
    "deploy": dict,
    "depends_on": list,
}


def test_only_keys_of_the_specification_with_their_types():
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services"}
    for service in COMPOSE["services"].values():
        for key, value in service.items():
            assert isinstance(value, SERVICE_KEYS[key]), key
        for value in service.get("environment", {}).values():
            assert isinstance(value, str)
        for volume in service["volumes"]:
            assert set(volume) == {"type", "source", "target", "read_only"}
            assert volume["read_only"] is True


def test_mounted_files_are_there():
    for service in COMPOSE["services"].values():
        for volume in service["volumes"]:
            if not volume["source"].startswith("${"):
                assert (SERVING / volume["source"]).exists(), volume["source"]


def test_nothing_listens_beyond_this_machine_by_default():
    for service in COMPOSE["services"].values():
        for port in service["ports"]:
            assert port.startswith(("${BIND:-127.0.0.1}:", "${PROXY_BIND:-127.0.0.1}:"))


def test_servers_have_limits_health_check_and_no_rights():
    assert set(SERVERS) == {"serving", "serving-gpu"}
    for service in SERVERS.values():
        assert "memory" in service["deploy"]["resources"]["limits"]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert "/v1/models/cells/metadata" in service["healthcheck"]["test"][-1]
    (device,) = SERVERS["serving-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert SERVERS["serving-gpu"]["image"].endswith("-gpu")


def test_the_health_check_tells_a_loaded_model_from_none(tmp_path, write_model):
    """Runs the very command of the file against the local endpoint's address."""
    if not shutil.which("bash"):
        pytest.skip("no bash to run the health check with")
    from keras_unet3p.endpoint import LocalServer

    write_model(tmp_path / "cells" / "1")
    kind, *command = SERVERS["serving"]["healthcheck"]["test"]
    assert kind == "CMD"
    for name, healthy in (("cells", True), ("other", False)):
        with LocalServer({name: tmp_path / "cells"}) as server:
            port = server.url.rsplit(":", 1)[1]
            run = [part.replace("/8501", f"/{port}") for part in command]
            code = subprocess.run(run, timeout=20, capture_output=True).returncode
            assert (code == 0) == healthy


def test_the_proxy_finds_its_files_and_its_server():
    text = (SERVING / "proxy/nginx.conf").read_text()
    proxy = COMPOSE["services"]["proxy"]
    mounted = [volume["target"] for volume in proxy["volumes"]]
    for file in re.findall(r"/etc/nginx/[\w./]+", text):
        assert any(file.startswith(target) for target in mounted), file
    (port,) = proxy["ports"]
    assert f"listen {port.rsplit(':', 1)[1]} ssl" in text
    upstream = set(re.findall(r"server (\w+):(\d+);", text))
    assert {name for name, _ in upstream} == set(proxy["depends_on"])
    served = {port.rsplit(":", 1)[1] for port in SERVERS["serving"]["ports"]}
    assert {number for _, number in upstream} == served
    # Bodies and answers are kept in the folder that can be written.
    assert set(re.findall(r"_temp_path (/\w+)", text)) <= set(proxy["tmpfs"])


def test_docker_accepts_it():
    command = ["docker", "compose"]
    if (
        not shutil.which("docker")
        or subprocess.run([*command, "version"], capture_output=True).returncode
    ):
        pytest.skip("no docker with its compose plugin to check the file with")
    file = str(SERVING / "compose.yaml")
    subprocess.run([*command, "-f", file, "config", "--quiet"], check=True, timeout=60)
