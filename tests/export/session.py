"""Runs an exported model the way TensorFlow Serving does: loaded in session mode."""

from __future__ import annotations

import tensorflow as tf


class SessionModel:
    """`model(signature, **inputs)` of a SavedModel folder in a `tf.compat.v1.Session`."""

    def __init__(self, folder):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            meta = tf.compat.v1.saved_model.load(self.session, ["serve"], str(folder))
        self.signatures = dict(meta.signature_def)

    def __call__(self, signature, **inputs):
        info = self.signatures[signature]
        return self.session.run(
            {key: output.name for key, output in info.outputs.items()},
            {info.inputs[key].name: value for key, value in inputs.items()},
        )

    def executed_nodes(self, signature, **inputs):
        """The nodes that TensorFlow really ran, after its graph optimizer."""
        info = self.signatures[signature]
        metadata = tf.compat.v1.RunMetadata()
        self.session.run(
            [output.name for output in info.outputs.values()],
            {info.inputs[key].name: value for key, value in inputs.items()},
            options=tf.compat.v1.RunOptions(output_partition_graphs=True),
            run_metadata=metadata,
        )
        nodes = []
        for graph in metadata.partition_graphs:
            nodes += graph.node
            for function in graph.library.function:
                nodes += function.node_def
        return nodes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()
