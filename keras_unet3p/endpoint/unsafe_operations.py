"""Which operations of a SavedModel reach out of it: to files, to the network, into Python."""

from __future__ import annotations

import re

from keras_unet3p.graphs.nodes import needed_nodes, nodes_by_name

# By name, as TensorFlow's registry says it of no operation. Checkpoints are read while a model
# loads, from its own folder.
_UNSAFE = re.compile(
    r"PyFunc|File|Reader|Record|TextLine|CSVDataset|SqlDataset|LMDB|Snapshot(Dataset|Chunk|Nested)"
    r"|LoadDataset|CacheDataset|DataService|ImportEvent|RemapMatrix|Save|Restore|Checkpoint"
    r"|Summary\w*Writer|^Write|Print|Dump|Debug|Rpc|Remote|Abort"
)
_OF_RESTORING = {"RestoreV2", "ShardedFilename"}
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")


def unsafe_operations(meta_graph) -> set[str]:
    """Finds the kinds of such operations that loading or serving the graph can run.

    Args:
        meta_graph: a `MetaGraphDef` whose signatures are served.

    Returns:
        Names such as "ReadFile", "PyFunc"; what only saving the model runs is not among them.
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
    """The kinds of all operations that `outputs` need, those of the functions they call too."""
    unread, kinds = [nodes[name] for name in needed_nodes(nodes, outputs)], set()
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
