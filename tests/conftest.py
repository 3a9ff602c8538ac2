"""What every test has in common."""

import hypothesis
import keras
import pytest

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)


@pytest.fixture(autouse=True)
def _seeded():
    """The same initial weights in every run, in whatever order the tests run.

    A network of two filters whose rectified units all happen to be dead passes nothing on; whether
    a test meets one must not be left to chance.
    """
    keras.utils.set_random_seed(0)
