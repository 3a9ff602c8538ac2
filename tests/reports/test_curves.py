"""Curves as SVG."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p.reports import Curve, Mark, line_chart
from keras_unet3p.reports.curves import ticks

_FINITE = st.floats(-1e6, 1e6, width=32)
_NUMBERS = _FINITE | st.sampled_from([math.nan, math.inf, -math.inf])


@settings(max_examples=60, deadline=None)
@given(st.lists(_NUMBERS, min_size=1, max_size=12))
def test_any_curve_is_a_drawing_within_its_frame(values):
    chart = line_chart([Curve("a", list(enumerate(values)))], x_name="epoch", title="t")
    if not any(map(math.isfinite, values)):
        assert not chart
        return
    svg = ElementTree.fromstring(chart)
    _, _, width, height = map(float, svg.get("viewBox").split())
    path = next(each.get("d") for each in svg if each.get("class") == "curve curve-0")
    points = path.replace("h.01", "").replace("M", "L").split("L")[1:]
    assert len(points) == sum(map(math.isfinite, values))
    for point in points:
        x, y = map(float, point.split())
        assert 0 <= x <= width
        assert 0 <= y <= height


@settings(max_examples=60, deadline=None)
@given(_FINITE, _FINITE)
def test_ticks_are_few_and_cover_the_values(low, high):
    found = ticks([low, high])
    assert len(found) <= 8
    if len(found) > 1:
        tolerance = 1e-6 * (found[1] - found[0])
        assert found[0] <= min(low, high) + tolerance
        assert found[-1] >= max(low, high) - tolerance


def test_an_epoch_without_a_number_is_a_gap():
    points = [(1, 0.5), (2, math.nan), (3, 0.4), (4, 0.3)]
    chart = line_chart([Curve("loss", points)], x_name="epoch", title="Loss")
    (path,) = [
        line
        for line in chart.splitlines()
        if 'class="curve curve-0" d="M52 14' not in line and "curve-0" in line
    ]
    assert path.count("M") == 2
    assert path.count("L") == 1


@pytest.mark.parametrize("name", ["<script>", '"', "a & b"])
def test_names_are_escaped(name):
    chart = line_chart(
        [Curve(name, [(0, 1), (1, 2)])], x_name=name, title=name, marks=[Mark(0, 1, name)]
    )
    svg = ElementTree.fromstring(chart)
    assert svg.get("aria-label") == name
    assert [text.strip() for text in svg.itertext()].count(name) == 3
