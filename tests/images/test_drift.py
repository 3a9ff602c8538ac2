"""Drift: exact chances, few false alarms, and changes that are seen soon."""

from __future__ import annotations

import itertools
import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_unet3p as ku
from keras_unet3p.images.drift import DriftMonitor, MaskSpans, chance_of_outside
from keras_unet3p.images.image_values import measure_values
from keras_unet3p.images.stored_values import StoredValues


@pytest.mark.parametrize(("seen", "trained"), [(1, 2), (3, 4), (5, 3), (4, 7)])
def test_the_chance_is_that_of_all_orders(seen, trained):
    counts = [
        sum(place < min(places) or place > max(places) for place in range(seen + trained))
        for places in itertools.combinations(range(seen + trained), trained)
    ]
    for outside in range(seen + 1):
        expected = np.mean([count >= outside for count in counts])
        assert chance_of_outside(outside, seen, trained) == pytest.approx(expected, rel=1e-9)


@given(st.integers(1, 200), st.integers(2, 5000), st.data())
def test_the_chance_falls_with_the_images_outside(seen, trained, data):
    outside = data.draw(st.integers(1, seen))
    assert chance_of_outside(0, seen, trained) == pytest.approx(1.0, abs=1e-9)
    fewer, more = (chance_of_outside(k, seen, trained) for k in (outside - 1, outside))
    assert 0.0 <= more <= fewer <= 1.0


def noise(rng, brightness):
    return np.clip(rng.normal(brightness, 10, (12, 12)), 0, 255).astype(np.uint8)


def trained_on(images):
    return StoredValues.of([measure_values(image, "image") for image in images])


def test_images_of_the_same_kind_raise_no_alarm_and_others_do_soon():
    rng = np.random.default_rng(0)
    alarms, needed = 0, []
    for _ in range(30):
        monitor = DriftMonitor(
            trained_on([noise(rng, brightness) for brightness in rng.normal(100, 15, 20)])
        )
        alarms += any(monitor.see(noise(rng, b)) for b in rng.normal(100, 15, 150))
        needed.append(next(n for n in range(1, 200) if monitor.see(noise(rng, 190))))
    assert alarms == 0
    assert max(needed) <= 20


def test_a_drift_is_told_once_and_ends_when_images_are_as_before():
    rng = np.random.default_rng(1)
    images = [noise(rng, brightness) for brightness in np.linspace(80, 120, 40)]
    monitor = DriftMonitor(trained_on(images), window=30)
    told = [drift for _ in range(20) for drift in monitor.see(noise(rng, 20))]
    assert sorted(drift.quantity for drift in told) == [
        "brightest values",
        "darkest values",
        "medians",
    ]
    median = next(drift for drift in monitor.drifts if drift.quantity == "medians")
    assert (median.outside, median.images, median.trained_images) == (20, 20, 40)
    assert "medians of 20 of the last 20 images outside" in str(median)
    for image in images:
        monitor.see(image)
    assert monitor.drifts == []


def test_masks_drift_by_shares_and_areas():
    spans = MaskSpans(50, ((0.7, 0.9), (0.1, 0.3)), 50, (9.0, 25.0))
    assert MaskSpans.from_dict(json.loads(json.dumps(spans.to_dict()))) == spans
    monitor = DriftMonitor(mask_spans=spans, classes=["background", "cell"])
    ids = np.zeros((20, 20), np.int32)
    for place in range(4):
        ids[5 * place : 5 * place + 4, :4] = place + 1  # 4 of 16 pixels: 0.16
    for _ in range(50):
        assert monitor.see(None, ids, instances=True) == []
    few = np.where(ids == 1, 1, 0)
    few[1:4] = 0  # one of 4 pixels: 0.01
    told = [d.quantity for _ in range(50) for d in monitor.see(None, few, instances=True)]
    assert sorted(told) == ["object areas", "share of cell"]
    assert monitor.see(None, np.zeros((4, 4), np.uint8), instances=True) == []  # no object, no area


def test_what_few_images_tell_is_not_watched():
    images = [np.full((4, 4), value, np.uint8) for value in (10, 20, 30, 40)]
    assert DriftMonitor(trained_on(images)).quantities == []
    assert DriftMonitor().see(np.zeros((3, 3)), np.zeros((3, 3), int)) == []
    with pytest.raises(ValueError, match="window must be at least 1, found 0"):
        DriftMonitor(window=0)


def test_other_types_are_compared_in_unit_values():
    rng = np.random.default_rng(2)
    images = [noise(rng, brightness) for brightness in np.linspace(80, 120, 30)]
    monitor = DriftMonitor(trained_on(images))
    for image in images:
        assert monitor.see(image.astype(np.uint16) * 257) == []
    told = [d for image in images for d in monitor.see(image.astype(np.uint16))]
    assert told


def test_a_card_tells_what_the_training_was_like(tmp_path):
    training = {
        "stored_values": [
            each.to_dict() for each in trained_on([np.full((3, 3), v, np.uint8) for v in range(9)])
        ],
        "mask_spans": MaskSpans(9, ((0.5, 1.0), (0.0, 0.2), (0.0, 0.3)), 0, None).to_dict(),
    }
    card = {"training": training, "classes": ["none", "vessel", "nerve"]}
    path = tmp_path / "assets.extra" / "model_card.json"
    path.parent.mkdir()
    path.write_text(json.dumps(card))
    watched = ["darkest values", "medians", "brightest values"]
    named = ["share of vessel", "share of nerve"]
    assert DriftMonitor.of_card(tmp_path).quantities == watched + named
    assert DriftMonitor.of_card({**card, "multi_label": True}).quantities == watched
    assert DriftMonitor.of_card({"training": {}}).quantities == []
    path.write_text("{")
    with pytest.raises(ValueError, match=r"model_card\.json: .*expected a model card"):
        DriftMonitor.of_card(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match="expected the entries of a model card"):
        DriftMonitor.of_card(path)


def test_the_figures_of_a_training_set_are_those_of_its_masks():
    pairs = [ku.data.generate_cells(48, seed=seed) for seed in range(6)]
    opened = ku.data.open_images(*zip(*pairs, strict=True), mask_kind="instances")
    spans = opened.mask_spans
    shares = [float(np.mean(mask > 0)) for _, mask in pairs]
    areas = [float(np.median(np.unique(m[m > 0], return_counts=True)[1])) for _, m in pairs]
    assert spans.shares[1] == pytest.approx((min(shares), max(shares)))
    assert (spans.images, spans.with_objects) == (6, 6)
    assert spans.object_area == (min(areas), max(areas))


def test_threads_lose_no_image():
    images = [np.full((4, 4), value, np.uint8) for value in range(100, 120)]
    monitor = DriftMonitor(trained_on(images), window=1000)
    dark = np.zeros((4, 4), np.uint8)
    threads = [
        threading.Thread(target=lambda: [monitor.see(dark) for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {drift.images for drift in monitor.drifts} == {200}
