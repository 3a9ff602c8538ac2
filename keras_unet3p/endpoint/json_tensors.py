"""TensorFlow Serving's JSON format for tensors: requests to arrays, and arrays to answers.

Rules and messages are those of TensorFlow Serving's `util/json_tensor.cc`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_unet3p.client.endpoint_error import EndpointError

# The integers that JSON may hold for a type. Those of the small types are read as int32 and then
# cut down to the type's own bits, so that 300 and -1 are 44 and 255 as uint8.
_INT32 = (-(2**31), 2**31 - 1)
_INTEGERS = {
    "int8": _INT32,
    "int16": _INT32,
    "int32": _INT32,
    "int64": (-(2**63), 2**63 - 1),
    "uint8": _INT32,
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_FLOATS = ("float32", "float64")
# Words that are numbers, but not to Python's parser.
_WORDS = re.compile("-NaN|Inf(?!inity)")


def parse_document(body: bytes | bytearray, max_values: int) -> tuple[dict[str, Any], str]:
    """Parses the body of a request, as far as that needs no model.

    What follows the JSON document is ignored; of equal keys in an object the first counts.

    Args:
        body: the JSON text.
        max_values: largest number of numbers and lists in the document. A number in a list takes
            two bytes of text, but 80 bytes after parsing; and no other thread runs during parsing.

    Returns:
        The document, and the signature's name ("" for the default).

    Raises:
        EndpointError: INVALID_ARGUMENT; with the status 413 for too many values.
    """
    # Every value but the first follows a comma or a bracket, or is the only one of an object, and
    # objects cannot be nested deeply. Commas and brackets inside of strings are counted as well, so
    # the count may be too large, but never too small.
    if body.count(b",") + body.count(b"[") > max_values:
        raise EndpointError(
            "INVALID_ARGUMENT",
            f"The request has more than {max_values} numbers and lists in JSON; send the image "
            "encoded (PNG, JPEG), or use gRPC.",
            413,
        )
    document = _parse(body)
    signature_name = document.get("signature_name", "")
    if not isinstance(signature_name, str):
        raise _invalid("'signature_name' key must be a string value.")
    return document, signature_name


def read_inputs(
    document: Mapping[str, Any], types: Mapping[str, str]
) -> tuple[dict[str, np.ndarray], bool]:
    """Reads the tensors of a predict request.

    Args:
        document: the parsed document.
        types: the signature's inputs, as name -> type name ("string", "uint8", ...).

    Returns:
        The arrays by input name, and whether the request was in row form ("instances").

    Raises:
        EndpointError: INVALID_ARGUMENT, or UNIMPLEMENTED for a type that JSON cannot hold.
    """
    if "instances" in document and "inputs" in document:
        raise _invalid(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        )
    if "instances" in document:
        return _from_rows(document["instances"], types), True
    if "inputs" in document:
        return _from_columns(document["inputs"], types), False
    raise _invalid("Missing 'inputs' or 'instances' key")


def check_examples(document: Mapping[str, Any]) -> None:
    """Checks the document of a classify or regress request. The examples themselves are not read.

    Raises:
        EndpointError: INVALID_ARGUMENT.
    """
    examples = document.get("examples")
    if not isinstance(examples, list) or not examples:
        raise _invalid("key 'examples' is expected to be a list that is not empty")
    if not all(isinstance(example, dict) for example in examples):
        raise _invalid("Example must be JSON object")


def format_answer(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """Writes the answer to a predict request.

    Args:
        outputs: arrays by output name; strings are arrays of `bytes` objects.
        rows: whether the request was in row form.

    Raises:
        EndpointError: INVALID_ARGUMENT if JSON cannot hold the type of an output, or, in row form,
            the first dimensions differ.
    """
    single = len(outputs) == 1
    if not rows:
        columns = {name: _values(name, array) for name, array in outputs.items()}
        return _dump({"outputs": next(iter(columns.values())) if single else columns})
    batch = None
    for name, array in outputs.items():
        if not array.ndim:
            raise _invalid(f"Tensor name: {name} has no shape information")
        if batch is not None and array.shape[0] != batch:
            raise _invalid(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} "
                f"expecting: {batch}"
            )
        batch = array.shape[0]
    columns = {name: _values(name, array) for name, array in outputs.items()}
    if single:
        return _dump({"predictions": next(iter(columns.values()))})
    names = list(columns)
    rows_of_values = zip(*columns.values(), strict=True)
    return _dump({"predictions": [dict(zip(names, row, strict=True)) for row in rows_of_values]})


def _invalid(message: str) -> EndpointError:
    return EndpointError("INVALID_ARGUMENT", message)


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


_DECODER = json.JSONDecoder(object_pairs_hook=_first_of_each)


def _parse(body: bytes | bytearray) -> dict[str, Any]:
    # Bytes that are not UTF-8 reach the model as they are.
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff").lstrip(" \t\r\n")
    if not text:
        raise _invalid("JSON Parse error: The document is empty")
    try:
        try:
            document, _ = _DECODER.raw_decode(text)
        except json.JSONDecodeError:
            document, _ = _DECODER.raw_decode(_with_python_words(text))
    except RecursionError:
        raise _invalid("JSON Parse error: The document is nested too deeply") from None
    except ValueError as error:
        raise _invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise _invalid(f"JSON Value: {_show(document)} Is not object")
    return document


def _with_python_words(text: str) -> str:
    parts, position = [], 0
    while True:
        quote = text.find('"', position)
        outside = text[position:quote] if quote >= 0 else text[position:]
        parts.append(_WORDS.sub(lambda word: "NaN" if "N" in word[0] else "Infinity", outside))
        if quote < 0:
            return "".join(parts)
        _, position = json.decoder.scanstring(text, quote + 1)
        parts.append(text[quote:position])


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _show(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_row_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _from_rows(rows: Any, types: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not isinstance(rows, list):
        raise _invalid("Expecting 'instances' to be a list/array")
    if not rows:
        raise _invalid("No values in 'instances' array")
    if not _is_row_object(rows[0]):
        if len(types) > 1:
            raise _invalid(
                "instances is a plain list, but expecting list of objects as multiple input "
                "tensors required as per tensorinfo_map"
            )
        for number, row in enumerate(rows):
            if _is_row_object(row):
                raise _invalid(
                    f"Expecting value/list but got object at item {number} of input list"
                )
        name, dtype = next(iter(types.items()))
        return {name: _array(name, rows, dtype)}
    for number, row in enumerate(rows):
        if not _is_row_object(row):
            raise _invalid(f"Expecting object but got list at item {number} of input list")
        if set(row) != set(types):
            raise _invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: "
                f"{_show(row)} keys must be equal to: {','.join(sorted(types))}"
            )
    return {name: _array(name, [row[name] for row in rows], dtype) for name, dtype in types.items()}


def _from_columns(columns: Any, types: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not _is_row_object(columns):
        if len(types) > 1:
            raise _invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        name, dtype = next(iter(types.items()))
        return {name: _array(name, columns, dtype)}
    for name in types:
        if name not in columns:
            raise _invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _array(name, columns[name], dtype) for name, dtype in types.items()}


def _array(name: str, value: Any, dtype: str) -> np.ndarray:
    # An array of Python objects: no value is converted yet, so that types can be checked, and
    # lists that are ragged or nested too deeply remain lists.
    try:
        objects = np.array(value, dtype=object)
    except ValueError:
        raise _invalid(f"Input {name!r}: the lists of a tensor must be of equal size.") from None
    kinds = set(map(type, objects.ravel().tolist()))
    if list in kinds:
        raise _invalid(f"Input {name!r}: the lists of a tensor must be of equal size.")
    if dtype == "string":
        return _strings(name, objects)
    accepted = {int} if dtype in _INTEGERS else {int, float} if dtype in _FLOATS else {bool}
    if dtype not in (*_INTEGERS, *_FLOATS, "bool"):
        raise EndpointError("UNIMPLEMENTED", f"Conversion of JSON Value: to type: {dtype}")
    if not kinds <= accepted:
        wrong = next(item for item in objects.ravel() if type(item) not in accepted)
        raise _invalid(
            f"JSON Value: {_show(wrong)} Type: {type(wrong).__name__} is not of expected type: "
            f"{dtype} (input {name!r})"
        )
    if dtype in _INTEGERS:
        return _integers(name, objects, dtype)
    return _floats(name, objects, dtype) if dtype in _FLOATS else objects.astype(bool)


def _integers(name: str, objects: np.ndarray, dtype: str) -> np.ndarray:
    low, high = _INTEGERS[dtype]
    values = objects.ravel().tolist()
    if values and not low <= min(values) <= max(values) <= high:
        raise _invalid(
            f"Input {name!r} has a value outside the range {low}..{high} that JSON may hold for "
            f"{dtype}."
        )
    return objects.astype("uint64" if high == 2**64 - 1 else "int64").astype(dtype)


def _floats(name: str, objects: np.ndarray, dtype: str) -> np.ndarray:
    # An integer is accepted up to the largest below which the type holds every integer; one that
    # 64 bits cannot hold counts as a decimal, and that may have any size that the type can hold.
    limits = np.finfo(dtype)
    most = 2 ** (limits.nmant + 1) - 1
    for value in objects.ravel().tolist():
        if type(value) is int and abs(value) > most and -(2**63) <= value < 2**64:
            raise _lossy(name, value, dtype)
    try:
        decimals = objects.astype(np.float64)
    except OverflowError:
        raise _invalid("JSON Parse error: Number too big to be stored in double.") from None
    too_large = np.isfinite(decimals) & (np.abs(decimals) > limits.max)
    if too_large.any():
        raise _lossy(name, decimals[too_large].flat[0], dtype)
    return decimals.astype(dtype)


def _lossy(name: str, value: float, dtype: str) -> EndpointError:
    return _invalid(
        f"Cannot convert JSON value: {value} to {dtype} without loss of precision (input {name!r})."
    )


def _strings(name: str, objects: np.ndarray) -> np.ndarray:
    result = np.empty(objects.shape, dtype=object)
    values = result.reshape(-1)
    for index, item in enumerate(objects.ravel().tolist()):
        if isinstance(item, str):
            try:
                values[index] = item.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError:
                raise _invalid(f"Input {name!r}: a string is not valid Unicode.") from None
        elif _is_base64(item):
            try:
                values[index] = _decode_base64(item["b64"])
            except ValueError:
                raise _invalid(f"Input {name!r}: Unable to base64 decode") from None
        else:
            raise _invalid(
                f"JSON Value: {_show(item)} Type: {type(item).__name__} is not of expected type: "
                f"string (input {name!r})"
            )
    return result


def _decode_base64(text: str) -> bytes:
    """Decodes the standard alphabet; whitespace is ignored, padding may be left out."""
    digits = b"".join(text.encode("ascii").split())
    unpadded = digits.rstrip(b"=")
    if len(digits) == len(unpadded):
        digits += b"=" * (-len(digits) % 4)
    return base64.b64decode(digits, validate=True)


def _encode_bytes(item: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(item).decode()}


def _decode_text(item: bytes) -> str:
    return item.decode("utf-8", "replace")


def _values(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        encode = _encode_bytes if name.endswith("_bytes") else _decode_text
        # For a scalar, frompyfunc returns no array.
        return np.asarray(np.frompyfunc(encode, 1, 1)(array), object).tolist()
    if array.dtype.name not in (*_INTEGERS, *_FLOATS, "bool"):
        raise _invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}")
    return array.tolist()
