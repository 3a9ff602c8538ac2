"""Loads a SavedModel with `TF_LoadSessionFromSavedModel` and runs its signatures.

Arguments: the C library, the model's folder. Standard input: JSON with "image" (rows of 0..255),
"tile" (rows of floats) and "png" (hexadecimal); or with "shapes", a list of [input, output, type,
shape], each of which is given a tensor of zeros. Standard output: JSON of the answers. Nothing is
imported but the standard library: this is what a server written in C++ does.
"""

from __future__ import annotations

import ctypes
import json
import math
import sys
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p

FLOAT, UINT8, STRING = 1, 4, 7
INVALID_ARGUMENT = 3


class Output(ctypes.Structure):
    _fields_ = [("operation", c_void_p), ("index", c_int)]


class String(ctypes.Structure):
    """TF_TString."""

    _fields_ = [("raw", ctypes.c_uint64 * 3)]


class Buffer(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p)]


def load(path):
    tf = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    pointers = (
        "TF_NewStatus TF_NewGraph TF_NewSessionOptions TF_NewBuffer TF_LoadSessionFromSavedModel "
        "TF_GraphOperationByName TF_AllocateTensor TF_TensorData TF_Message"
    )
    for name in pointers.split():
        getattr(tf, name).restype = c_void_p
    tf.TF_Message.restype = c_char_p
    tf.TF_TensorByteSize.restype = c_size_t
    # Strings have no size of their own in the C interface; these are exported beside it.
    tf.TF_StringInit.argtypes = [POINTER(String)]
    tf.TF_StringCopy.argtypes = [POINTER(String), c_char_p, c_size_t]
    tf.TF_StringGetDataPointer.argtypes = [POINTER(String)]
    tf.TF_StringGetDataPointer.restype = c_void_p
    tf.TF_StringGetSize.argtypes = [POINTER(String)]
    tf.TF_StringGetSize.restype = c_size_t
    return tf


class Model:
    def __init__(self, library, folder):
        self.tf = load(library)
        self.status = c_void_p(self.tf.TF_NewStatus())
        self.graph = c_void_p(self.tf.TF_NewGraph())
        options = c_void_p(self.tf.TF_NewSessionOptions())
        tags = (c_char_p * 1)(b"serve")
        meta = c_void_p(self.tf.TF_NewBuffer())
        self.session = c_void_p(
            self.tf.TF_LoadSessionFromSavedModel(
                options, None, folder.encode(), tags, 1, self.graph, meta, self.status
            )
        )
        self.check()

    def check(self):
        if self.tf.TF_GetCode(self.status) != 0:
            raise RuntimeError(self.tf.TF_Message(self.status).decode())

    def tensor(self, dtype, shape, content):
        count = math.prod(shape)
        size = len(content) if dtype != STRING else count * ctypes.sizeof(String)
        dims = (c_int64 * len(shape))(*shape)
        tensor = c_void_p(self.tf.TF_AllocateTensor(dtype, dims, len(shape), c_size_t(size)))
        data = self.tf.TF_TensorData(tensor)
        if dtype == STRING:
            for string in (String * count).from_address(data) if count else ():
                self.tf.TF_StringInit(ctypes.byref(string))
                self.tf.TF_StringCopy(ctypes.byref(string), content, len(content))
        elif content:
            ctypes.memmove(data, content, size)
        return tensor

    def run(self, given, wanted, tensor):
        """The content of the tensor `wanted`, or the error."""

        def output(name):
            operation = self.tf.TF_GraphOperationByName(self.graph, name.encode())
            assert operation, f"no operation {name}"
            return Output(operation, 0)

        inputs, outputs = (Output * 1)(output(given)), (Output * 1)(output(wanted))
        values, results = (c_void_p * 1)(tensor), (c_void_p * 1)()
        self.tf.TF_SessionRun(
            self.session, None, inputs, values, 1, outputs, results, 1, None, 0, None, self.status
        )
        if self.tf.TF_GetCode(self.status) == INVALID_ARGUMENT:
            return f"INVALID_ARGUMENT: {self.tf.TF_Message(self.status).decode()}"
        self.check()
        result = c_void_p(results[0])
        data = self.tf.TF_TensorData(result)
        dtype = self.tf.TF_TensorType(result)
        if dtype == STRING:
            string = ctypes.cast(data, POINTER(String))
            start = self.tf.TF_StringGetDataPointer(string)
            return ctypes.string_at(start, self.tf.TF_StringGetSize(string)).hex()
        content = ctypes.string_at(data, self.tf.TF_TensorByteSize(result))
        kind = {FLOAT: ctypes.c_float, UINT8: ctypes.c_uint8}[dtype]
        return list((kind * (len(content) // ctypes.sizeof(kind))).from_buffer_copy(content))


def answer_to_shape(model, given, wanted, dtype, shape):
    """The error, or whatever the model answers to zeros of this shape."""
    width = {FLOAT: ctypes.sizeof(ctypes.c_float), UINT8: 1, STRING: 0}[dtype]
    tensor = model.tensor(dtype, shape, bytes(width * math.prod(shape)))
    try:
        return str(model.run(given, wanted, tensor))[:300]
    except RuntimeError as error:
        return f"another error: {error}"
    finally:
        model.tf.TF_DeleteTensor(tensor)


def main():
    model = Model(*sys.argv[1:])
    request = json.load(sys.stdin)
    if "shapes" in request:
        json.dump([answer_to_shape(model, *call) for call in request["shapes"]], sys.stdout)
        return
    rows, tile = request["image"], request["tile"]
    shape = (1, len(rows), len(rows[0]), 1)
    pixels = bytes(value for row in rows for value in row)
    flat = [value for row in tile for value in row]
    floats = bytes((ctypes.c_float * len(flat))(*flat))

    def image():
        return model.tensor(UINT8, shape, pixels)

    answers = {
        "serving_default": model.run(
            "serving_default_image_bytes",
            "serving_default_mask_bytes_out",
            model.tensor(STRING, (1,), bytes.fromhex(request["png"])),
        ),
        "bad bytes": model.run(
            "serving_default_image_bytes",
            "serving_default_mask_bytes_out",
            model.tensor(STRING, (1,), b"no image"),
        ),
        "classes": model.run("classes_image", "classes_class_ids_out", image()),
        "probabilities": model.run(
            "probabilities_image", "probabilities_probabilities_out", image()
        ),
        "tile": model.run(
            "tile_tile",
            "tile_probabilities_out",
            model.tensor(FLOAT, (1, len(tile), len(tile[0]), 1), floats),
        ),
    }
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
