"""Sums of losses by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_unet3p import config
from keras_unet3p.config import LossTerm, TrainingConfig, loss_terms

weights = st.floats(0.001, 1000).map(lambda value: round(value, 3))


@given(
    st.lists(
        st.tuples(st.sampled_from(list(config.LOSSES)), weights),
        min_size=1,
        unique_by=lambda t: t[0],
    )
)
def test_what_is_written_is_read(terms):
    text = " + ".join(f"{weight}*{name}" for name, weight in terms)
    assert loss_terms(text) == tuple(LossTerm(*term) for term in terms)


def test_a_weight_is_1_where_none_is_given():
    assert loss_terms("focal + .5 * ms_ssim") == (("focal", 1.0), ("ms_ssim", 0.5))


@pytest.mark.parametrize("text", ["auto", "iou", "dice+focal"])
def test_the_configuration_keeps_it(text):
    assert TrainingConfig(loss=text).to_dict()["loss"] == text


def test_spaces_are_no_difference():
    assert TrainingConfig(loss="0.5 * dice + focal") == TrainingConfig(loss="0.5*dice+focal")
