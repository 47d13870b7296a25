"""Standard networks for images: LeNet-5, and residual networks with batch normalization."""

from collections.abc import Sequence

from jaxnn.constraints import Count, ExampleShape, Instance, ListOf, OneOf, checked
from jaxnn.losses.categorical import softmax_cross_entropy
from jaxnn.models.feedforward import as_activation
from jaxnn.models.model import Model, class_of_logits, class_probabilities
from jaxnn.nn.activations import ACTIVATIONS, ActivationName
from jaxnn.nn.batch_normalization import batch_norm
from jaxnn.nn.branches import fan_in_sum, fan_out
from jaxnn.nn.composition import chain, residual
from jaxnn.nn.convolution import conv
from jaxnn.nn.global_pooling import global_avg_pool
from jaxnn.nn.initializers import InitializerName
from jaxnn.nn.layer import Layer
from jaxnn.nn.linear import dense
from jaxnn.nn.pooling import max_pool
from jaxnn.nn.rectifiers import relu
from jaxnn.nn.reshaping import flatten
from jaxnn.typing import Initializer, Shape

_IMAGES = ExampleShape(3)


@checked(in_shape=_IMAGES, classes=Count(2), activation=OneOf(ACTIVATIONS) | Instance(Layer))
def lenet(
    in_shape: Shape = (28, 28, 1),
    classes: int = 10,
    activation: ActivationName | Layer = "relu",
    *,
    init: InitializerName | Initializer = "he",
) -> Model:
    """Return LeNet-5: convolutions of 5 x 5 with 6 and 16 filters, each pooled by 2, and dense layers of 120 and 84.

    The first convolution is padded, so that images of 28 x 28 are as the published ones of 32 x 32. Pooling takes the
    largest element, and every filter of the second convolution sees all channels.

    Args:
      in_shape: (height, width, channels), at least 12 x 12.
      classes: number of classes, at least 2.
      activation: after each layer but the last, a name in `ACTIVATIONS` or a `Layer`.
      init: of the weights, as `dense` takes it.

    Returns:
      A `Model` with logits and their cross-entropy, for class numbers (m,).

    Raises:
      ValueError: if in_shape is not that of an image, there are fewer than two classes, or a name is unknown; at
        `init`, if images are smaller than the filters.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lenet()
      >>> params = model.init(jax.random.key(0))
      >>> sum(leaf.size for leaf in jax.tree.leaves(params)), model.predict(params, jnp.zeros((2, 28, 28, 1))).shape
      (61706, (2,))

    Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998.
    """
    g = as_activation(activation)
    features = conv(6, 5, init=init), g, max_pool(2), conv(16, 5, padding="valid", init=init), g, max_pool(2)
    network = chain(*features, flatten(), dense(120, init), g, dense(84, init), g, dense(classes, init))
    return Model(network, in_shape, softmax_cross_entropy(), class_probabilities, class_of_logits)


@checked(
    in_shape=_IMAGES,
    classes=Count(2),
    blocks=ListOf(Count(), "numbers of blocks, one for each stage"),
    channels=Count(),
)
def resnet(
    in_shape: Shape = (32, 32, 3), classes: int = 10, blocks: Sequence[int] = (3, 3, 3), channels: int = 16
) -> Model:
    """Return a residual network with batch normalization, of 2 Σ blocks + 2 layers with weights.

    A convolution of 3 x 3, then stages of blocks y = relu(x + f(x)), f being two convolutions of 3 x 3 with batch norm
    after each and a ReLU between them; the mean over all places; a dense layer. Each stage but the first halves the
    places and doubles the channels, and its first block passes x through a convolution of 1 x 1 with batch norm.

    Args:
      in_shape: (height, width, channels).
      classes: number of classes, at least 2.
      blocks: of each stage; (3, 3, 3) is ResNet-20, (18, 18, 18) ResNet-110.
      channels: of the first stage.

    Returns:
      A `Model` with logits and their cross-entropy, for class numbers (m,). Its network has statistics: pass
      `result.stats` of `fit` to `predict`.

    Raises:
      ValueError: if in_shape is not that of an image, or a number is below 1.

    Example:
      >>> import jax
      >>> model = resnet()
      >>> params = jax.eval_shape(model.init, jax.random.key(0))
      >>> sum(leaf.size for leaf in jax.tree.leaves(params))
      273258

    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2015, section 4.2; there, the
    shortcut of a stage pads channels with zeros.
    """
    layers = [conv(channels, 3, init="he"), batch_norm(), relu()]
    for stage, number in enumerate(blocks):
        n = channels * 2**stage
        for i in range(number):
            stride = 2 if stage > 0 and i == 0 else 1
            inner = conv(n, 3, stride, init="he"), batch_norm(), relu(), conv(n, 3, init="he"), batch_norm()
            if stride == 1:
                block = residual(chain(*inner))
            else:
                block = chain(fan_out(chain(*inner), chain(conv(n, 1, stride, init="he"), batch_norm())), fan_in_sum())
            layers += [block, relu()]
    network = chain(*layers, global_avg_pool(), dense(classes))
    return Model(network, in_shape, softmax_cross_entropy(), class_probabilities, class_of_logits)


CASES = {
    "lenet": (lambda: lenet((12, 12, 1), 3, "tanh"), (12, 12, 1)),
    "resnet": (lambda: resnet((4, 4, 2), 3, (1, 1), 2), (4, 4, 2)),
}
