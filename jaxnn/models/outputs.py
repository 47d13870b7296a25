"""What the outputs of a network mean: with which loss it is trained, and how it predicts."""

from collections.abc import Callable
from typing import Literal

from jaxnn.constraints import ExampleTree, OneOf, checked
from jaxnn.losses.binary import sigmoid_cross_entropy
from jaxnn.losses.categorical import softmax_cross_entropy
from jaxnn.losses.loss import Loss
from jaxnn.losses.regression import squared_error
from jaxnn.models.model import (
    Model,
    class_of_logits,
    class_probabilities,
    labels_of_logits,
    probabilities_of_logits,
    unchanged,
)
from jaxnn.nn.activations import tanh
from jaxnn.nn.composition import chain
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.nn.linear import dense
from jaxnn.typing import Array, Shapes

OutputName = Literal["binary", "softmax", "linear", "relu"]

OUTPUTS: dict[OutputName, tuple[Loss, Callable[[Array], Array], Callable[[Array], Array]]] = {
    "binary": (sigmoid_cross_entropy(), probabilities_of_logits, labels_of_logits),
    "softmax": (softmax_cross_entropy(), class_probabilities, class_of_logits),
    "linear": (squared_error(), unchanged, unchanged),
    "relu": (squared_error(), unchanged, unchanged),
}


@checked(network=LAYER, in_shape=ExampleTree(), output=OneOf(OUTPUTS))
def model_from(network: Layer, in_shape: Shapes, output: OutputName = "softmax") -> Model:
    """Return a model of any network, with its loss, probabilities and labels.

    Args:
      network: the `Layer` from examples to outputs, also with layers of your own.
      in_shape: the shape of one example, as `network.init` takes it.
      output: what the outputs mean, as in the table of `mlp`: "binary" and "softmax" are of logits.

    Returns:
      A `Model`, for `objective`, `evaluator`, `save` and the like.

    Raises:
      ValueError: if an argument is of another kind, or the name is unknown.

    Example:
      >>> import jax, jaxnn
      >>> network = jaxnn.chain(jaxnn.dense(8), jaxnn.silu(), jaxnn.dense(3))
      >>> model = model_from(network, (4,))
      >>> params, x = model.init(jax.random.key(0)), jax.numpy.zeros((2, 4))
      >>> model.predict_proba(params, x).shape, model.predict(params, x).shape
      ((2, 3), (2,))
    """
    return Model(network, in_shape, *OUTPUTS[output])


CASES = {"model_from": (lambda: model_from(chain(dense(4), tanh(), dense(3)), (5,)), (5,))}
