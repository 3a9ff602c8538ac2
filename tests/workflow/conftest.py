"""A small set of cells and a run trained on it for seconds, shared by the workflow's tests."""

import numpy as np
import pytest
from rich.console import Console

from keras_unet3p import data, workflow
from keras_unet3p.images import pictures

_SMALL = {
    "architecture": "unet3plus",
    "filters": 4,
    "depth": 2,
    "patch_size": 32,
    "batch_size": 2,
    "epochs": 2,
    "steps_per_epoch": 4,
    "validation": 0.25,
    # Masks through every kind of model; test_instances.py trains networks that give instances.
    "instances": "gaps",
}


# Of a training whose network does not matter: most of the time of a short one goes into its graph.
_LEAST = {**_SMALL, "architecture": "unet", "filters": 2, "depth": 1, "batch_norm": True}


def write_cells(folder, count=8, size=(60, 76)):
    for number in range(count):
        image, labels = data.generate_cells(size, seed=number)
        pictures.write_picture(folder / "images" / f"cell_{number}.png", image)
        pictures.write_picture(folder / "masks" / f"cell_{number}.png", labels.astype(np.uint16))
    return folder


@pytest.fixture(scope="session")
def cells(tmp_path_factory):
    return write_cells(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="session")
def small():
    """Options of a training that takes seconds."""
    return dict(_SMALL)


@pytest.fixture(scope="session")
def least():
    """Options of a training of a network as small as may be."""
    return dict(_LEAST)


@pytest.fixture(scope="session")
def quiet():
    return Console(quiet=True)


def _trained(options, cells, out, console):
    config = workflow.TrainingConfig(**options)
    workflow.train(cells / "images", cells / "masks", config, out=out, console=console)
    return out


@pytest.fixture(scope="session")
def run(cells, tmp_path_factory, quiet):
    return _trained(_SMALL, cells, tmp_path_factory.mktemp("runs") / "small", quiet)


@pytest.fixture(scope="session")
def least_run(cells, tmp_path_factory, quiet):
    """A run of the options `least`."""
    return _trained(_LEAST, cells, tmp_path_factory.mktemp("runs") / "least", quiet)


@pytest.fixture(scope="session")
def exported(run, tmp_path_factory):
    return workflow.export(run, tmp_path_factory.mktemp("models") / "cells", tile_size=64)
