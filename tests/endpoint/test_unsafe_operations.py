"""Graphs that reach out of the model: found wherever they hide, refused unless trusted."""

from __future__ import annotations

import pytest
import requests
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_unet3p.endpoint import LocalServer
from keras_unet3p.endpoint.unsafe_operations import unsafe_operations


def fails(_):
    raise RuntimeError("a secret of the server")


def read_in_a_loop(names):
    return tf.map_fn(tf.io.read_file, names)


def read_in_a_branch(names):
    return tf.cond(tf.size(names) > 1, lambda: names, lambda: tf.io.read_file(names[0])[tf.newaxis])


def write_first(names):
    with tf.control_dependencies([tf.io.write_file(names[0], "text")]):
        return tf.identity(names)


def call_python(names):
    return tf.ensure_shape(tf.py_function(fails, [names], tf.string), [None])


def call_numpy(names):
    return tf.numpy_function(fails, [names], tf.string)


def list_files(names):
    return tf.io.matching_files(names)


def read_records(names):
    return tf.data.TFRecordDataset(names).reduce("", lambda _, record: record)[tf.newaxis]


def print_them(names):
    tf.print(names)
    return tf.identity(names)


def save(folder, function, **attributes):
    """Writes a SavedModel whose signature is `function` of strings; returns its MetaGraphDef."""
    module = tf.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    specification = tf.TensorSpec([None], tf.string, name="text")
    module.serve = tf.function(
        lambda text: {"out": function(text)}, input_signature=[specification]
    )
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (read_in_a_loop, {"ReadFile"}),
        (read_in_a_branch, {"ReadFile"}),
        (write_first, {"WriteFile"}),
        (call_python, {"EagerPyFunc"}),
        (call_numpy, {"PyFunc"}),
        (list_files, {"MatchingFiles"}),
        (read_records, {"TFRecordDataset"}),
        (print_them, {"Print"}),
    ],
)
def test_they_are_found(tmp_path, function, expected):
    found = unsafe_operations(save(tmp_path, function))
    assert {name.removesuffix("V2") for name in found} == expected


def test_what_a_model_reads_of_its_own_is_none(tmp_path):
    # Variables are restored from the model's checkpoint, by operations that only loading runs.
    weight = tf.Variable("text")
    meta_graph = save(tmp_path, lambda text: text + weight, weight=weight)
    assert any("Restore" in node.op for node in nodes(meta_graph))
    assert unsafe_operations(meta_graph) == set()


def test_what_initialises_a_model_counts(tmp_path):
    (tmp_path / "words.txt").write_text("one\ntwo\n")
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(tmp_path / "words.txt"),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        num_oov_buckets=1,
    )
    meta_graph = save(tmp_path / "model", lambda text: table.lookup(text), table=table)
    assert unsafe_operations(meta_graph) == {"InitializeTableFromTextFileV2"}


def nodes(meta_graph):
    yield from meta_graph.graph_def.node
    for function in meta_graph.graph_def.library.function:
        yield from function.node_def


def test_such_a_model_is_served_only_when_trusted_and_tells_no_traceback(tmp_path):
    save(tmp_path / "cells" / "1", call_python)
    with pytest.raises(ValueError, match=r"Python: EagerPyFunc. trust_models \(--trust-model\)"):
        LocalServer({"cells": tmp_path / "cells"}).start()
    with LocalServer({"cells": tmp_path / "cells"}, trust_models=True) as server:
        url = f"{server.url}/v1/models/cells:predict"
        answer = requests.post(url, json={"instances": ["x"]}, timeout=30)
        assert answer.status_code == 500
        assert "RuntimeError" in answer.json()["error"]
        assert "Traceback" not in answer.text
        assert ".py" not in answer.text
