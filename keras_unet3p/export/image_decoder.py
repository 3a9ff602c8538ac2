"""Encoded images to pixels, inside the served graph."""

from __future__ import annotations

import struct

import numpy as np
import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.export.graph_checks import provided

_SHORTEST = 30  # bytes; every header that is read below ends before
_PNG = b"\x89PNG\r\n\x1a\n"
# Where a BMP of 32 bits says which of them are red, green and blue: the usual order.
_BMP_MASKS = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
_BMP_MASKS_END = 54 + len(_BMP_MASKS)


class ImageDecoder:
    """Decodes one PNG (8 or 16 bit), JPEG or BMP to (H, W, channels).

    With `value_scale="unit"` the result is uint16 and 8-bit values are multiplied by 257, so that a
    division by 65535 gives the unit values of both depths. With "raw" it is float32 and holds the
    values of the file, 0..255 or 0..65535. Transparency is dropped. A colour image is turned grey
    for a model of one channel (ITU-R 601 luma, as OpenCV does) and a grey one is repeated for a
    model of three; any other mismatch of channels is refused. So is a BMP with a
    palette of colours, of which TensorFlow reads the indices only.

    Anything that is not such an image fails with INVALID_ARGUMENT, and so does one whose header
    announces more than `max_pixels`, before it is decoded.

    Args:
        channels: channels that the model takes.
        max_pixels: largest height times width.
        value_scale: "unit" or "raw".

    Raises:
        ValueError: if an argument is none of these.

    Example:
        >>> encoded = tf.io.encode_png(np.full((4, 5, 1), 255, np.uint8))
        >>> image = ku.export.ImageDecoder(channels=1)(encoded)
        >>> image.shape.as_list(), int(image[0, 0, 0])
        ([4, 5, 1], 65535)
    """

    def __init__(self, channels: int, max_pixels: int = 2**28, value_scale: str = "unit") -> None:
        if channels < 1:
            raise InputError(f"channels must be at least 1, found {channels}")
        if max_pixels < 1:
            raise InputError(f"max_pixels must be at least 1, found {max_pixels}")
        if value_scale not in ("unit", "raw"):
            raise InputError(f"value_scale must be 'unit' or 'raw', found {value_scale!r}")
        self.value_scale = value_scale
        self.channels = channels
        self.max_pixels = max_pixels

    def __call__(self, encoded: tf.Tensor) -> tf.Tensor:
        """(H, W, channels) of a scalar string: uint16, or float32 for raw values."""
        is_png = _starts_with(encoded, _PNG)
        is_jpeg = _starts_with(encoded, b"\xff\xd8\xff")
        is_bmp = _starts_with(encoded, b"BM")
        encoded = provided(
            encoded,
            (is_png | is_jpeg | is_bmp) & (tf.strings.length(encoded) >= _SHORTEST),
            "image_bytes must hold a PNG, JPEG or BMP image; found",
            tf.strings.length(encoded),
            "bytes of something else",
        )
        encoded = provided(
            encoded,
            tf.cond(is_bmp, lambda: _is_plain_bmp(encoded), lambda: True),
            "image_bytes holds a BMP with a palette of colours, packed pixels or an old header",
        )
        height, width = tf.cond(
            is_png,
            lambda: _png_size(encoded),
            lambda: tf.cond(is_jpeg, lambda: _jpeg_size(encoded), lambda: _bmp_size(encoded)),
        )
        encoded = provided(
            encoded,
            (height > 0) & (width > 0) & (height <= self.max_pixels // tf.maximum(width, 1)),
            "image_bytes must hold 1 to",
            self.max_pixels,
            "pixels; found height and width",
            height,
            width,
        )
        image = tf.cond(
            is_png,
            lambda: tf.io.decode_png(encoded, channels=0, dtype=tf.uint16),
            lambda: (
                257
                * tf.cast(
                    tf.cond(
                        is_jpeg,
                        lambda: _decode_jpeg(encoded),
                        lambda: tf.io.decode_bmp(encoded, channels=0),
                    ),
                    tf.uint16,
                )
            ),
        )
        image = self._match_channels(image)
        if self.value_scale == "unit":
            return image
        largest = tf.cond(is_png, lambda: _largest_of_png(encoded), lambda: 255.0)
        return tf.cast(image, tf.float32) / (65535.0 / largest)

    def _match_channels(self, image: tf.Tensor) -> tf.Tensor:
        found = tf.shape(image)[2]
        # Without transparency: 1 or 3.
        colour = tf.where(tf.equal(tf.math.floormod(found, 2), 0), found - 1, found)
        if self.channels == 1:
            matched = tf.cond(tf.equal(colour, 3), lambda: _luma(image), lambda: image[:, :, :1])
        elif self.channels == 3:
            matched = tf.cond(
                tf.equal(colour, 1),
                lambda: tf.gather(image, [0, 0, 0], axis=2),
                lambda: image[:, :, :3],
            )
        else:
            matched = provided(
                image,
                tf.equal(found, self.channels),
                f"image must have {self.channels} channels; found",
                found,
            )
        return tf.ensure_shape(matched, (None, None, self.channels))


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    # The transform that every other decoder uses. TensorFlow's own default is a fast one that is
    # several grey values off.
    return tf.io.decode_jpeg(encoded, channels=0, dct_method="INTEGER_ACCURATE")


def _starts_with(encoded: tf.Tensor, prefix: bytes) -> tf.Tensor:
    # substr fails beyond the end of a short string, hence the padding.
    padded = tf.strings.join([encoded, b"\0" * len(prefix)])
    return tf.equal(tf.strings.substr(padded, 0, len(prefix)), prefix)


def _number(encoded: tf.Tensor, position: int, little_endian: bool) -> tf.Tensor:
    raw = tf.strings.substr(encoded, position, 4)
    value = tf.io.decode_raw(raw, tf.int32, little_endian=little_endian)
    return tf.cast(value[0], tf.int64)


def _png_size(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return _number(encoded, 20, False), _number(encoded, 16, False)


def _largest_of_png(encoded: tf.Tensor) -> tf.Tensor:
    """The value of white: of a bit 1, else 65535 or 255, to which fewer bits are spread."""
    depth_and_colour = tf.strings.substr(encoded, 24, 2)
    is_bit = tf.equal(depth_and_colour, b"\1\0")
    is_deep = tf.equal(tf.strings.substr(encoded, 24, 1), b"\x10")
    return tf.where(is_bit, 1.0, tf.where(is_deep, 65535.0, 255.0))


def _jpeg_size(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.io.extract_jpeg_shape(encoded, output_type=tf.int64)
    return shape[0], shape[1]


def _bmp_size(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    # A negative height means that the rows are stored from the top.
    return tf.abs(_number(encoded, 22, True)), _number(encoded, 18, True)


def _is_plain_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """Whether the bytes of a BMP are its pixels, as TensorFlow takes them to be.

    They are not in a file of an old header, in a compressed one, in one of 1, 4 or 16 bits a pixel,
    or where a palette holds other than the 256 greys.
    """
    header = _number(encoded, 14, True)
    bits = tf.io.decode_raw(tf.strings.substr(encoded, 28, 2), tf.uint16, little_endian=True)[0]
    # substr fails beyond the end, with a message that holds the bytes; hence the padding.
    padded = tf.strings.join([encoded, b"\0" * _BMP_MASKS_END])
    compression = _number(padded, 30, True)
    is_plain = tf.equal(compression, 0)
    has_usual_masks = tf.equal(compression, 3) & tf.equal(
        tf.strings.substr(padded, 54, len(_BMP_MASKS)), _BMP_MASKS
    )
    is_colour = (tf.equal(bits, 24) & is_plain) | (
        tf.equal(bits, 32) & (is_plain | has_usual_masks)
    )
    return (header >= 40) & tf.cond(
        tf.equal(bits, 8) & is_plain, lambda: _has_palette_of_greys(encoded), lambda: is_colour
    )


def _has_palette_of_greys(encoded: tf.Tensor) -> tf.Tensor:
    end = tf.strings.length(encoded)
    start = tf.clip_by_value(14 + _number(encoded, 14, True), 0, tf.cast(end, tf.int64))
    greys = np.arange(256, dtype=np.uint8)
    ramp = np.stack([greys, greys, greys, np.zeros_like(greys)], axis=1).tobytes()
    length = tf.constant(len(ramp), tf.int64)
    return tf.equal(tf.strings.substr(encoded, start, length), ramp)


def _luma(image: tf.Tensor) -> tf.Tensor:
    weights = tf.constant([0.299, 0.587, 0.114], tf.float32)
    grey = tf.reduce_sum(tf.cast(image[:, :, :3], tf.float32) * weights, axis=2, keepdims=True)
    return tf.cast(tf.round(grey), tf.uint16)
