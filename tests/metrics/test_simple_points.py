"""The table of simple points against the topology of whole images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from keras_unet3p.metrics import simple_points
from keras_unet3p.metrics.topology import NEIGHBORS

STRUCTURES = {4: ndimage.generate_binary_structure(2, 1), 8: np.ones((3, 3), bool)}


def components(image, connectivity):
    """Regions as sets of places of an image that lies on background."""
    labels, count = ndimage.label(image, STRUCTURES[connectivity])
    return [labels == label for label in range(1, count + 1)]


def flipping_keeps_topology(image, place, connectivity):
    """Whether the regions before and after a flip correspond, one to one, for both colours.

    Each region without the pixel has to be, or be part of, exactly one region with it.
    """
    keeps = True
    for colour, colour_connectivity in ((True, connectivity), (False, 12 - connectivity)):
        without, with_pixel = image == colour, image == colour
        without[place], with_pixel[place] = False, True
        small = components(without, colour_connectivity)
        for region in components(with_pixel, colour_connectivity):
            keeps &= sum(bool((region & part).any()) for part in small) == 1
    return keeps


@pytest.mark.parametrize("connectivity", [4, 8])
def test_all_256_against_brute_force_topology(connectivity):
    """Each neighbourhood in surroundings: none, all, and random ones.

    A simple pixel changes nothing in any of them; another changes something in at least one.
    """
    rng = np.random.default_rng(0)
    surroundings = [np.zeros((9, 9), bool), np.ones((9, 9), bool)]
    surroundings += [rng.random((9, 9)) < density for density in (0.3, 0.5, 0.5, 0.7)]
    surroundings = [np.pad(image[1:-1, 1:-1], 1) for image in surroundings]
    table = simple_points(connectivity)
    assert table.shape == (256,)
    for code in range(256):
        kept = []
        for image in surroundings:
            image = image.copy()
            for bit, (row, column) in enumerate(NEIGHBORS):
                image[4 + row, 4 + column] = code >> bit & 1
            kept.append(flipping_keeps_topology(image, (4, 4), connectivity))
        assert table[code] == all(kept), f"neighbourhood {code:08b}: {kept}"


def test_the_two_connectivities_are_each_others_complement():
    codes = np.arange(256)
    np.testing.assert_array_equal(simple_points(4)[codes], simple_points(8)[255 - codes])


def test_does_not_change_under_symmetries():
    offsets = list(NEIGHBORS)
    for turn in (lambda r, c: (c, -r), lambda r, c: (r, -c)):
        order = [offsets.index(turn(r, c)) for r, c in offsets]
        for connectivity in (4, 8):
            table = simple_points(connectivity)
            for code in range(256):
                turned = sum((code >> bit & 1) << order[bit] for bit in range(8))
                assert table[code] == table[turned]


def test_refuses_other_connectivities():
    with pytest.raises(ValueError, match="must be 4 or 8; received 6"):
        simple_points(6)
