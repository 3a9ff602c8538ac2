"""Draws the networks as SVG from their Keras graphs: nodes, maps, and how they are joined.

    python docs/tools/network_pictures.py   # writes docs/networks/*.svg

A node is a named tensor of `model.features`. Between two nodes is an arrow where the graph leads
from one to the other past no third; its colour says whether a map is pooled, raised or kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_unet3p import compat, models

FOLDER = Path(__file__).parents[1] / "networks"
GREY, ORANGE, BLUE, INK = "#8a8f98", "#d9822b", "#2b6fb3", "#1f2430"
WIDTH, HEIGHT, COLUMN, ROW, MARGIN = 104, 50, 128, 118, 24


class Drawing(NamedTuple):
    """What is drawn: a model, where its nodes stand, and what the paper calls them."""

    title: str
    build: Callable[..., Any]
    arguments: dict[str, Any]
    place: Callable[[str], tuple[float, float] | None]
    label: Callable[[str], tuple[str, str, str]]


def _u_place(name: str) -> tuple[float, float] | None:
    """Columns and rows of e1 ... e5 and d4 ... d1, along a U."""
    found = re.fullmatch(r"([ed])(\d)", name)
    if found:
        level = int(found[2])
        return (level - 1 if found[1] == "e" else 9 - level, level - 1)
    return (9, 0) if name == "mask" else None


def _gated_place(name: str) -> tuple[float, float] | None:
    found = re.fullmatch(r"attention(\d)", name)
    if found:
        return 4, int(found[1]) - 1
    return _u_place(name)


def _nested_place(name: str) -> tuple[float, float] | None:
    found = re.fullmatch(r"x(\d)_(\d)", name)
    if found:
        row, column = int(found[1]), int(found[2])
        return row + 2 * column, row
    found = re.fullmatch(r"e(\d)", name)
    if found:
        return int(found[1]) - 1, int(found[1]) - 1
    return (9.2, 0) if name == "mask" else None


def _fcn_place(name: str) -> tuple[float, float] | None:
    places: dict[str, tuple[float, float]] = {
        f"e{level}": (level - 1, level - 1) for level in range(1, 6)
    }
    places |= {"scores32": (5.2, 5), "scores16": (6.4, 4), "scores8": (7.6, 3), "mask": (8.8, 0)}
    return places.get(name)


def _plain_label(name: str) -> tuple[str, str, str]:
    return name, "", ""


def _full_scale_label(name: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"([ed])(\d)", name)
    if not found:
        return name, "", ""
    return "X", "En" if found[1] == "e" else "De", found[2]


def _nested_label(name: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"x(\d)_(\d)", name)
    if found:
        return "X", "", f"{found[1]},{found[2]}"
    found = re.fullmatch(r"e(\d)", name)
    return ("X", "", f"{int(found[1]) - 1},0") if found else (name, "", "")


def _gated_label(name: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"attention(\d)", name)
    return ("α", "", found[1]) if found else (name, "", "")


DRAWINGS = {
    "fcn": Drawing(
        "FCN-8s on VGG16", models.fcn, {"input_shape": (320, 320, 3)}, _fcn_place, _plain_label
    ),
    "unet": Drawing(
        "U-Net, unpadded as published",
        models.unet,
        {"input_shape": (572, 572, 1), "num_classes": 2, "padding": "valid"},
        _u_place,
        _plain_label,
    ),
    "attention_unet": Drawing(
        "Attention U-Net",
        models.attention_unet,
        {"input_shape": (320, 320, 1)},
        _gated_place,
        _gated_label,
    ),
    "unetplusplus": Drawing(
        "UNet++",
        models.unetplusplus,
        {"input_shape": (320, 320, 1)},
        _nested_place,
        _nested_label,
    ),
    "unet3plus": Drawing(
        "UNet 3+",
        models.unet3plus,
        {"input_shape": (320, 320, 1)},
        _u_place,
        _full_scale_label,
    ),
}


class Join(NamedTuple):
    """From a node to another."""

    origin: str
    target: str


def parameters(model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def joins(model, names: list[str]) -> list[Join]:
    """How the graph joins the nodes of these names."""
    nodes = {compat.place_of(model.features[name]): name for name in names}
    found = list(_pairs({name: model.features[name] for name in names}, nodes))
    # The maps of an encoder of keras.applications come out of one layer, a model with a graph.
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            inside = {nodes[layer.name, n]: tensor for n, tensor in enumerate(layer.outputs)}
            found += _pairs(inside, {compat.place_of(inside[name]): name for name in inside})
    return [Join(*pair) for pair in found]


def _pairs(tensors: dict[str, Any], nodes: dict[tuple, str]) -> Iterator[tuple[str, str]]:
    """(origin, node) for the nodes that lead to each of the tensors past no third."""
    for name, tensor in tensors.items():
        seen, waiting = set(), _before(tensor)
        while waiting:
            place = compat.place_of(waiting[0])
            tensor = waiting.pop(0)
            if place in seen:
                continue
            seen.add(place)
            if place in nodes:
                yield nodes[place], name
            else:
                waiting += _before(tensor)


def _before(tensor) -> list:
    return compat.inputs_of_last_call(compat.layer_of(tensor))


def draw(name: str) -> str:
    """The picture of an architecture, SVG."""
    drawing = DRAWINGS[name]
    # Weights of zeros are quicker to make than those to begin a training with.
    model = drawing.build(**drawing.arguments, kernel_initializer="zeros")
    places = {node: drawing.place(node) for node in model.features}
    places = {node: place for node, place in places.items() if place is not None}
    columns = max(column for column, _ in places.values())
    rows = max(row for _, row in places.values())
    width = 2 * MARGIN + columns * COLUMN + WIDTH
    height = 2 * MARGIN + rows * ROW + HEIGHT + 70
    parts = [_arrow(places, join) for join in joins(model, list(places))]
    parts += [_node(drawing, model, node, place) for node, place in places.items()]
    shape = " x ".join(str(size) for size in model.input_shape[1:])
    title = f"{drawing.title}: {shape} in, {parameters(model):,} parameters"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            'font-family="sans-serif" text-anchor="middle">',
            f"<title>{title}</title>",
            f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
            f'<text x="{MARGIN}" y="26" font-size="17" fill="{INK}" text-anchor="start">{title}'
            "</text>",
            *_legend(),
            "<defs>",
            *(_head(color) for color in (GREY, ORANGE, BLUE)),
            "</defs>",
            *parts,
            "</svg>",
            "",
        ]
    )


def _middle(place: tuple[float, float]) -> tuple[float, float]:
    column, row = place
    return MARGIN + WIDTH / 2 + column * COLUMN, MARGIN + 70 + HEIGHT / 2 + row * ROW


def _legend() -> Iterator[str]:
    for number, (color, text) in enumerate(
        ((GREY, "same scale"), (ORANGE, "pooled"), (BLUE, "raised"))
    ):
        x = MARGIN + number * 110
        yield f'<path d="M{x} 47h26" stroke="{color}" stroke-width="2.5"/>'
        yield (
            f'<text x="{x + 32}" y="51" font-size="12" fill="{INK}" text-anchor="start">{text}'
            "</text>"
        )


def _head(color: str) -> str:
    return (
        f'<marker id="m{color[1:]}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
        f'markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z" fill="{color}"/></marker>'
    )


def _node(drawing: Drawing, model, node: str, place: tuple[float, float]) -> str:
    x, y = _middle(place)
    text, lower, upper = drawing.label(node)
    shape = " x ".join(str(size) for size in model.features[node].shape[1:])
    indices = ""
    if lower:
        indices += f'<tspan dy="4" font-size="10">{lower}</tspan>'
    if upper:
        indices += f'<tspan dy="{-12 if lower else -6}" font-size="10">{upper}</tspan>'
    return (
        f'<g><rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" '
        f'rx="7" fill="#eef3f8" stroke="{INK}"/>'
        f'<text x="{x:g}" y="{y - 3:g}" font-size="14" font-weight="bold" fill="{INK}">{text}'
        f"{indices}</text>"
        f'<text x="{x:g}" y="{y + 17:g}" font-size="10.5" fill="#555">{shape}</text>'
        f"<title>features[&quot;{node}&quot;]</title></g>"
    )


def _arrow(places, join: Join) -> str:
    """A line that bends the more the longer it is, so that those in a row can be told apart."""
    x0, y0 = _middle(places[join.origin])
    x1, y1 = _middle(places[join.target])
    length = math.hypot(x1 - x0, y1 - y0)
    # A row of nodes is a scale: each is half as large as the one above.
    factor = 2.0 ** (places[join.origin][1] - places[join.target][1])
    near = length < 1.5 * math.hypot(COLUMN, ROW)
    bend = 0 if near else 0.13 * length if factor <= 1 else -0.3 * length
    mx, my = (x0 + x1) / 2, (y0 + y1) / 2
    cx, cy = mx + bend * (y1 - y0) / length, my - bend * (x1 - x0) / length
    sx, sy = _edge(x0, y0, cx, cy)
    ex, ey = _edge(x1, y1, cx, cy)
    color = GREY if factor == 1 else ORANGE if factor < 1 else BLUE
    how = (
        ""
        if factor == 1
        else (f", pooled by {1 / factor:g}" if factor < 1 else f", raised by {factor:g}")
    )
    return (
        f'<path d="M{sx:.1f} {sy:.1f}Q{cx:.1f} {cy:.1f} {ex:.1f} {ey:.1f}" fill="none" '
        f'stroke="{color}" stroke-width="1.8" marker-end="url(#m{color[1:]})">'
        f"<title>{join.origin} to {join.target}{how}</title></path>"
    )


def _edge(x: float, y: float, to_x: float, to_y: float) -> tuple[float, float]:
    """Where the line from a node's middle leaves its box."""
    dx, dy = to_x - x, to_y - y
    share = min(
        (WIDTH / 2 + 2) / abs(dx) if dx else math.inf,
        (HEIGHT / 2 + 2) / abs(dy) if dy else math.inf,
    )
    return x + share * dx, y + share * dy


if __name__ == "__main__":
    for each in DRAWINGS:
        (FOLDER / f"{each}.svg").write_text(draw(each), encoding="utf-8")
        print(FOLDER / f"{each}.svg")
