"""Operations of a SavedModel that access files, the network or Python."""

from __future__ import annotations

import re

from keras_unet3p.graphs.nodes import nodes_by_name

# They are found by name, because TensorFlow's registry has no such information. While a model
# loads, it may read a checkpoint from its own folder.
_UNSAFE = re.compile(
    r"PyFunc|File|Reader|Record|TextLine|CSVDataset|SqlDataset|LMDB|Snapshot(Dataset|Chunk|Nested)"
    r"|LoadDataset|CacheDataset|DataService|ImportEvent|RemapMatrix|Save|Restore|Checkpoint"
    r"|Summary\w*Writer|^Write|Print|Dump|Debug|Rpc|Remote|Abort"
)
_OF_RESTORING = {"RestoreV2", "ShardedFilename"}
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")


def unsafe_operations(meta_graph) -> set[str]:
    """Finds the kinds of these operations that run when the graph is loaded or served.

    Args:
        meta_graph: a `MetaGraphDef` whose signatures are served.

    Returns:
        Names such as "ReadFile" or "PyFunc", without those that run only when the model is saved.
    """
    nodes = nodes_by_name(meta_graph.graph_def)
    functions = {
        function.signature.name: function.node_def
        for function in meta_graph.graph_def.library.function
    }
    served = [
        info.name
        for signature in meta_graph.signature_def.values()
        for info in signature.outputs.values()
    ]
    for name in _INIT_COLLECTIONS:
        if name in meta_graph.collection_def:
            served += meta_graph.collection_def[name].node_list.value
    used = _operations(served, nodes, functions)
    used |= _operations([meta_graph.saver_def.restore_op_name], nodes, functions) - _OF_RESTORING
    return {name for name in used if _UNSAFE.search(name)}


def _operations(outputs: list[str], nodes: dict, functions: dict) -> set[str]:
    """The kinds of all operations that `outputs` need, including those in called functions."""
    waiting, needed = list(outputs), {}
    while waiting:
        # "name", "name:0" or, where only the order of running matters, "^name".
        name = waiting.pop().lstrip("^").split(":")[0]
        if name in nodes and name not in needed:
            needed[name] = nodes[name]
            waiting += nodes[name].input
    unread, kinds = list(needed.values()), set()
    called: set[str] = set()
    while unread:
        node = unread.pop()
        kinds.add(node.op)
        for name in _functions_named(node) - called:
            called.add(name)
            unread += functions.get(name, ())
    return kinds


def _functions_named(node) -> set[str]:
    """The functions that a node may call: those in its attributes, and the one of its own name."""
    attributes = node.attr.values()
    return (
        {node.op}
        | {value.func.name for value in attributes if value.HasField("func")}
        | {function.name for value in attributes for function in value.list.func}
    )
