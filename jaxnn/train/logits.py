"""A warning for networks whose probabilities go to a loss that takes logits."""

from typing import Any

from jaxnn.losses.binary import sigmoid_cross_entropy
from jaxnn.losses.categorical import softmax_cross_entropy
from jaxnn.losses.kullback_leibler import kl_divergence
from jaxnn.losses.loss import Loss
from jaxnn.nn.activations import sigmoid
from jaxnn.nn.composition import chain
from jaxnn.nn.layer import Layer
from jaxnn.nn.probabilities import softmax
from jaxnn.validation import warn_outside

_OF_LOGITS = (sigmoid_cross_entropy, softmax_cross_entropy, kl_divergence)


def warn_of_probabilities(network: Layer, loss: Loss) -> None:
    """Warn if the network ends in a softmax or sigmoid, and the loss applies another one."""
    last: Any = network
    while _factory_of(last) is chain and last.factory_call.args:
        last = last.factory_call.args[-1]
    takes = _factory_of(loss)
    if _factory_of(last) in (sigmoid, softmax) and takes in _OF_LOGITS:
        warn_outside(
            f"{last!r} at the end of the network makes probabilities, but {takes.__name__} takes logits, and trains "
            "slowly on them: leave that layer out of the network, and apply it to predictions"
        )


def _factory_of(made: Any) -> Any:
    call = getattr(made, "factory_call", None)
    return call and call.factory
