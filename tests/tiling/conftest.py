from __future__ import annotations

import pytest

from tests.tiling.networks import small_network


@pytest.fixture(scope="session")
def networks():
    """Small trained-looking networks by (padding, channels, classes), built once."""
    made = {}

    def get(padding="same", channels=1, classes=1, **options):
        key = (padding, channels, classes, tuple(sorted(options.items())))
        if key not in made:
            made[key] = small_network(padding, channels, classes, **options)
        return made[key]

    return get
