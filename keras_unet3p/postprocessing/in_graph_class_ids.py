"""From probabilities to class ids in a TensorFlow graph; `class_ids` does the same in NumPy."""

from __future__ import annotations

import tensorflow as tf

from keras_unet3p.postprocessing.class_ids import has_threshold, is_foreground

MOST_CLASSES_OF_UINT8 = 256


def ids_dtype(num_classes: int) -> tf.DType:
    """The type of class ids in a graph: uint8 up to 256 classes, else int32.

    JSON, in which servers answer, has no uint16.
    """
    return tf.uint8 if num_classes <= MOST_CLASSES_OF_UINT8 else tf.int32


def to_class_ids_in_graph(
    probabilities: tf.Tensor, threshold: float = 0.5, *, multi_label: bool = False
) -> tf.Tensor:
    """`to_class_ids` for tensors, whose last axis is of static size.

    Args:
        probabilities: (..., K).
        threshold, multi_label: see `to_class_ids`.

    Returns:
        Class ids (...), or maps (..., K) of 0 and 1 where several classes may overlap; uint8,
        beyond 256 classes int32.

    Example:
        >>> to_class_ids_in_graph(tf.constant([[[0.2, 0.7, 0.1]]])).numpy().tolist()
        [[1]]
    """
    num_classes = probabilities.shape[-1]
    assert num_classes is not None, "the number of classes is static"
    if has_threshold(num_classes, multi_label):
        ids = tf.cast(is_foreground(probabilities, threshold), tf.uint8)
        return tf.squeeze(ids, -1) if num_classes == 1 else ids
    ids = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
    return tf.cast(ids, ids_dtype(num_classes))
