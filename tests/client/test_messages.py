"""The client's messages against the official definitions."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import any_pb2, wrappers_pb2
from google.protobuf.descriptor import FieldDescriptor
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow.core.framework.types_pb2 import DataType
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    status_pb2,
)

from keras_unet3p.client import messages, tensor_types

OFFICIAL = {
    "Int64Value": wrappers_pb2.Int64Value,
    "Any": any_pb2.Any,
    "Dim": tensor_shape_pb2.TensorShapeProto.Dim,
    "TensorShapeProto": tensor_shape_pb2.TensorShapeProto,
    "TensorProto": tensor_pb2.TensorProto,
    "TensorInfo": meta_graph_pb2.TensorInfo,
    "SignatureDef": meta_graph_pb2.SignatureDef,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "ModelSpec": model_pb2.ModelSpec,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "StatusProto": status_pb2.StatusProto,
    "ModelVersionStatus": get_model_status_pb2.ModelVersionStatus,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
}


def wire_type(field) -> int:
    # An enumeration is an int32 on the wire.
    return field.TYPE_INT32 if field.type == FieldDescriptor.TYPE_ENUM else field.type


def repeated(field) -> bool:
    flag = getattr(field, "is_repeated", None)
    return field.label == field.LABEL_REPEATED if flag is None else flag


@pytest.mark.parametrize("name", list(messages.FIELDS))
def test_fields_are_the_official_ones(name):
    official = OFFICIAL[name].DESCRIPTOR
    for field in type(messages.new(name)).DESCRIPTOR.fields:
        theirs = official.fields_by_number[field.number]
        assert theirs.name == field.name
        assert wire_type(theirs) == field.type
        assert repeated(theirs) == repeated(field)
        if (
            field.type == FieldDescriptor.TYPE_MESSAGE
            and not field.message_type.GetOptions().map_entry
        ):
            assert field.message_type.name == theirs.message_type.name


@pytest.mark.parametrize("dtype", [*tensor_types.TYPE_OF_NAME])
def test_tensors_both_ways(dtype):
    rng = np.random.default_rng(0)
    if dtype == "string":
        array = np.empty((2, 3), object)
        array[:] = [[b"a", b"", b"\xff\x00"], [b"b", b"c", b"d"]]
    else:
        array = rng.integers(0, 2 if dtype == "bool" else 100, (2, 3)).astype(dtype)
    ours = messages.new("TensorProto")
    tensor_types.fill_tensor_proto(ours, array)
    theirs = tensor_pb2.TensorProto.FromString(ours.SerializeToString())
    assert theirs.dtype == DataType.Value(
        "DT_"
        + {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF"}.get(dtype, dtype.upper())
    )
    np.testing.assert_array_equal(tf.make_ndarray(theirs), array)
    # TensorFlow Serving answers with lists of values, not with packed content.
    lists = tensor_pb2.TensorProto(dtype=theirs.dtype, tensor_shape=theirs.tensor_shape)
    field = {
        "string": "string_val",
        "float16": "half_val",
        **tensor_types._VALUES,
    }[dtype]
    values = array.view(np.uint16) if dtype == "float16" else array
    getattr(lists, field).extend(values.ravel().tolist())
    for proto in (theirs, lists):
        back = tensor_types.read_tensor_proto(
            messages.parser("TensorProto")(proto.SerializeToString())
        )
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)


def test_one_value_fills_a_tensor():
    proto = tf.make_tensor_proto(np.float32(3), shape=[2, 2])
    back = tensor_types.read_tensor_proto(messages.parser("TensorProto")(proto.SerializeToString()))
    np.testing.assert_array_equal(back, np.full((2, 2), 3, np.float32))


def test_numbers_of_types():
    for number, name in tensor_types.NAME_OF_TYPE.items():
        assert tf.dtypes.as_dtype(number).name == ("float16" if name == "float16" else name)
    for rest, name in tensor_types.NAME_OF_REST_TYPE.items():
        assert DataType.Value(rest) == tensor_types.TYPE_OF_NAME[name]


def test_what_cannot_be_sent_or_read_is_refused():
    with pytest.raises(ValueError, match="complex64"):
        tensor_types.fill_tensor_proto(messages.new("TensorProto"), np.zeros(2, np.complex64))
    with pytest.raises(ValueError, match="type 8"):
        tensor_types.read_tensor_proto(messages.new("TensorProto", dtype=8))
