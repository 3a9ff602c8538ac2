"""Training in two processes is training on one device with the same batches."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf
import workers_scenario as scenario
from several_workers import run_together

from keras_unet3p.artifacts import RunFolder


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> dict[str, list[dict[str, np.ndarray]]]:
    """What two processes have trained, by kind of network, of each process."""
    folder = tmp_path_factory.mktemp("together")
    run_together([sys.executable, scenario.__file__, str(folder)], folder)
    (row,) = RunFolder(folder / "by_time").read_history().rows
    assert row["hours"] == scenario.HOURS  # the processes ended at the same step: none waits
    return {
        kind: [dict(np.load(folder / f"{kind}-{worker}.npz")) for worker in range(2)]
        for kind in ("plain", "synchronized")
    }


@pytest.mark.parametrize("kind", ["plain", "synchronized"])
def test_losses_metrics_and_weights_are_those_of_one_device(together, kind):
    norm = {} if kind == "plain" else {"batch_norm": True, "batch_norm_synchronized": True}
    expected = scenario.fit(tf.distribute.get_strategy(), **norm)
    for found in together[kind]:
        names = set(found) - {"made"}
        assert names == set(expected)
        assert {"loss", "dice", "val_loss", "val_dice", "steps", "weight_0"} < names
        for name in names:
            np.testing.assert_allclose(
                found[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name
            )


def test_no_sample_is_made_twice_or_in_vain(together):
    made = [found["made"].tolist() for found in together["plain"]]
    needed = range(scenario.BATCH * scenario.STEPS * scenario.EPOCHS)
    for worker, numbers in enumerate(made):
        assert len(set(numbers)) == len(numbers), "a sample was made twice"
        # Those that are made ahead are of the process's own share too.
        assert {number % 2 for number in numbers} == {worker}
        assert set(needed[worker::2]) <= set(numbers)
