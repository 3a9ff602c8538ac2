"""TensorFlow's type numbers, and the conversion of TensorProto messages, without TensorFlow."""

from __future__ import annotations

import math

import numpy as np

from keras_unet3p.errors import InputError

# tensorflow/core/framework/types.proto
NAME_OF_TYPE = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
TYPE_OF_NAME = {name: number for number, name in NAME_OF_TYPE.items()}
# The names that REST metadata uses.
NAME_OF_REST_TYPE = {
    "DT_FLOAT": "float32",
    "DT_DOUBLE": "float64",
    "DT_INT32": "int32",
    "DT_UINT8": "uint8",
    "DT_INT16": "int16",
    "DT_INT8": "int8",
    "DT_STRING": "string",
    "DT_INT64": "int64",
    "DT_BOOL": "bool",
    "DT_UINT16": "uint16",
    "DT_HALF": "float16",
    "DT_UINT32": "uint32",
    "DT_UINT64": "uint64",
}
_VALUES = {
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "int32": "int_val",
    "uint8": "int_val",
    "int16": "int_val",
    "int8": "int_val",
    "uint16": "int_val",
}


def fill_tensor_proto(proto, array: np.ndarray) -> None:
    """Writes an array into a TensorProto. An object array must hold `bytes`."""
    name = "string" if array.dtype == object else array.dtype.name
    if name not in TYPE_OF_NAME:
        raise InputError(f"The type {name} cannot be sent; accepted are {sorted(TYPE_OF_NAME)}.")
    proto.dtype = TYPE_OF_NAME[name]
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if name == "string":
        proto.string_val.extend(array.ravel().tolist())
    else:
        proto.tensor_content = np.ascontiguousarray(array).tobytes()


def read_tensor_proto(proto) -> np.ndarray:
    """Reads a TensorProto in either of its forms: packed content or a list of values.

    Raises:
        ValueError: if the type is unknown or the values do not fill the shape.
    """
    if proto.dtype not in NAME_OF_TYPE:
        raise InputError(f"The answer has TensorFlow's type {proto.dtype}, which is not supported.")
    name = NAME_OF_TYPE[proto.dtype]
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    size = math.prod(shape)
    if name == "string":
        array = np.empty(size, object)
        array[:] = list(proto.string_val)
        return array.reshape(shape)
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, name).reshape(shape).copy()
    if name == "float16":
        values = np.array(proto.half_val, np.uint16).view(np.float16)
    else:
        values = np.array(getattr(proto, _VALUES[name]), name)
    if 0 < len(values) < size:
        # A shorter list means that its last value repeats.
        values = np.concatenate([values, np.full(size - len(values), values[-1])])
    return values.reshape(shape)
