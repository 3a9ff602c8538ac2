"""What a name of a model means."""

import pytest

from keras_unet3p.artifacts import ModelSource, RunFolder
from keras_unet3p.errors import InputError


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("config.json", "best.keras"):
        (tmp_path / "run" / name).touch()
    return tmp_path / "run"


@pytest.fixture
def export(tmp_path):
    for version in ("2", "10"):
        (tmp_path / "cells" / version).mkdir(parents=True)
        (tmp_path / "cells" / version / "saved_model.pb").touch()
    return tmp_path / "cells"


def test_a_run_folder_stands_for_its_best_model(run):
    (run / "best.keras").unlink()  # not there yet
    source = ModelSource.of(run)
    assert (source.kind, source.file, source.run) == ("run", run / "best.keras", RunFolder(run))


def test_a_keras_file_tells_the_run_that_it_lies_in(run, tmp_path):
    source = ModelSource.of(str(run / "best.keras"))
    assert (source.kind, source.file, source.run) == ("keras", run / "best.keras", RunFolder(run))
    alone = (run / "best.keras").rename(tmp_path / "alone.keras")
    assert ModelSource.of(alone) == ModelSource(str(alone), "keras", file=alone)


def test_an_exported_model_is_its_newest_version_or_the_one_that_is_named(export):
    assert ModelSource.of(export).version == export / "10"
    source = ModelSource.of(export / "2")
    assert (source.kind, source.version, source.run) == ("export", export / "2", None)


@pytest.mark.parametrize("url", ["http://a:1/cells", "https://a", "grpc://a:2"])
def test_a_url_is_an_endpoint(url):
    assert ModelSource.of(url) == ModelSource(url, "endpoint")


def test_a_folder_named_like_a_file_is_looked_into(export, tmp_path):
    assert ModelSource.of(export.rename(tmp_path / "cells.keras")).kind == "export"


@pytest.mark.parametrize("name", ["", "nothing.keras", "text.txt"])
def test_anything_else_is_refused(tmp_path, name):
    (tmp_path / "text.txt").touch()
    path = tmp_path / name
    assert ModelSource.find(path) is None
    with pytest.raises(
        InputError, match=r"is no run folder \(config\.json, folds\.json\), \.keras"
    ):
        ModelSource.of(path)


def test_a_source_says_what_it_is(run):
    assert str(ModelSource.of(run)) == f"{run} is a run folder"
