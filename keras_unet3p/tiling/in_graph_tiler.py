"""The tiler that runs inside a TensorFlow graph."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_unet3p.tiling.geometry import TileGeometry, fade_in


class InGraphTiler:
    """Runs a network over images of any size, in the graph, one batch of tiles after the other.

    The network sees one static tile size. Tiles are read from the image (mirrored at its border)
    when they are due and only their cores are kept, so memory is that of the image, its result, the
    tiles in flight and the probabilities of one row of tiles.

    Args:
        network: function from tiles (n, tile, tile, C) float32 in unit values to probabilities
            (n, output, output, K) float32.
        geometry: tile, halo, margin, stride, blend.
        num_classes: K.
        tiles_per_step: how many tiles run through the network together. One is as fast as many on a
            CPU; more feed a GPU better and take as much more memory.
        threshold: with one class, a pixel is of class 1 from this probability on.
        symmetries: 1, or the number of mirrored and turned versions of each tile over whose results
            is averaged: 2 (left-right), 4 (and up-down), 8 (and transposed; square tiles only).
            Time grows by as much, memory does not.

    Raises:
        ValueError: if an argument is none of these.
    """

    def __init__(
        self,
        network: Callable[[tf.Tensor], tf.Tensor],
        geometry: TileGeometry,
        num_classes: int,
        *,
        tiles_per_step: int = 1,
        threshold: float = 0.5,
        symmetries: int = 1,
    ) -> None:
        if tiles_per_step < 1:
            raise ValueError(f"tiles_per_step must be at least 1, found {tiles_per_step}")
        if not 1 <= num_classes <= 256:
            raise ValueError(f"num_classes must be 1 to 256, found {num_classes}")
        if symmetries not in (1, 2, 4, 8):
            raise ValueError(f"symmetries must be 1, 2, 4 or 8, found {symmetries}")
        if symmetries == 8 and geometry.tile[0] != geometry.tile[1]:
            raise ValueError(f"symmetries=8 needs square tiles, found {geometry.tile}")
        self.symmetries = symmetries
        self.network = network
        self.geometry = geometry
        self.num_classes = num_classes
        self.tiles_per_step = tiles_per_step
        self.threshold = threshold

    def probabilities(self, images: tf.Tensor) -> tf.Tensor:
        """Probabilities (B, H, W, K) float32 of images (B, H, W, C).

        Args:
            images: float32 in unit values, or uint8 / uint16, which are divided by 255 / 65535.
        """
        return self._run(images, tf.identity, tf.float32, self.num_classes)

    def class_ids(self, images: tf.Tensor) -> tf.Tensor:
        """Class ids (B, H, W) uint8 of images as for `probabilities`.

        One class gives 0 and 1 by the threshold, several the index of the most probable class.
        """
        return self._run(images, self._decide, tf.uint8, 1)[:, :, :, 0]

    def _decide(self, probabilities: tf.Tensor) -> tf.Tensor:
        if self.num_classes == 1:
            return tf.cast(probabilities >= self.threshold, tf.uint8)
        ids = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        return tf.expand_dims(tf.cast(ids, tf.uint8), -1)

    def _run(self, images: tf.Tensor, decide: Callable, dtype: tf.DType, depth: int) -> tf.Tensor:
        """Row of tiles by row of tiles: probabilities are held for one row, what `decide` makes of
        them for all.

        With blending, a row of tiles reaches `blend` pixels into the rows above and below. What it
        says about the 2 * blend lines around the border below waits for the next row.
        """
        shape = tf.shape(images)
        batch, height, width = shape[0], shape[1], shape[2]
        core, blend = self.geometry.core[0], self.geometry.blend
        rows = (height + core - 1) // core
        lines = tf.TensorArray(
            dtype, size=batch * rows, element_shape=(None, None, depth), infer_shape=False
        )

        def body(i: tf.Tensor, waiting: tf.Tensor, lines: tf.TensorArray):
            row = tf.math.floormod(i, rows)
            is_first, is_last = tf.equal(row, 0), tf.equal(row, rows - 1)
            found = self._run_row(images[i // rows], row, rows)
            if blend:
                found = tf.concat((found[: 2 * blend] + waiting, found[2 * blend :]), axis=0)
                waiting = tf.cond(is_last, lambda: tf.zeros_like(waiting), lambda: found[core:])
            # `found` begins `blend` lines above the row's core.
            start = tf.where(is_first, blend, 0)
            stop = tf.where(is_last, height - row * core + blend, core)
            return i + 1, waiting, lines.write(i, decide(found[start:stop, :width]))

        across = self.geometry.core[1]
        padded_width = (width + across - 1) // across * across
        waiting = tf.zeros((2 * blend, padded_width, self.num_classes))
        _, _, lines = tf.while_loop(
            lambda i, *_: i < batch * rows,
            body,
            (0, waiting, lines),
            shape_invariants=(
                tf.TensorShape(()),
                tf.TensorShape((2 * blend, None, self.num_classes)),
                None,
            ),
            parallel_iterations=1,
        )
        return tf.reshape(lines.concat(), (batch, height, width, depth))

    def _run_row(self, image: tf.Tensor, row: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """One row of tiles as (core + 2 * blend, columns * core, classes), weighted."""
        blend, depth = self.geometry.blend, self.num_classes
        core_h, core_w = self.geometry.core
        columns = (tf.shape(image)[1] + core_w - 1) // core_w
        step = self.tiles_per_step
        kept_h, kept_w = core_h + 2 * blend, core_w + 2 * blend
        results = tf.TensorArray(
            tf.float32,
            size=(columns + step - 1) // step,
            element_shape=(None, kept_h, kept_w, depth),
            infer_shape=False,
        )

        def body(i: tf.Tensor, results: tf.TensorArray):
            tiles, weights = [], []
            for offset in range(step):
                column = tf.minimum(i * step + offset, columns - 1)
                tiles.append(self._cut(image, row, column))
                weights.append(self._weights(row, rows, column, columns))
            stacked = tf.stack(tiles)
            present = tf.minimum(columns - i * step, step)
            if step > 1:
                stacked = stacked[:present]
            kept = self._keep(self._predict(stacked))
            if blend:
                kept *= tf.stack(weights)[:present]
            return i + 1, results.write(i, kept)

        _, results = tf.while_loop(
            lambda i, _: i * step < columns, body, (0, results), parallel_iterations=1
        )
        found = tf.reshape(results.concat(), (columns, kept_h, kept_w, depth))
        if blend:
            found = _overlap_add(found, blend, core_w)
        found = tf.transpose(tf.reshape(found, (columns, kept_h, core_w * depth)), (1, 0, 2))
        return tf.reshape(found, (kept_h, columns * core_w, depth))

    def _predict(self, tiles: tf.Tensor) -> tf.Tensor:
        if self.symmetries == 1:
            return self.network(tiles)

        def body(k: tf.Tensor, total: tf.Tensor):
            found = self.network(_transform(tiles, k))
            return k + 1, total + _transform(found, k, inverse=True)

        shape = (tf.shape(tiles)[0], *self.geometry.output, self.num_classes)
        _, total = tf.while_loop(
            lambda k, _: k < self.symmetries, body, (0, tf.zeros(shape)), parallel_iterations=1
        )
        return total / self.symmetries

    def _cut(self, image: tf.Tensor, row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        """One tile of an image (H, W, C), mirrored where it reaches outside, as float32."""
        ys = self._positions(row, 0, tf.shape(image)[0])
        xs = self._positions(column, 1, tf.shape(image)[1])
        top, left = tf.reduce_min(ys), tf.reduce_min(xs)
        window = image[top : tf.reduce_max(ys) + 1, left : tf.reduce_max(xs) + 1]
        tile = tf.gather(tf.gather(window, ys - top, axis=0), xs - left, axis=1)
        tile.set_shape((*self.geometry.tile, image.shape[-1]))
        return to_unit_values(tile)

    def _positions(self, index: tf.Tensor, axis: int, length: tf.Tensor) -> tf.Tensor:
        start = index * self.geometry.core[axis] - self.geometry.halo
        return mirror_indices(start + tf.range(self.geometry.tile[axis]), length)

    def _keep(self, output: tf.Tensor) -> tf.Tensor:
        geometry = self.geometry
        start = geometry.halo - geometry.margin - geometry.blend
        stop_h, stop_w = (start + side + 2 * geometry.blend for side in geometry.core)
        return output[:, start:stop_h, start:stop_w]

    def _weights(self, row, rows, column, columns) -> tf.Tensor | None:
        if not self.geometry.blend:
            return None
        down = self._ramp(row, rows, self.geometry.core[0])
        across = self._ramp(column, columns, self.geometry.core[1])
        return tf.reshape(down, (-1, 1, 1)) * tf.reshape(across, (1, -1, 1))

    def _ramp(self, index: tf.Tensor, count: tf.Tensor, core: int) -> tf.Tensor:
        length = 2 * self.geometry.blend
        rise = tf.constant([fade_in(p, length) for p in range(length)], tf.float32)
        flat = tf.ones_like(rise)
        return tf.concat(
            [
                tf.where(tf.equal(index, 0), flat, rise),
                tf.ones(core - length),
                tf.where(tf.equal(index, count - 1), flat, 1.0 - rise),
            ],
            axis=0,
        )


def _transform(images: tf.Tensor, k: tf.Tensor, inverse: bool = False) -> tf.Tensor:
    """Version `k` (0 to 7) of images: bit 0 mirrors columns, bit 1 rows, bit 2 swaps the two."""

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


def _overlap_add(tiles: tf.Tensor, blend: int, core: int) -> tf.Tensor:
    """Adds what each of a row of tiles (columns, h, w, K) reaches into its neighbours."""
    head, body, tail = tf.split(tiles, (2 * blend, core - 2 * blend, 2 * blend), axis=2)
    before, head = tf.split(head, 2, axis=2)
    tail, after = tf.split(tail, 2, axis=2)
    others = [[0, 0]] * 3
    head += tf.pad(after[:-1], [[1, 0], *others])
    tail += tf.pad(before[1:], [[0, 1], *others])
    return tf.concat((head, body, tail), axis=2)


def mirror_indices(indices: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """`mirror_index` for a tensor of indices."""
    period = tf.maximum(2 * length - 2, 1)
    wrapped = tf.math.floormod(indices, period)
    return tf.minimum(wrapped, tf.maximum(period - wrapped, 0))


def to_unit_values(image: tf.Tensor) -> tf.Tensor:
    """Integers divided by the largest value of their type, as float32; float32 as it is."""
    if image.dtype.is_integer:
        return tf.cast(image, tf.float32) / float(image.dtype.max)
    return tf.cast(image, tf.float32)
