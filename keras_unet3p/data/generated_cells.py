from __future__ import annotations

import math

import cv2
import numpy as np
from scipy import ndimage

from keras_unet3p.errors import InputError

_OUTLINE_ORDERS = np.arange(2, 6)
_MARGIN = 24
_PIXELS_PER_CELL = 2700
_SMALLEST_CELL = 12
_PARTNER_PROBABILITY = 0.55


def generate_cells(
    size: int | tuple[int, int], *, seed: int, num_cells: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a microscope image of touching cells with its truth, for trials and tests.

    Cells differ in size, shape and brightness; more than half of them touch a neighbour, with a
    faint dark seam or none between the two; some reach over the border. The light is uneven enough
    that no threshold separates cells from background, the cells have texture, and there are blur,
    debris that is no cell, and photon and read-out noise.

    Args:
        size: side of the square image in pixels, or (height, width); at least 16.
        seed: decides everything.
        num_cells: how many cells to draw, fewer where they find no room; by default as many as
            suit the size.

    Returns:
        Image (H, W) uint8 and labels (H, W) uint16, 0 the background and 1 to n the cells.

    Raises:
        ValueError: `size` or `num_cells` is out of range.

    Example:
        >>> image, labels = generate_cells(64, seed=0)
        >>> image.shape, image.dtype, labels.dtype
        ((64, 64), dtype('uint8'), dtype('uint16'))
    """
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    if min(height, width) < 16:
        raise InputError(f"size is {size}; expected at least 16 pixels a side")
    if num_cells is not None and not 0 <= num_cells < 1 << 16:
        raise InputError(f"num_cells is {num_cells}; expected 0 to 65535")
    rng = np.random.default_rng(np.random.SeedSequence((seed, height, width)))
    if num_cells is None:
        num_cells = max(3, round(height * width / _PIXELS_PER_CELL))
    outline = _Outlines(height, width)
    _place_cells(outline, num_cells, rng)
    labels = outline.labels[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    depth = outline.depth[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    labels = _renumbered(labels)
    return _render(labels, depth, rng), labels


class _Outlines:
    """The cells drawn so far, on a canvas with a margin so that some reach over the border."""

    def __init__(self, height: int, width: int) -> None:
        shape = (height + 2 * _MARGIN, width + 2 * _MARGIN)
        self.labels = np.zeros(shape, np.int32)
        # Relative distance from the cell's centre: 0 there, 1 at its outline.
        self.depth = np.full(shape, 1.0, np.float32)
        self.count = 0

    def draw(self, row: float, column: float, radius: float, rng: np.random.Generator) -> bool:
        """Draw a cell, sharing overlap with its neighbours along the line half-way; False if it
        would take too much from one or keep too little."""
        stretch = rng.uniform(1.0, 1.6)
        angle = rng.uniform(0.0, math.pi)
        amplitudes = rng.normal(0.0, 0.11, _OUTLINE_ORDERS.size) / (_OUTLINE_ORDERS - 1.0)
        phases = rng.uniform(0.0, 2.0 * math.pi, _OUTLINE_ORDERS.size)
        reach = math.ceil(radius * math.sqrt(stretch) * 1.5)
        top, left = int(row) - reach, int(column) - reach
        window = (
            slice(max(top, 0), min(top + 2 * reach + 1, self.labels.shape[0])),
            slice(max(left, 0), min(left + 2 * reach + 1, self.labels.shape[1])),
        )
        y = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, np.newaxis] - row
        x = np.arange(window[1].start, window[1].stop, dtype=np.float32) - column
        along = (x * math.cos(angle) + y * math.sin(angle)) / math.sqrt(stretch)
        across = (y * math.cos(angle) - x * math.sin(angle)) * math.sqrt(stretch)
        distance = np.hypot(along, across)
        turn = np.arctan2(across, along)
        outline = np.ones_like(turn)
        for order, amplitude, phase in zip(_OUTLINE_ORDERS, amplitudes, phases, strict=True):
            outline += np.float32(amplitude) * np.cos(np.float32(order) * turn + np.float32(phase))
        depth = (distance / (np.float32(radius) * outline)).astype(np.float32)

        inside = depth < 1.0
        before, depth_before = self.labels[window], self.depth[window]
        won = inside & (depth < depth_before)
        if np.count_nonzero(won) < 0.7 * np.count_nonzero(inside):
            return False
        lost = before[won & (before > 0)]
        if lost.size > 0.25 * np.count_nonzero(inside):
            return False
        self.count += 1
        before[won] = self.count
        depth_before[won] = depth[won]
        return True


def _place_cells(outlines: _Outlines, num_cells: int, rng: np.random.Generator) -> None:
    height, width = outlines.labels.shape
    shorter = min(height, width) - 2 * _MARGIN
    usual = min(17.0, shorter / 5.0)
    drawn: list[tuple[float, float, float]] = []
    tries = 0
    while len(drawn) < num_cells and tries < 12 * num_cells + 50:
        tries += 1
        radius = float(np.clip(usual * rng.lognormal(0.0, 0.22), 0.5 * usual, 1.8 * usual))
        if drawn and rng.random() < _PARTNER_PROBABILITY:
            neighbour = drawn[int(rng.integers(len(drawn)))]
            angle = rng.uniform(0.0, 2.0 * math.pi)
            gap = (radius + neighbour[2]) * rng.uniform(0.8, 1.0)
            row = neighbour[0] + gap * math.sin(angle)
            column = neighbour[1] + gap * math.cos(angle)
        else:
            row = rng.uniform(_MARGIN - usual / 2, height - _MARGIN + usual / 2)
            column = rng.uniform(_MARGIN - usual / 2, width - _MARGIN + usual / 2)
        if not (0 <= row < height and 0 <= column < width):
            continue
        if outlines.draw(row, column, radius, rng):
            drawn.append((row, column, radius))


def _renumbered(labels: np.ndarray) -> np.ndarray:
    """Ids 1 to n, each cell reduced to its largest piece; specks and what lies outside are gone."""
    result = np.zeros(labels.shape, np.uint16)
    count = 0
    for cell, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        mask = (labels[box] == cell).astype(np.uint8)
        _, pieces, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
        if statistics[largest, cv2.CC_STAT_AREA] >= _SMALLEST_CELL:
            count += 1
            result[box][pieces == largest] = count
    return result


def _render(labels: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = labels.shape
    count = int(labels.max())
    brightness = rng.uniform(0.55, 1.0, count + 1).astype(np.float32)
    brightness[0] = 0.0
    roundness = np.sqrt(np.clip(1.0 - depth**2, 0.0, 1.0))
    body = brightness[labels] * (0.55 + 0.45 * roundness)
    body *= 1.0 + 0.35 * _texture(height, width, 5.0, rng) + 0.2 * _texture(height, width, 1.6, rng)

    seam = cv2.GaussianBlur(_contacts(labels), (0, 0), 0.8)
    strength = cv2.resize(
        rng.uniform(0.0, 1.0, (max(2, height // 40), max(2, width // 40))).astype(np.float32),
        (width, height),
        interpolation=cv2.INTER_LINEAR,
    )
    body *= 1.0 - 0.6 * np.clip(strength * seam, 0.0, 1.0)
    body = cv2.GaussianBlur(np.maximum(body, 0.0), (0, 0), 1.1)

    light = _uneven_light(height, width, rng)
    debris = _debris(height, width, rng)
    scene = 0.12 + 0.34 * light + (0.30 * body + debris) * (0.45 + 0.75 * light)
    photons = 220.0
    noise = rng.standard_normal(scene.shape, np.float32)
    scene += noise * np.sqrt(np.maximum(scene, 0.0) / photons + 0.015**2)
    return np.clip(np.rint(scene * 255.0), 0, 255).astype(np.uint8)


def _texture(height: int, width: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of mean 0 and standard deviation 1, with blobs of this many pixels."""
    coarse = max(1.0, sigma / 1.5)
    shape = (max(2, math.ceil(height / coarse)), max(2, math.ceil(width / coarse)))
    noise = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), sigma / coarse)
    noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    return (noise - noise.mean()) / max(float(noise.std()), 1e-6)


def _uneven_light(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A lamp off centre on a slope, from 0 to 1."""
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, np.newaxis]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    row, column = rng.uniform(-0.8, 0.8, 2)
    angle = rng.uniform(0.0, 2.0 * math.pi)
    lamp = np.exp(-((y - row) ** 2 + (x - column) ** 2) / rng.uniform(0.8, 1.6))
    slope = 0.5 * (y * math.sin(angle) + x * math.cos(angle))
    light = lamp + np.float32(rng.uniform(0.3, 0.8)) * slope
    waves = rng.standard_normal((4, 4)).astype(np.float32)
    light = light + 0.12 * cv2.resize(waves, (width, height), interpolation=cv2.INTER_CUBIC)
    return (light - light.min()) / max(float(np.ptp(light)), 1e-6)


def _contacts(labels: np.ndarray) -> np.ndarray:
    """1 on the pixels next to a pixel of another cell."""
    touching = np.zeros(labels.shape, np.float32)
    for first, second in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        a, b = labels[first], labels[second]
        contact = (a != b) & (a > 0) & (b > 0)
        touching[first][contact] = 1.0
        touching[second][contact] = 1.0
    return touching


def _debris(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Small bright specks and large faint clouds out of focus, neither of them cells."""
    scene = np.zeros((height, width), np.float32)
    for _ in range(rng.poisson(height * width / 9000.0)):
        cv2.circle(
            scene,
            (int(rng.integers(width)), int(rng.integers(height))),
            int(rng.integers(1, 3)),
            float(rng.uniform(0.08, 0.25)),
            -1,
        )
    scene = cv2.GaussianBlur(scene, (0, 0), 0.9)
    clouds = np.maximum(_texture(height, width, 30.0, rng) - 0.7, 0.0)
    return scene + 0.05 * clouds
