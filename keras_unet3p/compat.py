"""The differences between Keras 3 (TensorFlow 2.16 and later) and Keras 2 (TensorFlow 2.15).

Everything else in the package is written once: `import keras` and TensorFlow operations only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.saved_model.loader_impl import SavedModelLoader

from keras_unet3p._after_keras import catch_up

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "keras_unet3p needs Keras on TensorFlow, and Keras runs on "
        f"{keras.backend.backend()!r} here: set the environment variable KERAS_BACKEND=tensorflow "
        'before Keras is imported, or "backend": "tensorflow" in ~/.keras/keras.json'
    )

KERAS_3 = int(keras.__version__.split(".")[0]) >= 3

PROCESS_BYTES = 0.95e9 if KERAS_3 else 0.75e9
"""What a training takes besides its network and data: fitted, see `planning.memory`."""

register = keras.saving.register_keras_serializable(package="keras_unet3p")
"""Class decorator: makes a class loadable from `.keras` files without `custom_objects`."""


def register_as(name: str):
    """`register` under another name than that of the class, where two classes share a name.

    The registry contains names only, so a loss and a metric named Dice would replace each other.
    """
    return keras.saving.register_keras_serializable(package="keras_unet3p", name=name)


def keras_reduction(reduction: str) -> str:
    """The name that `keras.losses.Loss` has for a reduction.

    Keras 2 has three reductions, and with a mean it divides the loss by the number of replicas.

    Args:
        reduction: "mean", "sum", "none" or "mean_with_sample_weight".
    """
    if reduction == "mean" or (reduction == "mean_with_sample_weight" and not KERAS_3):
        return "sum_over_batch_size"
    return reduction


def compute_dtype(dtype) -> str:
    """The name of a dtype; for a policy or the name of one, the dtype in which it computes."""
    policy = keras.DTypePolicy if KERAS_3 else keras.mixed_precision.Policy
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None)
    return policy(name or tf.as_dtype(dtype).name).compute_dtype


def scale_loss_for_distribution(loss):
    """Divide a loss by the number of replicas in Keras 3.

    Gradients are summed over replicas. In Keras 3 a `keras.losses.Loss` divides by their number
    itself; in Keras 2 `Model.compute_loss` does so.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if KERAS_3 and replicas > 1:
        return loss / tf.cast(replicas, loss.dtype)
    return loss


def default_jit_compile():
    """The value of `jit_compile` for `Model.compile`: Keras's default, but never XLA on a CPU.

    Keras 3 up to 3.14 uses XLA on CPUs too, where it makes convolutions slower.
    """
    if not KERAS_3:
        return None
    # Nor on several machines: the operations between them stay out of its programs.
    if has_several_machines(tf.distribute.get_strategy()):
        return False
    return "auto" if tf.config.list_physical_devices("GPU") else False


def synchronize(model):
    """Synchronise a model's layers of batch normalisation that are built already.

    Those of `keras.applications` have no such option, and Keras 2 does not save it.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
            if not KERAS_3:
                layer.fused = False  # as the constructor does


def has_several_machines(strategy) -> bool:
    """Whether a strategy is that of several machines."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def keep_step_logs(model):
    """Tell Keras 2 that the logs of a step are those of all machines already: it adds them up."""
    if not KERAS_3 and has_several_machines(model.distribute_strategy):
        model.distribute_reduction_method = "first"


# Keras 3 up to 3.15 fails on several machines at two places, which the model class goes round.


def symbolic_build(model, base, iterator, data_batch):
    """What Keras 3 builds before the first step, from the shapes of a batch instead of a batch.

    On several machines it cannot reduce the parts of a batch to one. `base` is `super()` of the
    model's class.
    """
    if iterator is not None and has_several_machines(model.distribute_strategy):
        spec = iterator._distributed_dataset.element_spec
        # A part of the batch for each replica of this machine: all are alike.
        first = [tf.nest.flatten(s, expand_composites=True)[0] for s in tf.nest.flatten(spec)]
        data_batch, iterator = tf.nest.pack_sequence_as(spec, first), None
    base._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)


def build_optimizer(model):
    """Make an optimizer's variables before the first step.

    Keras makes them in the midst of it, and a function that makes variables is traced twice: half
    of the time until the first step of a network of many layers.
    """
    optimizer = model.optimizer
    if hasattr(optimizer, "build") and not getattr(optimizer, "built", False):
        with model.distribute_strategy.scope():
            optimizer.build(model.trainable_variables)


def optimizer_slots(optimizer, variable):
    """Adam's moving averages of a variable's gradient and of its square: TensorFlow variables."""
    if KERAS_3:
        place = optimizer._get_variable_index(variable)
        return optimizer._momentums[place].value, optimizer._velocities[place].value
    place = optimizer._index_dict[optimizer._var_key(variable)]
    return optimizer._momentums[place], optimizer._velocities[place]


def share_statistics(model):
    """Average the moving statistics of batch normalisation over the replicas, after a step.

    Keras 2 does so whenever they are read. In Keras 3 each replica goes on with its own, and only
    those of the first one are saved.
    """
    context = tf.distribute.get_replica_context()
    if not KERAS_3 or context is None or context.num_replicas_in_sync == 1:
        return
    statistics = [
        variable
        for variable in model.non_trainable_variables
        if variable.name in ("moving_mean", "moving_variance")
    ]
    if statistics:
        # Copies, since what is read of a variable belongs to no device that is known.
        own = [tf.identity(variable) for variable in statistics]
        for variable, mean in zip(statistics, context.all_reduce("MEAN", own), strict=True):
            variable.assign(mean)


def step_logs(logs):
    """The logs of a step as Keras 3 takes them on several machines: it averages a first axis."""
    if KERAS_3 and has_several_machines(tf.distribute.get_strategy()):
        return {name: tf.expand_dims(value, 0) for name, value in logs.items()}
    return logs


def head_loss(model, base, y, y_pred, sample_weight):
    """The compiled loss of a further output, on the same scale as the result of `compute_loss`.

    `base` is `super()` of the model's class; `y` and `y_pred` are single tensors.
    """
    if KERAS_3:
        value = base.compute_loss(None, y, y_pred, sample_weight)
        if model.losses:
            # compute_loss adds the layers' penalties in each call, but they must count once.
            value -= scale_loss_for_distribution(tf.add_n(model.losses))
        return value
    container = model.compiled_loss
    if not container.built:
        container.build(y_pred)
    (loss,) = container._losses
    if y.dtype.is_floating:
        y = tf.cast(y, y_pred.dtype)
    value = loss(y, y_pred, sample_weight=sample_weight)
    if loss.reduction == "sum":
        value *= tf.distribute.get_strategy().num_replicas_in_sync
    (weight,) = container._loss_weights
    return value if weight is None else value * weight


def compute_loss(model, base, x, y, y_pred, sample_weight, training, extra):
    """The compiled loss of the model's output plus its layers' penalties and the `extra` losses.

    `base` is `super()` of the model's class.
    """
    if KERAS_3:
        value = base.compute_loss(x, y, y_pred, sample_weight, training=training)
        return tf.add_n([value, *(tf.cast(loss, value.dtype) for loss in extra)])
    # The container tracks the total that is shown as "loss", and divides it by the replicas.
    return model.compiled_loss(
        y, y_pred, sample_weight, regularization_losses=[*model.losses, *extra]
    )


STATEFUL_RANDOM_LAYER = {} if KERAS_3 else {"rng_type": "stateful"}
"""Arguments for layers with random numbers, which put their state into a variable."""


@contextlib.contextmanager
def stateful_random_layers():
    """Context in which new layers keep the state of their random numbers in variables."""
    if KERAS_3:
        yield
        return
    experimental = keras.backend.experimental
    enabled = experimental.is_tf_random_generator_enabled()
    experimental.enable_tf_random_generator()
    try:
        yield
    finally:
        if not enabled:
            experimental.disable_tf_random_generator()


def random_states(layer) -> list:
    """The variables that hold the state of a layer's random numbers, inner layers included."""
    if KERAS_3:
        return [v for v in layer.variables if v.name == "seed_generator_state"]
    generators = [
        getattr(getattr(inner, "_random_generator", None), "_generator", None)
        for inner in layer._flatten_layers()
    ]
    return [generator.state for generator in generators if generator is not None]


# Keras has no public API for the connections between layers (`_keras_history`, `_inbound_nodes`)
# and for the names of outputs in `compile`. The following was tested with Keras 3.15 and 2.15.


def is_read_once(layer) -> bool:
    """Whether exactly one thing reads what a layer gives: a layer, a nested model, an operation."""
    return len(layer._outbound_nodes) == 1


def is_keras_tensor(value) -> bool:
    """Whether `value` is a symbolic tensor, of which models are made."""
    try:
        return keras.backend.is_keras_tensor(value)
    except ValueError:  # Keras 2 refuses what is no tensor at all.
        return False


def layer_of(tensor):
    """The layer that makes a Keras tensor."""
    return tensor._keras_history[0]


def inputs_of_last_call(layer) -> list:
    """The Keras tensors of the last call of a layer, or of a model inside a model."""
    return tf.nest.flatten(layer._inbound_nodes[-1].input_tensors)


def source_inputs(tensor) -> list:
    """The inputs from which a Keras tensor is computed.

    (`keras.utils.get_source_inputs` follows every path, and a network with skips has very many.)
    """
    nodes = _nodes_before([tensor])
    return [source for node in nodes if node.is_input for source in _outputs_of(node)]


def tensors_by_place(tensors) -> dict[tuple[str, int], object]:
    """`tensors` and all Keras tensors from which they are computed, by place.

    A place is the name of the layer and the number of the tensor among the layer's outputs.
    """
    return {
        (_layer_of(node).name, number): tensor
        for node in _nodes_before(tensors)
        for number, tensor in enumerate(_outputs_of(node))
    }


def place_of(tensor) -> tuple[str, int]:
    """The key of a Keras tensor in `tensors_by_place`."""
    layer, _, number = tensor._keras_history
    return layer.name, number


def layers_around(tensor) -> tuple[set[str], set[str]]:
    """Names of the layers before a Keras tensor, and of other layers that branch off from them."""
    before, beside = set(), set()
    for node in _nodes_before([tensor]):
        layer = _layer_of(node)
        before.add(layer.name)
        beside.update(_layer_of(reader).name for reader in layer._outbound_nodes)
    return before, beside - before


@contextlib.contextmanager
def known_by_first_output(model):
    """Context in which `model.compile` sees a model with the first output only."""
    names = model.output_names
    model.output_names = names[:1]
    try:
        yield
    finally:
        model.output_names = names


def _nodes_before(tensors) -> list:
    """The calls of layers from which Keras tensors are computed, each once."""
    found, seen = [], set()
    waiting = [
        layer._inbound_nodes[number]
        for layer, number, _ in (tensor._keras_history for tensor in tensors)
    ]
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            found.append(node)
            waiting.extend(node.parent_nodes)
    return found


def _outputs_of(node) -> list:
    return tf.nest.flatten(node.output_tensors)


def _layer_of(node):
    return node.operation if KERAS_3 else node.layer


# TensorFlow has no public way to do what follows. Tried on TensorFlow 2.21 and 2.15.


def with_constants(function):
    """A concrete function with its variables as constants; control flow stays functional.

    (`tf.compat.v1.graph_util.convert_variables_to_constants` knows no resource variables.)
    """
    return convert_variables_to_constants_v2(function, lower_control_flow=False)


def saved_model_loader(folder: str) -> SavedModelLoader:
    """What loads a SavedModel into a session, and shows its graph before it does.

    (`tf.compat.v1.saved_model.load` loads at once. To read the file ourselves first would be to
    look at another file than the one that is loaded, where somebody exchanges it meanwhile.)
    """
    return SavedModelLoader(folder)


catch_up(__name__)


@contextlib.contextmanager
def global_policy(name: str) -> Iterator[None]:
    """Builds with this policy of the computations; the process's own one is back afterwards."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)
