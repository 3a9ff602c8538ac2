"""The tiler that runs inside a TensorFlow graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.geometry import TileGeometry, fade_in, mirrored
from keras_unet3p.images.unit_values import divisor, reciprocal
from keras_unet3p.layers.stretching import intensity_range, stretch
from keras_unet3p.postprocessing.class_ids import has_threshold
from keras_unet3p.postprocessing.in_graph_class_ids import ids_dtype, to_class_ids_in_graph
from keras_unet3p.postprocessing.in_graph_watershed import in_graph_instances
from keras_unet3p.postprocessing.instance_rule import InstanceRule
from keras_unet3p.tiling.symmetries import check_versions


class InGraphTiler:
    """Runs a network over images of any size inside a graph, one batch of tiles after another.

    The network sees tiles of one fixed size. Each tile is cut from the image (mirrored at the
    border) just before it is computed, and only its core is kept. So memory holds the image, its
    result, the tiles being computed and the probabilities of one row of tiles.

    Args:
        network: function from tiles (n, tile, tile, C) float32 in unit values to probabilities
            (n, output, output, K) float32.
        geometry: tile, halo, margin, stride, blend.
        num_classes: K.
        batch_size: number of tiles in one call of the network. On a CPU one is as fast as
            several. On a GPU several are faster; memory grows in proportion.
        threshold: for one class, a pixel belongs to class 1 if its probability is at least this.
            With `multi_label` the same holds for each class.
        multi_label: whether classes may overlap; then each class is decided separately.
        instances: the rule by which `instances` makes instance ids of two maps, foreground and
            core, or of one. Class ids are then 0 and 1, by the foreground.
        test_time_augmentation: 1 is none. Otherwise the result is the mean over this number of
            flipped and transposed versions of each tile: 2 (left-right), 4 (also up-down), 8 (also
            transposed; square tiles only). Time grows in proportion, memory does not.
        percentiles: those of each whole image by which its values are stretched before they are cut
            into tiles; see `images.intensity_range`. None leaves them.
        is_raw: whether values may have any scale, for these percentiles.

    Attributes:
        ids_dtype: type of class ids: uint8 for up to 256 classes, int32 for more.

    Raises:
        ValueError: if an argument is not one of the accepted values.

    Example:
        >>> import tensorflow as tf
        >>> from keras_unet3p.geometry import TileGeometry
        >>> tiler = InGraphTiler(tf.identity, TileGeometry((32, 32), halo=8), num_classes=1)
        >>> tiler.class_ids(tf.ones((1, 50, 70, 1))).shape
        TensorShape([1, 50, 70])
    """

    def __init__(
        self,
        network: Callable[[tf.Tensor], tf.Tensor],
        geometry: TileGeometry,
        num_classes: int,
        *,
        batch_size: int = 1,
        threshold: float = 0.5,
        multi_label: bool = False,
        instances: InstanceRule | None = None,
        test_time_augmentation: int = 1,
        percentiles: tuple[float, float] | None = None,
        is_raw: bool = False,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, found {batch_size}")
        if not 1 <= num_classes <= 65536:  # the ids of a mask must fit into a PNG
            raise InputError(f"num_classes must be 1 to 65536, found {num_classes}")
        check_versions(test_time_augmentation, geometry)
        self.test_time_augmentation = test_time_augmentation
        self.percentiles = percentiles
        self.is_raw = is_raw
        self.network = network
        self.geometry = geometry
        self.num_classes = num_classes
        self.ids_dtype = ids_dtype(num_classes)
        self.batch_size = batch_size
        self.threshold = threshold
        self.instance_rule = instances
        self.multi_label = multi_label and num_classes > 1 and instances is None

    @property
    def has_threshold(self) -> bool:
        """Whether a threshold decides on class ids."""
        return has_threshold(self.num_classes, self.multi_label) or self.instance_rule is not None

    def probabilities(self, images: tf.Tensor) -> tf.Tensor:
        """Return probabilities (B, H, W, K) float32 for images (B, H, W, C).

        Args:
            images: float32 in unit values, or uint8 / uint16, which are divided by 255 / 65535.
        """
        return self._run(images, tf.identity, tf.float32, self.num_classes)

    def class_ids(self, images: tf.Tensor) -> tf.Tensor:
        """Return class ids (B, H, W): uint8 for up to 256 classes, int32 for more.

        For one class the ids are 0 and 1 by the threshold, for several the index of the most
        probable class. With `multi_label` the result is one map per class, (B, H, W, K), of 0 and
        1.

        Args:
            images: as for `probabilities`.
        """
        if self.multi_label:
            return self._run(images, self._decide, tf.uint8, self.num_classes)
        return self._run(images, self._decide, self.ids_dtype, 1)[:, :, :, 0]

    def instances(self, images: tf.Tensor) -> tf.Tensor:
        """Return instance ids (B, H, W) int32, numbered from 1 in each image.

        The probabilities of a whole image are in memory: tiles cut no instance.

        Args:
            images: as for `probabilities`.
        """
        rule = self.instance_rule
        if rule is None:
            raise InputError("instances: this tiler was made without a rule for them")

        def of_one(image: tf.Tensor) -> tf.Tensor:
            return in_graph_instances(self.probabilities(image[tf.newaxis])[0], rule)

        spec = tf.TensorSpec((None, None), tf.int32)
        return tf.map_fn(of_one, images, fn_output_signature=spec, parallel_iterations=1)

    def _decide(self, probabilities: tf.Tensor) -> tf.Tensor:
        if self.instance_rule is not None:
            probabilities = probabilities[:, :, :1]
        ids = to_class_ids_in_graph(probabilities, self.threshold, multi_label=self.multi_label)
        return ids if self.multi_label else tf.expand_dims(ids, -1)

    def _run(self, images: tf.Tensor, decide: Callable, dtype: tf.DType, depth: int) -> tf.Tensor:
        """Computes one row of tiles after another.

        Probabilities are in memory for one row of tiles, the result of `decide` for all rows. With
        blending, neighbouring rows overlap by `2 * blend` lines; the part of the upper row on these
        lines is kept until the lower row is added.
        """
        shape = tf.shape(images)
        batch, height, width = shape[0], shape[1], shape[2]
        ranges = self._ranges(images)
        rows = self._count(height, 0)
        lines = tf.TensorArray(
            dtype, size=batch * rows, element_shape=(None, None, depth), infer_shape=False
        )

        def body(i: tf.Tensor, waiting: tf.Tensor, lines: tf.TensorArray):
            row = _AxisTile(self.geometry, 0, tf.math.floormod(i, rows), rows, height)
            ends = None if ranges is None else ranges[i // rows]
            found = self._run_row(images[i // rows], row, ends)
            found, waiting = self._finished(found, waiting, row)
            return i + 1, waiting, lines.write(i, decide(found[: height - row.kept_start]))

        unknown = tf.TensorShape((None, None, self.num_classes))
        _, _, lines = tf.while_loop(
            lambda i, *_: i < batch * rows,
            body,
            (0, tf.zeros((0, width, self.num_classes)), lines),
            shape_invariants=(tf.TensorShape(()), unknown, None),
            parallel_iterations=1,
        )
        return tf.reshape(lines.concat(), (batch, height, width, depth))

    def _ranges(self, images: tf.Tensor) -> tf.Tensor | None:
        """What becomes 0 and 1 in each image, (B, 2, C); None if images are not stretched."""
        percentiles = self.percentiles
        if percentiles is None:
            return None

        def of_one(image: tf.Tensor) -> tf.Tensor:
            return tf.stack(intensity_range(image, percentiles, to_unit_values, self.is_raw))

        spec = tf.TensorSpec((2, images.shape[-1]), tf.float32)
        return tf.map_fn(of_one, images, fn_output_signature=spec, parallel_iterations=1)

    def _run_row(self, image: tf.Tensor, row: _AxisTile, ends: tf.Tensor | None) -> tf.Tensor:
        """The weighted probabilities of one row of tiles: (kept lines, width, classes)."""
        width, step = tf.shape(image)[1], self.batch_size
        columns = self._count(width, 1)
        ys = row.sources()
        down = tf.reshape(row.weights(), (-1, 1, 1)) if self.geometry.blend else None
        pieces = tf.TensorArray(
            tf.float32,
            size=columns,
            element_shape=(None, None, self.num_classes),
            infer_shape=False,
        )

        def add(output: tf.Tensor, column: tf.Tensor, waiting: tf.Tensor, pieces: tf.TensorArray):
            across = _AxisTile(self.geometry, 1, column, columns, width)
            found = output[row.crop, across.crop]
            if down is not None:
                found *= down
                found *= tf.reshape(across.weights(), (1, -1, 1))
            # Pieces differ in width, and TensorArray.concat joins along the first axis.
            found, waiting = self._finished(tf.transpose(found, (1, 0, 2)), waiting, across)
            pieces = pieces.write(column, found[: width - across.kept_start])
            return column + 1, waiting, pieces

        def body(column: tf.Tensor, waiting: tf.Tensor, pieces: tf.TensorArray):
            present = tf.minimum(columns - column, step)
            numbers = [tf.minimum(column + offset, columns - 1) for offset in range(step)]
            across = [_AxisTile(self.geometry, 1, number, columns, width) for number in numbers]
            tiles = tf.stack([self._cut(image, ys, tile.sources(), ends) for tile in across])
            if step == 1:
                return add(self._predict(tiles)[0], column, waiting, pieces)
            outputs = self._predict(tiles[:present])
            return tf.while_loop(
                lambda n, *_: n < column + present,
                lambda n, *state: add(outputs[n - column], n, *state),
                (column, waiting, pieces),
                shape_invariants=invariants,
                parallel_iterations=1,
            )

        invariants = (tf.TensorShape(()), tf.TensorShape((None, None, self.num_classes)), None)
        _, _, pieces = tf.while_loop(
            lambda column, *_: column < columns,
            body,
            (0, tf.zeros((0, row.kept, self.num_classes)), pieces),
            shape_invariants=invariants,
            parallel_iterations=1,
        )
        return tf.transpose(pieces.concat(), (1, 0, 2))

    def _finished(self, found: tf.Tensor, waiting: tf.Tensor, tile: _AxisTile):
        """Adds the previous tile's part to the first lines and holds back the last ones.

        Returns:
            The final lines, and the lines that the next tile will be added to.
        """
        blend = self.geometry.blend
        if not blend:
            return found, waiting
        count = tf.shape(waiting)[0]
        found = tf.concat((found[:count] + waiting, found[count:]), axis=0)
        end = tile.kept - tf.where(tile.is_last, 0, 2 * blend)
        return found[:end], found[end:]

    def _count(self, length: tf.Tensor, axis: int) -> tf.Tensor:
        geometry = self.geometry
        core = geometry.core[axis]
        left = tf.maximum(length + 2 * geometry.mirrored - geometry.tile[axis], 0)
        return 1 + (left + core - 1) // core

    def _predict(self, tiles: tf.Tensor) -> tf.Tensor:
        if self.test_time_augmentation == 1:
            return self.network(tiles)

        def body(k: tf.Tensor, total: tf.Tensor):
            found = self.network(_transform(tiles, k))
            return k + 1, total + _transform(found, k, inverse=True)

        shape = (tf.shape(tiles)[0], *self.geometry.output, self.num_classes)
        _, total = tf.while_loop(
            lambda k, _: k < self.test_time_augmentation,
            body,
            (0, tf.zeros(shape)),
            parallel_iterations=1,
        )
        return total / self.test_time_augmentation

    def _cut(
        self, image: tf.Tensor, ys: tf.Tensor, xs: tf.Tensor, ends: tf.Tensor | None
    ) -> tf.Tensor:
        """Rows `ys` and columns `xs` of an image (H, W, C) as one tile, float32."""
        top, left = tf.reduce_min(ys), tf.reduce_min(xs)
        window = image[top : tf.reduce_max(ys) + 1, left : tf.reduce_max(xs) + 1]
        tile = tf.gather(tf.gather(window, ys - top, axis=0), xs - left, axis=1)
        tile = to_unit_values(tile)
        if ends is not None:
            tile = stretch(tile, ends[0], ends[1])
        if self.geometry.fill == "zeros":
            height, width = self.geometry.tile
            bottom, right = height - tf.size(ys), width - tf.size(xs)
            tile = tf.pad(tile, [[0, bottom], [0, right], [0, 0]])
        tile.set_shape((*self.geometry.tile, image.shape[-1]))
        return tile


class _AxisTile:
    """`tiling.AxisTile` in a graph: tile `index` of `count` along an axis of `length` pixels.

    The last tile also keeps pixels outside the image, as far as the previous tile's fade reaches.
    """

    def __init__(self, geometry: TileGeometry, axis: int, index, count, length) -> None:
        core, side, reach = geometry.core[axis], geometry.tile[axis], geometry.mirrored
        self._blend, self._length = geometry.blend, length
        self.is_first, self.is_last = tf.equal(index, 0), tf.equal(index, count - 1)
        start = index * core - reach
        beyond = start + side - reach - length
        shift = beyond // geometry.stride * geometry.stride
        self._start = start - tf.where(self.is_last & ~self.is_first, shift, 0)
        self._stop = self._start + side
        if geometry.fill == "zeros":
            self._stop = tf.minimum(self._stop, length + reach)
        self._line = index * core + geometry.halo - reach
        self._next_line = self._line + core
        self.kept_start = tf.where(self.is_first, 0, self._line - self._blend)
        ends = tf.where(self.is_first, 0, self._line + self._blend)
        stop = tf.where(self.is_last, tf.maximum(length, ends), self._next_line + self._blend)
        self.kept = stop - self.kept_start
        crop = self.kept_start - self._start - geometry.margin
        self.crop = slice(crop, crop + self.kept)

    def sources(self) -> tf.Tensor:
        """The image's pixel for each pixel of the tile; if they are fewer, zeros follow."""
        return mirrored(tf.range(self._start, self._stop), self._length, tf.maximum)

    def weights(self) -> tf.Tensor:
        """The weights of the kept lines."""
        length = 2 * self._blend
        rise = [fade_in(p, length) for p in range(length)]
        places = self.kept_start + tf.range(self.kept)
        risen = tf.clip_by_value(places - self._line + self._blend, 0, length)
        risen = tf.where(self.is_first, length, risen)
        fallen = tf.clip_by_value(places - self._next_line + self._blend + 1, 0, length)
        fallen = tf.where(self.is_last, 0, fallen)
        up = tf.constant([*rise, 1.0], tf.float32)
        down = tf.constant([1.0, *(1.0 - value for value in rise)], tf.float32)
        return tf.gather(up, risen) * tf.gather(down, fallen)


def _transform(images: tf.Tensor, k: tf.Tensor, inverse: bool = False) -> tf.Tensor:
    """Version `k` (0 to 7) of images: bit 0 flips columns, bit 1 flips rows, bit 2 transposes."""

    def when(bit: int, change: Callable, images: tf.Tensor) -> tf.Tensor:
        is_set = tf.equal(tf.math.floormod(tf.math.floordiv(k, 2**bit), 2), 1)
        changed = tf.cond(is_set, lambda: change(images), lambda: images)
        changed.set_shape(images.shape)
        return changed

    def swap(images: tf.Tensor) -> tf.Tensor:
        return when(2, lambda x: tf.transpose(x, (0, 2, 1, 3)), images)

    if images.shape[1] == images.shape[2] and not inverse:
        images = swap(images)
    images = when(0, lambda x: tf.reverse(x, [2]), images)
    images = when(1, lambda x: tf.reverse(x, [1]), images)
    if images.shape[1] == images.shape[2] and inverse:
        images = swap(images)
    return images


def to_unit_values(image: tf.Tensor) -> tf.Tensor:
    """`images.unit_values.scaled` in a graph, for integers of 8 or 16 bits and float32."""
    scale = divisor(np.dtype(image.dtype.as_numpy_dtype), "unit")
    image = tf.cast(image, tf.float32)
    return image if scale == 1.0 else image * reciprocal(scale)
