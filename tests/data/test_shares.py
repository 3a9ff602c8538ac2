"""What each of several machines makes of the training's and the validation's samples."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import data


@pytest.fixture(scope="module")
def opened() -> data.LabeledImages:
    pairs = [data.generate_cells((40, 56), seed=number) for number in range(3)]
    return data.open_images([image for image, _ in pairs], [ids for _, ids in pairs])


def contexts(machines: int, devices: int = 1) -> list[tf.distribute.InputContext]:
    return [
        tf.distribute.InputContext(machines, number, machines * devices)
        for number in range(machines)
    ]


def arrays(dataset) -> list[tuple[np.ndarray, ...]]:
    return [tuple(part.numpy() for part in batch) for batch in dataset]


def rows(batches) -> list[bytes]:
    """The samples of some batches, in an order of their own."""
    return sorted(
        b"".join(part[place].tobytes() for part in batch)
        for batch in batches
        for place in range(len(batch[0]))
    )


@pytest.mark.parametrize(("machines", "devices"), [(2, 1), (3, 2)])
def test_the_machines_share_each_batch_of_the_training(opened, machines, devices):
    options = {"patch_size": 16, "batch_size": 12, "steps": 2, "first_sample": 24, "seed": 3}
    whole = arrays(data.training_pipeline(opened, **options))
    shares = [
        arrays(data.training_pipeline(opened, **options, input_context=context))
        for context in contexts(machines, devices)
    ]
    for step, batch in enumerate(whole):
        parts = [b for share in shares for b in share[step * devices : (step + 1) * devices]]
        assert {len(part[0]) for part in parts} == {12 // (machines * devices)}
        assert rows(parts) == rows([batch])


# 3 images of 40 x 56 pixels: 18 tiles.
@pytest.mark.parametrize("batch_size", [2, 4, 6, 12, 36])
@pytest.mark.parametrize("devices", [1, 2])
def test_the_machines_share_the_tiles_of_the_validation(opened, batch_size, devices):
    if batch_size % (2 * devices):
        pytest.skip("such a batch cannot be shared")
    options = {"patch_size": 24, "batch_size": batch_size, "unit_mean": True}
    whole = arrays(data.validation_pipeline(opened, **options))
    shares = [
        arrays(data.validation_pipeline(opened, **options, input_context=context))
        for context in contexts(2, devices)
    ]
    assert rows(shares[0] + shares[1]) == rows(whole)
    sizes = [len(batch[0]) for share in shares for batch in share]
    assert len(shares[0]) == len(shares[1])
    assert len(shares[0]) % devices == 0
    assert 1 <= min(sizes) <= max(sizes) <= min(sizes) + 1


def test_what_cannot_be_shared_is_refused(opened):
    context = contexts(2)[0]
    options = {"patch_size": 24, "batch_size": 3, "input_context": context}
    for pipeline in (data.training_pipeline, data.validation_pipeline):
        with pytest.raises(ValueError, match="batch_size is 3; expected a multiple of the 2"):
            pipeline(opened, **options)
    options = {"patch_size": 64, "batch_size": 8, "input_context": contexts(4)[0]}
    with pytest.raises(ValueError, match="3 tiles for validation on 4 devices"):
        data.validation_pipeline(opened, **options)
