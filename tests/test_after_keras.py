"""What `import keras_unet3p` does and leaves alone, in processes of their own."""

import subprocess
import sys

import pytest

from keras_unet3p import models


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


OURS_FIRST = """
import sys
import keras_unet3p as ku
from keras_unet3p.client import Client
assert not {"tensorflow", "keras"} & set(sys.modules)
ku.images.overlay
import keras
print(type(keras.models.load_model(sys.argv[1])).__name__)
assert not [finder for finder in sys.meta_path if "AfterKeras" in type(finder).__name__]
"""


def test_a_model_is_loaded_where_keras_is_imported_second(tmp_path):
    models.unet(filters=2, depth=1).save(tmp_path / "model.keras")
    assert run(OURS_FIRST, tmp_path / "model.keras").split() == ["SegmentationModel"]


ROOM_FIRST = """
import sys
from keras_unet3p.{} import {}
print("keras_unet3p.models" in sys.modules)
"""


@pytest.mark.parametrize(("room", "name"), [("layers", "UpsampleConv2D"), ("compat", "register")])
def test_a_room_imports_keras_itself_where_nothing_has(room, name):
    assert run(ROOM_FIRST.format(room, name)).split() == ["True"]


RELOADED = """
import importlib, sys
import keras_unet3p
importlib.reload(keras_unet3p)
import keras
print("keras_unet3p.models" in sys.modules)
"""


def test_a_package_that_was_reloaded_does_not_wait_for_itself():
    assert run(RELOADED).split() == ["True"]


ANOTHER_BACKEND = """
import keras
keras.backend.backend = lambda: "torch"
import keras_unet3p as ku
from keras_unet3p.client import Client
for room in ("layers", "losses", "metrics", "models", "optimizers"):
    try:
        getattr(ku, room)
    except ImportError as error:
        print(error)
"""


def test_another_backend_of_keras_is_refused_at_import_and_the_client_is_not():
    lines = run(ANOTHER_BACKEND).splitlines()
    assert len(lines) == 5
    for line in lines:
        assert "Keras runs on 'torch'" in line
        assert "KERAS_BACKEND=tensorflow" in line
