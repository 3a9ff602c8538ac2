"""Proof that a served model answers as it did when it was exported."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.artifacts import ModelSource
from keras_unet3p.artifacts.golden_pairs import GoldenPair, read_golden_pairs
from keras_unet3p.client.golden_check import GoldenDifference, golden_difference
from keras_unet3p.errors import InputError

Answer = Callable[[GoldenPair], np.ndarray]


def verify(
    model: str | os.PathLike[str],
    golden: str | os.PathLike[str] | None = None,
    *,
    timeout: float = 300.0,
) -> list[GoldenDifference]:
    """Send the golden pairs of an export to a model, and compare the answers with the right ones.

    Args:
        model: an exported model (its folder, of which the newest version is taken, or a version
            folder), or an endpoint, `http://HOST:PORT/MODEL` or `grpc://HOST:PORT/MODEL`.
        golden: the exported model whose pairs are sent; None takes those of `model`, for an
            exported one. An endpoint is asked for the version of that number, unless its URL names
            a version or a label.
        timeout: seconds that an endpoint may take for an answer.

    Returns:
        A difference for each pair, also where there is none; `GoldenDifference.is_within` tells
        whether it is small. An endpoint's error is a difference with a problem.

    Raises:
        ValueError: there are no pairs, or `model` is something else.

    Example:
        >>> verify("http://localhost:8501/cells", "models/cells/3")  # doctest: +SKIP
        [GoldenDifference(signature='classes', pixels=0.0, probability=None, problem=None), ...]
    """
    source = ModelSource.of(model)
    if source.kind not in ("export", "endpoint"):
        raise InputError(f"{source}; expected an exported model or an endpoint")
    if golden is None and source.version is None:
        raise InputError(
            f"{source}, which does not show its files: give the exported model whose golden pairs "
            "it is to be asked (golden, --golden)"
        )
    pairs_of = source if golden is None else ModelSource.of(golden)
    if pairs_of.version is None:
        raise InputError(f"golden: {pairs_of}; expected an exported model")
    pairs = read_golden_pairs(pairs_of.version)
    if source.version is None:
        return _of_endpoint(source.name, int(pairs_of.version.name), pairs, timeout)
    return [_difference(pair, answer) for answer in [_of_graph(source.version)] for pair in pairs]


def _difference(pair: GoldenPair, answer: Answer) -> GoldenDifference:
    return golden_difference(pair, answer(pair))


def _of_graph(version: Path) -> Answer:
    import tensorflow as tf

    from keras_unet3p.tiling.exported_model import load_exported_model

    loaded: Any = load_exported_model(version)

    def answer(pair: GoldenPair) -> np.ndarray:
        found = loaded.signatures[pair.signature](**{pair.input_name: tf.constant(pair.input)})
        return found[pair.output_name].numpy()

    return answer


def _of_endpoint(
    url: str, version: int, pairs: list[GoldenPair], timeout: float
) -> list[GoldenDifference]:
    from keras_unet3p.client import EndpointAddress, EndpointError, access_of_environment

    address = EndpointAddress.of(url)
    if address.version is None and address.label is None:
        address = address._replace(version=version)
    differences = []
    access = access_of_environment(address.server)
    with address.client(timeout=timeout, **access) as client:
        for pair in pairs:
            try:
                found = client.run(pair.signature, {pair.input_name: pair.input}, pair.output_name)
            except EndpointError as error:
                differences.append(GoldenDifference(pair.signature, problem=str(error)))
            else:
                differences.append(golden_difference(pair, found))
    return differences
