"""TensorProto messages to arrays, with checks."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from keras_unet3p.client.endpoint_error import EndpointError


def array_from_proto(proto, name: str, max_bytes: int) -> np.ndarray:
    """Reads a TensorProto.

    Args:
        proto: a `tensorflow.TensorProto`.
        name: name of the input, for messages.
        max_bytes: size of the largest array to make. A message of ten bytes can claim any shape,
            because a single value may fill all of it.

    Raises:
        EndpointError: INVALID_ARGUMENT if type, shape and values do not fit each other, or the
            array would be larger than `max_bytes`.
    """
    try:
        dtype = tf.dtypes.as_dtype(proto.dtype)
        as_numpy = np.dtype(dtype.as_numpy_dtype)
    except (TypeError, KeyError) as error:
        raise EndpointError(
            "INVALID_ARGUMENT", f"Input {name!r} has the unknown type {proto.dtype}."
        ) from error
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape) or len(shape) > 32:
        raise EndpointError(
            "INVALID_ARGUMENT", f"Input {name!r} needs a full shape of at most 32 dimensions."
        )
    if math.prod(shape) * as_numpy.itemsize > max_bytes:
        raise EndpointError(
            "INVALID_ARGUMENT",
            f"Input {name!r} of shape {shape} is larger than the {max_bytes} bytes that this "
            "endpoint accepts.",
        )
    try:
        return tf.make_ndarray(proto)
    except Exception as error:
        raise EndpointError(
            "INVALID_ARGUMENT",
            f"Input {name!r}: the values do not fit shape {shape} and type {dtype.name}.",
        ) from error
