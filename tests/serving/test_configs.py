"""The text configurations: parsed by the official messages, or by the same fields where the wheel
has no such messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from kustomized import command, render, server

yaml = pytest.importorskip("yaml", reason="PyYAML reads the manifests")

SERVING = Path(__file__).parents[2] / "serving"
CONFIG = SERVING / "config"

# tensorflow_serving/servables/tensorflow/session_bundle_config.proto and
# tensorflow_serving/config/monitoring_config.proto: field -> (number, type).
BATCHING = {
    "max_batch_size": (1, "Int64Value"),
    "batch_timeout_micros": (2, "Int64Value"),
    "max_enqueued_batches": (3, "Int64Value"),
    "num_batch_threads": (4, "Int64Value"),
    "thread_pool_name": (5, "StringValue"),
    "allowed_batch_sizes": (6, "repeated int64"),
    "pad_variable_length_inputs": (7, "bool"),
}
PROMETHEUS = {"enable": (1, "bool"), "path": (2, "string")}


def messages() -> dict[str, type]:
    file = descriptor_pb2.FileDescriptorProto(name="configs.proto", package="c", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    types = descriptor_pb2.FieldDescriptorProto
    for name, fields in {
        "Batching": BATCHING,
        "Prometheus": PROMETHEUS,
        "Monitoring": {"prometheus_config": (1, "Prometheus")},
    }.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            added = message.field.add(name=field, number=number, label=types.LABEL_OPTIONAL)
            if kind.startswith("repeated "):
                added.label, kind = types.LABEL_REPEATED, kind.split()[1]
            if kind[0].isupper():
                added.type = types.TYPE_MESSAGE
                package = "google.protobuf" if kind.endswith("Value") else "c"
                added.type_name = f".{package}.{kind}"
            else:
                added.type = types.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"c.{name}"))
        for name in ("Batching", "Monitoring")
    }


def commands() -> dict[str, list[str]]:
    """The server's command line of each service and deployment that starts one."""
    compose = yaml.safe_load((SERVING / "compose.yaml").read_text())
    found = {
        name: service["command"]
        for name, service in compose["services"].items()
        if service["image"].startswith("unet3p-serving:")
    }
    if command() is not None:
        for device in ("cpu", "gpu"):
            found[f"kubernetes-{device}"] = server(render(f"overlays/{device}"))["args"]
    return found


def test_models():
    config_pb2 = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    config = text_format.Parse(
        (CONFIG / "models.config").read_text(), config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    assert model.name == "cells"
    assert model.model_platform == "tensorflow"
    assert Path(model.base_path).is_absolute()
    assert model.base_path == "/models/cells"
    assert "stable" in model.version_labels
    # Labels do not keep a version loaded.
    assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)


def test_batching():
    config = text_format.Parse((CONFIG / "batching.config").read_text(), messages()["Batching"]())
    assert config.max_batch_size.value >= 1
    assert 0 <= config.batch_timeout_micros.value <= 100_000
    assert config.max_enqueued_batches.value >= 1
    assert config.num_batch_threads.value >= 1
    assert not config.pad_variable_length_inputs
    sizes = list(config.allowed_batch_sizes)
    assert sizes == sorted(sizes)
    assert not sizes or sizes[-1] == config.max_batch_size.value


def test_the_field_check_notices_a_wrong_field():
    for text in ("max_batch_size: 8", "batch_timeout { value: 8 }", "max_batch_size { value: x }"):
        with pytest.raises(text_format.ParseError):
            text_format.Parse(text, messages()["Batching"]())


def test_monitoring():
    parsed = text_format.Parse(
        (CONFIG / "monitoring.config").read_text(), messages()["Monitoring"]()
    )
    assert parsed.prometheus_config.enable
    prometheus = yaml.safe_load((SERVING / "monitoring/prometheus.yml").read_text())
    (job,) = prometheus["scrape_configs"]
    assert job["metrics_path"] == parsed.prometheus_config.path


# Flags of tensorflow_model_server 2.19 (model_servers/main.cc) that the kit may use.
FLAGS = {
    "port",
    "rest_api_port",
    "rest_api_timeout_in_ms",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "allow_version_labels_for_unavailable_models",
    "monitoring_config_file",
    "enable_batching",
    "batching_parameters_file",
    "mixed_precision",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
}


@pytest.mark.parametrize("name", list(commands()))
def test_command_lines(name):
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in commands()[name])
    assert set(flags) <= FLAGS
    # Parameters without batching abort the server; the other way round wastes the file.
    assert ("enable_batching" in flags) == ("batching_parameters_file" in flags)
    # Monitoring needs the REST port.
    assert flags["rest_api_port"] == "8501"
    assert flags["port"] == "8500"
    assert {"tensorflow_intra_op_parallelism", "tensorflow_inter_op_parallelism"} <= set(flags)
    assert flags["allow_version_labels_for_unavailable_models"] == "true"
    for flag, value in flags.items():
        if flag.endswith("_file"):
            folder, file = value.rsplit("/", 1)
            assert folder == "/config"
            assert (CONFIG / file).is_file()
    assert ("gpu" in name) == ("enable_batching" in flags)
    # Nobody asked for less accuracy.
    assert "mixed_precision" not in flags
