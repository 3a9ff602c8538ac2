"""One class of errors for users."""

import ast
from pathlib import Path

import pytest
import tensorflow as tf

import keras_unet3p
from keras_unet3p.client import EndpointError
from keras_unet3p.errors import InputError, MissingExtraError, ProblemsError, UserError

PACKAGE = Path(keras_unet3p.__file__).parent


def test_every_refusal_is_of_the_class_that_users_are_told():
    """A ValueError of another class is a mistake of ours, or of a library."""
    bare = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and getattr(node.exc.func, "id", None) == "ValueError"
    ]
    assert bare == [], "take errors.InputError"


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (InputError, ValueError),
        (ProblemsError, ValueError),
        (EndpointError, RuntimeError),
        (MissingExtraError, ImportError),
    ],
)
def test_errors_for_users_have_one_class_and_python_s_beside_it(kind, base):
    assert issubclass(kind, UserError)
    assert issubclass(kind, base)


def test_the_class_is_kept_in_functions_that_tensorflow_traces():
    def refuse(x):
        if tf.reduce_any(x > 0):  # what AutoGraph rewrites
            x = x + 1
        raise InputError(f"x: found {x.shape}")

    with pytest.raises(InputError, match=r"^x: found \(2,\)"):
        tf.function(refuse)(tf.zeros(2))
