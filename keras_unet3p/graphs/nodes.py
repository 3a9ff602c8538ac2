"""The nodes of a graph: their names, who reads them, what they need, in which order they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def node_name(tensor: str) -> str:
    """The node that makes a tensor, from the name by which another node reads it.

    Args:
        tensor: "name", "name:0", or "^name", where only the order of running matters.

    Example:
        >>> node_name("conv/BiasAdd:0"), node_name("^check")
        ('conv/BiasAdd', 'check')
    """
    return tensor.lstrip("^").split(":")[0]


def nodes_by_name(graph_def: Any) -> dict[str, Any]:
    """Name -> node of a `GraphDef`."""
    return {node.name: node for node in graph_def.node}


def readers_by_name(graph_def: Any) -> dict[str, list[Any]]:
    """Name of a node -> the nodes that read a value of it, once for each time they do."""
    readers: dict[str, list[Any]] = {}
    for node in graph_def.node:
        for name in node.input:
            if not name.startswith("^"):
                readers.setdefault(node_name(name), []).append(node)
    return readers


def needed_nodes(nodes: Mapping[str, Any], tensors: Iterable[str]) -> set[str]:
    """Names of the nodes that must run for these tensors; names that `nodes` lacks are left out."""
    needed: set[str] = set()
    waiting = [node_name(name) for name in tensors]
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in needed:
            needed.add(name)
            waiting += map(node_name, nodes[name].input)
    return needed


def part_for(graph_def: Any, tensors: Iterable[str]) -> Any:
    """The part of a `GraphDef` that these tensors need, as a `GraphDef`."""
    needed = needed_nodes(nodes_by_name(graph_def), tensors)
    part = tf.compat.v1.GraphDef(versions=graph_def.versions, library=graph_def.library)
    part.node.extend(node for node in graph_def.node if node.name in needed)
    return part


def in_running_order(graph_def: Any) -> list[Any]:
    """The nodes of a `GraphDef` without circles, each after those that it reads."""
    nodes = nodes_by_name(graph_def)
    order: list[Any] = []
    done: set[str] = set()
    for name in nodes:
        stack = [name]
        while stack:
            top = stack[-1]
            sources = () if top in done else map(node_name, nodes[top].input)
            waiting = [source for source in sources if source in nodes and source not in done]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if top not in done:
                done.add(top)
                order.append(nodes[top])
    return order


def constant_nodes(graph_def: Any) -> set[str]:
    """Names of the nodes whose value does not depend on the graph's input."""
    fixed: set[str] = set()
    for node in in_running_order(graph_def):
        known = fixed.issuperset(map(node_name, node.input))
        if known if node.input else node.op == "Const":
            fixed.add(node.name)
    return fixed


def set_constant(node: Any, value: np.ndarray) -> None:
    """Gives a "Const" node another value, in the node's own dtype."""
    dtype = tf.as_dtype(node.attr["dtype"].type)
    tensor = tf.make_tensor_proto(value.astype(dtype.as_numpy_dtype))
    node.attr["value"].tensor.CopyFrom(tensor)


def bypass(node: Any, source: str, readers: dict[str, list[Any]]) -> None:
    """Makes whoever reads the node's first output read the tensor `source` instead.

    Args:
        node: it stays in the graph.
        source: name of a tensor.
        readers: of the whole graph (`readers_by_name`); it is kept up to date.
    """
    # An Identity in its place would keep the ReLU from being run together with the convolution.
    for reader in readers.get(node.name, []):
        for i, name in enumerate(reader.input):
            if name in (node.name, f"{node.name}:0"):
                reader.input[i] = source
        readers.setdefault(node_name(source), []).append(reader)


def graph_function(
    graph_def: Any, inputs: Sequence[str], outputs: Sequence[str]
) -> Callable[..., list[tf.Tensor]]:
    """A function of tensors that runs a `GraphDef`, in eager code and in any graph.

    Args:
        graph_def: a graph without variables.
        inputs: names of the tensors that are its arguments.
        outputs: names of the tensors that it gives, as a list.
    """
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(graph_def, name=""), signature=[]
    )
    element = wrapped.graph.as_graph_element
    return wrapped.prune([element(name) for name in inputs], [element(name) for name in outputs])
