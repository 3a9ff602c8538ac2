"""TensorFlow Serving's file of models (--model_config_file)."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from keras_unet3p.endpoint.model_config import ModelConfig
from keras_unet3p.endpoint.version_policy import VersionPolicy
from keras_unet3p.errors import InputError


def read_config_file(file: Path) -> dict[str, ModelConfig]:
    """Reads a model config list in TensorFlow Serving's text format.

    The fields name, base_path, model_platform, model_version_policy and version_labels are read;
    logging_config has no effect here.

    Args:
        file: the file. A relative `base_path` in it is taken from the file's folder, which
            TensorFlow Serving does not accept.

    Returns:
        The models by name.

    Raises:
        ValueError: if the file cannot be read, does not parse, or holds what is not accepted.
    """
    try:
        text = file.read_text("utf-8")
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{file} is no file of models for TensorFlow Serving: {reason}") from None
    models: dict[str, ModelConfig] = {}
    for entry in config.model_config_list.config:
        if entry.name in models:
            raise InputError(f"{file} lists the model {entry.name!r} twice; a name may occur once.")
        models[entry.name] = _model(file, entry)
    if not models:
        raise InputError(
            f"{file} lists no model; expected model_config_list {{ config {{ name: ... "
            'base_path: ... model_platform: "tensorflow" } }.'
        )
    return models


def _model(file: Path, entry) -> ModelConfig:
    if not entry.name or set(entry.name) & set("/:"):
        raise InputError(f"{file}: the name {entry.name!r} must not be empty or contain '/', ':'.")
    model = f"{file}: the model {entry.name!r}"
    if not entry.base_path:
        raise InputError(f"{model} has no base_path; expected its folder of versions.")
    # TensorFlow Serving takes the platform from one of two fields, and from no default.
    outdated = model_server_config_pb2.ModelType.Name(entry.model_type)
    platform = entry.model_platform or ("tensorflow" if outdated == "TENSORFLOW" else "")
    if platform != "tensorflow":
        raise InputError(f'{model} has model_platform {platform!r}, expected "tensorflow".')
    return ModelConfig(
        entry.name,
        file.parent.absolute() / entry.base_path,
        _policy(entry.model_version_policy),
        dict(entry.version_labels),
    )


def _policy(policy) -> VersionPolicy:
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy(newest=None)
    if choice == "specific":
        return VersionPolicy(newest=0, named=frozenset(policy.specific.versions))
    # `latest` without a number is one version, as is no policy at all.
    return VersionPolicy(newest=max(1, policy.latest.num_versions))
