"""What became of the objects that have no partner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_unet3p.metrics import object_errors, object_scores

_IDS = st_numpy.arrays(np.int64, (6, 8), elements=st.integers(0, 4))


@settings(max_examples=200, deadline=None)
@given(_IDS, _IDS)
def test_every_object_is_matched_or_has_one_error(truth, prediction):
    errors = object_errors(truth, prediction)
    for own, kinds in (
        (truth, (errors.missed, errors.split, errors.merged)),
        (prediction, (errors.extra, errors.splitting, errors.merging)),
    ):
        labels = np.concatenate(kinds).tolist()
        assert len(set(labels)) == len(labels)
        assert set(labels) <= set(np.unique(own[own > 0]).tolist())
    # Above one half no object has two partners.
    scores = object_scores(truth, prediction, 0.5 + 1e-9)
    assert scores.missed == len(errors.missed) + len(errors.split) + len(errors.merged)
    assert scores.extra == len(errors.extra) + len(errors.splitting) + len(errors.merging)
    assert sum(errors.counts().values()) <= scores.missed + scores.extra


def _row(*runs):
    return np.concatenate([np.full(length, label) for label, length in runs])[None]


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        (_row((5, 9)), _row((0, 9)), {"missed": [5]}),
        (_row((0, 9)), _row((5, 9)), {"extra": [5]}),
        (_row((1, 5), (2, 5)), _row((7, 10)), {"merged": [1, 2], "merging": [7]}),
        (_row((3, 10)), _row((1, 5), (2, 5)), {"split": [3], "splitting": [1, 2]}),
        # A small cell that a large one swallows is merged, though the large one has its partner.
        (_row((1, 8), (2, 2)), _row((7, 10)), {"merged": [2]}),
        # A crumb beside a cell that is found is extra.
        (_row((1, 10)), _row((4, 8), (5, 2)), {"extra": [5]}),
        (_row((1, 10)), _row((4, 3), (0, 7)), {"missed": [1], "extra": [4]}),
    ],
)
def test_each_kind(truth, prediction, expected):
    found = {
        name: labels.tolist()
        for name, labels in object_errors(truth, prediction)._asdict().items()
        if len(labels)
    }
    assert found == expected
