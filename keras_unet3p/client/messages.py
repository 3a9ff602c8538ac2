"""The messages of TensorFlow Serving's API that a client needs, without TensorFlow.

The official Python definitions import TensorFlow. These have the same encoding: names, numbers and
types of the fields are those of tensorflow/core/framework and tensorflow_serving/apis. The tests
compare them.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "keras_unet3p.client"
_TYPES = descriptor_pb2.FieldDescriptorProto

# message -> field -> (number, type). A type is the name of a scalar, another message, or
# "map<message>" with strings as keys, with "repeated " before it if repeated. Enumerations are
# int32, which has the same encoding.
FIELDS = {
    "Int64Value": {"value": (1, "int64")},
    "Any": {"type_url": (1, "string"), "value": (2, "bytes")},
    "Dim": {"size": (1, "int64"), "name": (2, "string")},
    "TensorShapeProto": {"dim": (2, "repeated Dim"), "unknown_rank": (3, "bool")},
    "TensorProto": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "TensorShapeProto"),
        "tensor_content": (4, "bytes"),
        "half_val": (13, "repeated int32"),
        "float_val": (5, "repeated float"),
        "double_val": (6, "repeated double"),
        "int_val": (7, "repeated int32"),
        "string_val": (8, "repeated bytes"),
        "int64_val": (10, "repeated int64"),
        "bool_val": (11, "repeated bool"),
        "uint32_val": (16, "repeated uint32"),
        "uint64_val": (17, "repeated uint64"),
    },
    "TensorInfo": {
        "name": (1, "string"),
        "dtype": (2, "int32"),
        "tensor_shape": (3, "TensorShapeProto"),
    },
    "SignatureDef": {
        "inputs": (1, "map<TensorInfo>"),
        "outputs": (2, "map<TensorInfo>"),
        "method_name": (3, "string"),
    },
    "SignatureDefMap": {"signature_def": (1, "map<SignatureDef>")},
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, "Int64Value"),
        "signature_name": (3, "string"),
        "version_label": (4, "string"),
    },
    "PredictRequest": {
        "model_spec": (1, "ModelSpec"),
        "inputs": (2, "map<TensorProto>"),
        "output_filter": (3, "repeated string"),
    },
    "PredictResponse": {"outputs": (1, "map<TensorProto>"), "model_spec": (2, "ModelSpec")},
    "GetModelMetadataRequest": {
        "model_spec": (1, "ModelSpec"),
        "metadata_field": (2, "repeated string"),
    },
    "GetModelMetadataResponse": {"model_spec": (1, "ModelSpec"), "metadata": (2, "map<Any>")},
    "GetModelStatusRequest": {"model_spec": (1, "ModelSpec")},
    "StatusProto": {"error_code": (1, "int32"), "error_message": (2, "string")},
    "ModelVersionStatus": {
        "version": (1, "int64"),
        "state": (2, "int32"),
        "status": (3, "StatusProto"),
    },
    "GetModelStatusResponse": {"model_version_status": (1, "repeated ModelVersionStatus")},
}


def _add_field(message, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number, label=_TYPES.LABEL_OPTIONAL)
    if kind.startswith("repeated "):
        kind = kind.removeprefix("repeated ")
        field.label = _TYPES.LABEL_REPEATED
    if kind.startswith("map<"):
        entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, kind[4:-1])
        field.label = _TYPES.LABEL_REPEATED
        field.type = _TYPES.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{message.name}.{entry.name}"
    elif kind in FIELDS:
        field.type = _TYPES.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"
    else:
        field.type = _TYPES.Type.Value(f"TYPE_{kind.upper()}")


def _build() -> dict[str, type]:
    file = descriptor_pb2.FileDescriptorProto(
        name="keras_unet3p/client/messages.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    # A separate pool, so that nothing here conflicts with TensorFlow's definitions.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in FIELDS
    }


_CLASSES = _build()


def new(kind: str, /, **fields):
    """Makes a message of the kind `kind` with the given fields."""
    return _CLASSES[kind](**fields)


def parser(kind: str):
    """Returns the function that parses bytes into a message of the kind `kind`."""
    return _CLASSES[kind].FromString
