"""Warm-up records: requests that TensorFlow Serving runs before it offers a model version.

The records are `tensorflow.serving.PredictionLog` messages. Their five fields are encoded here, so
that exporting needs no package beside TensorFlow; the tests read them with the official
definitions.
"""

from __future__ import annotations

import tensorflow as tf


def warmup_record(model_name: str, signature: str, inputs: dict[str, tf.Tensor]) -> bytes:
    """One serialized `PredictionLog` that asks `signature` of `model_name` about `inputs`.

    Example:
        >>> image = tf.zeros((1, 8, 8, 1), tf.uint8)
        >>> record = ku.export.warmup_record("cells", "classes", {"image": image})
        >>> isinstance(record, bytes)
        True
    """
    # PredictionLog.predict_log = 6, PredictLog.request = 1; PredictRequest: model_spec = 1,
    # inputs = 2 (map); ModelSpec: name = 1, signature_name = 3.
    spec = _field(1, model_name.encode()) + _field(3, signature.encode())
    request = _field(1, spec)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(tf.get_static_value(tf.convert_to_tensor(value)))
        request += _field(2, _field(1, name.encode()) + _field(2, tensor.SerializeToString()))
    return _field(6, _field(1, request))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
