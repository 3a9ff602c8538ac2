from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("requests")

from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.json_tensors import (
    check_examples,
    format_answer,
    parse_document,
    read_inputs,
)

TYPES = [
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "bool",
]


@settings(deadline=None, max_examples=80)
@given(st.data(), st.sampled_from(TYPES))
def test_arrays_survive_both_forms(data, dtype):
    array = data.draw(
        hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    )
    for key, rows in (("instances", True), ("inputs", False)):
        body = json.dumps({key: array.tolist()}).encode()
        document, name = parse_document(body, 10**6)
        inputs, is_rows = read_inputs(document, {"x": dtype})
        assert (name, is_rows) == ("", rows)
        assert inputs["x"].dtype == array.dtype
        np.testing.assert_array_equal(inputs["x"], array)
        answer = json.loads(format_answer({"y": array}, rows))
        back = np.array(answer["predictions" if rows else "outputs"], dtype)
        np.testing.assert_array_equal(back, array)


def json_values(max_leaves: int):
    keys = st.sampled_from(["inputs", "instances", "examples", "b64", "x", "y"])
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=max_leaves,
    )


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60) | json_values(12))
def test_whatever_comes_is_read_or_refused(value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    for types in ({"x": "string"}, {"x": "float32", "y": "uint8"}, {"x": "uint8"}):
        refusal = None
        try:
            document, _ = parse_document(body, 10**6)
            check_examples(document) if "examples" in document else read_inputs(document, types)
        except EndpointError as error:
            refusal = error
        assert refusal is None or refusal.code == "INVALID_ARGUMENT"
        assert refusal is None or len(refusal.message) < 1000


def count(value) -> int:
    if isinstance(value, dict):
        return sum(map(count, value.values()))
    return 1 + sum(map(count, value)) if isinstance(value, list) else 1


@settings(deadline=None, max_examples=100)
@given(json_values(20), st.integers(0, 12))
def test_a_document_of_too_many_values_is_refused_before_it_is_parsed(value, most):
    body = json.dumps(value)
    if count(value) > most + 1:
        # A broken one too: nobody has parsed it.
        for text in (body, body[:-1]):
            with pytest.raises(EndpointError, match="numbers and lists in JSON") as caught:
                parse_document(text.encode(), most)
            assert caught.value.http_status == 413


def test_as_many_values_as_allowed_are_read():
    body = json.dumps({"inputs": [[1, 2], [3, 4]]}).encode()
    document, _ = parse_document(body, 6)
    assert read_inputs(document, {"x": "uint8"})[0]["x"].shape == (2, 2)
    with pytest.raises(EndpointError, match="more than 5 numbers and lists"):
        parse_document(body, 5)


def test_outputs_that_json_cannot_hold_are_an_error():
    for dtype in ("float16", "uint16", "complex64"):
        with pytest.raises(EndpointError, match=f"Failed to write JSON value .*{dtype}"):
            format_answer({"y": np.ones(3, dtype)}, rows=False)


def test_rows_need_one_batch_size():
    outputs = {"a": np.ones(2), "b": np.ones(3)}
    with pytest.raises(EndpointError, match="inconsistent batch size"):
        format_answer(outputs, rows=True)
    with pytest.raises(EndpointError, match="no shape information"):
        format_answer({"a": np.float32(1)}, rows=True)


def test_only_names_that_end_in_bytes_are_base64():
    outputs = {"mask_bytes": np.array([b"\xff"], object), "mask": np.array([b"hi"], object)}
    answer = json.loads(format_answer(outputs, rows=True))
    assert answer == {"predictions": [{"mask_bytes": {"b64": "/w=="}, "mask": "hi"}]}


def test_nan_stays_nan():
    assert math.isnan(json.loads(format_answer({"y": np.array([np.nan])}, False))["outputs"][0])
