"""Networks of dense layers: `mlp`, and `logistic_regression`, which has no hidden layers."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from jaxnn.constraints import Count, Flag, Instance, ListOf, OneOf, checked
from jaxnn.models.model import Model
from jaxnn.models.outputs import OUTPUTS, OutputName
from jaxnn.nn.activations import ACTIVATIONS, ActivationName
from jaxnn.nn.composition import chain
from jaxnn.nn.initializers import InitializerName
from jaxnn.nn.layer import Layer
from jaxnn.nn.linear import dense
from jaxnn.nn.rectifiers import relu
from jaxnn.nn.repetition import chain_with_scans
from jaxnn.nn.stochastic import RATE, dropout
from jaxnn.typing import Initializer, Scalar
from jaxnn.validation import described, is_constant, is_number

SIZES = ListOf(Count(), "two or more whole numbers of at least 1, (n_0, ..., n_L)", least=2)


@checked(
    sizes=SIZES,
    output=OneOf(OUTPUTS),
    input_dropout_rate=RATE,
    scan=Flag(),
)
def mlp(
    sizes: Sequence[int],
    activation: ActivationName | Layer | Sequence[ActivationName | Layer] = "relu",
    *,
    output: OutputName = "binary",
    init: InitializerName | Initializer | Sequence[InitializerName | Initializer] = "lecun",
    dropout_rate: Scalar | Sequence[Scalar] = 0.0,
    input_dropout_rate: Scalar = 0.0,
    scan: bool = False,
) -> Model:
    """Return a network of L dense layers with activations between them, a_l = g_l(a_{l-1} W_lᵀ + b_l).

    Args:
      sizes: units from the inputs to the outputs, (n_0, n_1, ..., n_L): L dense layers. (n_0, 1) is logistic
        regression.
      activation: of the L - 1 hidden layers: a name in `ACTIVATIONS`, a `Layer`, or a sequence with one per layer.
      output: what the outputs mean, which determines the loss:

        ========= ========================= ======================== ======================
        output    network ends in           loss                     targets y
        ========= ========================= ======================== ======================
        binary    logits                    sigmoid_cross_entropy    0/1, (m,) or (m, k)
        softmax   logits                    softmax_cross_entropy    classes (m,), or (m, k)
        linear    values                    squared_error            numbers (m,) or (m, k)
        relu      values of at least 0      squared_error            numbers (m,) or (m, k)
        ========= ========================= ======================== ======================

      init: of the weights, as `dense` takes it, or a sequence with one per dense layer.
      dropout_rate: the fraction of each hidden layer's units to drop while training, or a sequence
        with one per hidden layer.
      input_dropout_rate: the fraction of the inputs to drop while training.
      scan: whether consecutive hidden layers that are equal (in size, activation, init and dropout rate) are computed
        by one `lax.scan`, which compiles them once. That shortens the first step of a deep network: with 64 hidden
        layers of 64 units, `init` and a first epoch with Adam took 3.7 s of CPU time with a scan and 7.0 s without
        (JAX 0.12). Later steps copy the params and the activations of the scanned layers.

    Returns:
      A `Model`. One key gives the same numbers, initially and in dropout, whether layers are scanned or not. Only the
      structure of params differs: () or {"W", "b"} for each layer of a plain chain; with a scan, a tuple of
      such tuples, with the arrays of equal layers stacked to (n, ...). `params_to_arrays` returns W_1, b_1, W_2, ...
      for both, and `params_from_arrays` takes them.

    Raises:
      ValueError: if there are fewer than two sizes, a size is not a whole number of at least 1, a name is unknown, a
        rate is not a number in its range, or a sequence has the wrong length.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = mlp((784, 512, 512, 10), "relu", output="softmax", init="he")
      >>> params = model.init(jax.random.key(0))
      >>> model.predict_proba(params, jnp.zeros((2, 784))).shape, model.predict(params, jnp.zeros((2, 784))).shape
      ((2, 10), (2,))
    """
    if output == "softmax" and sizes[-1] < 2:
        raise ValueError(
            f"sizes must end in at least 2 classes for output='softmax', got {sizes[-1]}: use output='binary'"
        )
    n_hidden = len(sizes) - 2
    activations = one_each("activation", activation, n_hidden, (str, Layer))
    rates = one_each("dropout_rate", dropout_rate, n_hidden, (int, float, np.generic, np.ndarray, jax.Array))
    inits = one_each("init", init, n_hidden + 1, (str, Callable, int, float, np.generic))
    hidden = [as_activation(activation) for activation in activations]
    dense_layers = [dense(size, layer_init) for size, layer_init in zip(sizes[1:], inits, strict=True)]
    units = []  # what follows a dense layer, up to the next one
    for activation_layer, rate, following in zip(hidden, rates, dense_layers[1:], strict=True):
        units.append((activation_layer, *([dropout(_as_float(rate))] if _may_drop(rate) else []), following))
    before = [dropout(_as_float(input_dropout_rate))] if _may_drop(input_dropout_rate) else []
    first, last = (*before, dense_layers[0]), [relu()] if output == "relu" else []
    blocks = _group_equal_units(first, units, sizes) if scan else []
    if any(n > 1 for _, n in blocks):
        network = chain_with_scans(*blocks, *[((layer,), 1) for layer in last])
    else:
        network = chain(*first, *[layer for unit in units for layer in unit], *last)
    return Model(network, (sizes[0],), *OUTPUTS[output])


@checked(n_in=Count(), classes=Count(2))
def logistic_regression(n_in: int, classes: int = 2) -> Model:
    """Return logistic regression: one dense layer, initialized to zero, with the cross-entropy of its classes.

    Two classes: ŷ = σ(wᵀx + b), with labels 0 and 1. More: ŷ = softmax(Wx + b), with class numbers.

    Args:
      n_in: number of features.
      classes: number of classes, at least 2.

    Returns:
      A `Model`. Its objective is convex, so starting at zero is as good as any start.

    Raises:
      ValueError: if there are fewer than two classes or no features.

    Example:
      >>> import jax
      >>> params = logistic_regression(3).init(jax.random.key(0))
      >>> params[0]["W"]
      Array([[0., 0., 0.]], dtype=float32)
    """
    return mlp((n_in, 1 if classes == 2 else classes), output="binary" if classes == 2 else "softmax", init="zeros")


@checked(activation=OneOf(ACTIVATIONS) | Instance(Layer))
def as_activation(activation: ActivationName | Layer) -> Layer:
    """Return a `Layer` unchanged, or the activation of this name."""
    if isinstance(activation, Layer):
        return activation
    return ACTIVATIONS[activation]()


def one_each(name: str, value: Any, n: int, single: tuple[Any, ...]) -> list[Any]:
    """Return a single value n times, or a sequence, which must have n entries, as a list."""
    if isinstance(value, single) and getattr(value, "ndim", 0) == 0:
        return [value] * n
    if isinstance(value, str) or not np.iterable(value):
        fix = f": call the factory, {factory}()" if (factory := getattr(value, "__name__", "")) else ""
        raise ValueError(f"{name} must be one value or a sequence with one per layer, got {described(value)}{fix}")
    values = list(value)
    if len(values) != n:
        raise ValueError(f"{name} must be one value or {n}, one per layer it applies to, got {len(values)}")
    return values


def _may_drop(rate: Any) -> bool:
    # The value of a traced rate is unknown here; a value that is not a number is rejected by dropout.
    return not is_constant(rate, 0)


def _as_float(rate: Any) -> Any:
    return float(rate) if is_number(rate) and not isinstance(rate, Tracer) else rate


def _group_equal_units(
    first: tuple[Layer, ...], units: list[tuple[Layer, ...]], sizes: Sequence[int]
) -> list[tuple[tuple[Layer, ...], int]]:
    """Group layers into blocks for `chain_with_scans`; n > 1 equal consecutive units become one scanned block.

    A unit begins with the activation, not with the weights. Then the output that the activation caches and the input
    that the weights cache are one array of one copy, which is stacked once.
    """
    blocks = [(first, 1)]
    keeps_size = [n_in == n_out for n_in, n_out in zip(sizes[1:-1], sizes[2:], strict=True)]
    for (unit, square), group in groupby(zip(units, keeps_size, strict=True)):
        n = len(list(group))
        if square and n > 1:
            blocks.append((unit, n))
        elif blocks[-1][1] == 1:
            blocks[-1] = (blocks[-1][0] + unit * n, 1)
        else:
            blocks.append((unit * n, 1))
    return blocks


CASES = {
    "mlp": (lambda: mlp((5, 4, 3), ["tanh"], output="softmax"), (5,)),
    "mlp_scanned": (lambda: mlp((5, 4, 4, 4, 3), "relu", output="softmax", scan=True), (5,)),
    "mlp_dropout": (lambda: mlp((5, 4, 4, 2), "relu", output="relu", dropout_rate=0.3), (5,), {"random": True}),
    "logistic_regression": (lambda: logistic_regression(5), (5,)),
}
