"""Networks of dense layers: `mlp`, and `logistic_regression`, which has no hidden layers."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Count, Counts, Flag, Instance, Nothing, OneOf, checked
from jaxnn.losses.cross_entropy import sigmoid_cross_entropy, softmax_cross_entropy
from jaxnn.losses.loss import Loss
from jaxnn.losses.regression import squared_error
from jaxnn.models.model import Model, labels_of_logits, unchanged
from jaxnn.nn.activations import ACTIVATIONS, relu
from jaxnn.nn.composition import chain
from jaxnn.nn.initializers import INITIALIZERS, sliced_initializer
from jaxnn.nn.layer import Layer
from jaxnn.nn.linear import dense
from jaxnn.nn.masking import mask_units
from jaxnn.nn.repetition import chain_with_scans
from jaxnn.nn.stochastic import RATE, dropout
from jaxnn.typing import Array, Initializer
from jaxnn.validation import described, is_number


def _yes_probability(z: Array) -> Array:
    return jax.nn.sigmoid(z)


def _probabilities(z: Array) -> Array:
    return jax.nn.softmax(z)


def _class(z: Array) -> Array:
    return jnp.argmax(z, axis=-1)


_OUTPUTS: dict[str, tuple[Loss, Callable[[Array], Array], Callable[[Array], Array]]] = {
    "binary": (sigmoid_cross_entropy(), _yes_probability, labels_of_logits),
    "softmax": (softmax_cross_entropy(), _probabilities, _class),
    "linear": (squared_error(), unchanged, unchanged),
    "relu": (squared_error(), unchanged, unchanged),
}


@checked(
    sizes=Counts(2, "two or more whole numbers of at least 1, (n_0, ..., n_L)"),
    output=OneOf(_OUTPUTS),
    input_dropout_rate=RATE,
    scan=Flag() | Nothing(),
)
def mlp(
    sizes: Sequence[int],
    activation: str | Layer | Sequence[str | Layer] = "relu",
    *,
    output: str = "binary",
    init: str | Initializer | Sequence[str | Initializer] = "lecun",
    dropout_rate: float | Sequence[float] = 0.0,
    input_dropout_rate: float = 0.0,
    widths: Sequence[Any] | None = None,
    scan: bool | None = None,
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
      widths: the number of units of each hidden layer to use, from 1 to its size; all by default. May be traced, so
        that networks of many widths share one program, such as members of a population. The other units are masked,
        their weights start at 0 and stay there, and `slice_params` returns the narrow network's params.
      scan: whether consecutive hidden layers that are equal (in size, activation, init and dropout rate) are computed
        by one `lax.scan`, so that compile time does not grow with their number and activations are stored once. By
        default that is done if it was measured to cost no time in a step: from 64 equal layers of at most 64 units.

    Returns:
      A `Model`. One key gives the same numbers, initially and in dropout, whether layers are scanned or not. Only the
      structure of params differs: () or {"W", "b"} for each layer of a plain chain; with a scan, a tuple of
      such tuples, with the arrays of equal layers stacked to (n, ...). `params_to_arrays` returns W_1, b_1, W_2, ...
      for both, and `params_from_arrays` takes them.

    Raises:
      ValueError: if there are fewer than two sizes, a size is not a whole number of at least 1, a name is unknown, a
        rate or a width is not a number in its range, or a sequence has the wrong length.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = mlp((784, 512, 512, 10), "relu", output="softmax", init="he")
      >>> params = model.init(jax.random.key(0))
      >>> model.predict_proba(params, jnp.zeros((2, 784))).shape, model.predict(params, jnp.zeros((2, 784))).shape
      ((2, 10), (2,))
    """
    if output == "softmax" and sizes[-1] < 2:
        raise ValueError(
            f"last size must be at least 2 classes for output='softmax', got {sizes[-1]}: use output='binary'"
        )
    n_hidden = len(sizes) - 2
    activations = _one_each("activation", activation, n_hidden, (str, Layer))
    rates = _one_each("dropout_rate", dropout_rate, n_hidden, (int, float, np.generic, np.ndarray, jax.Array))
    inits = _one_each("init", init, n_hidden + 1, (str, Callable, int, float, np.generic))
    # Equal layers are one object, so that a chain initializes them together.
    dense_of, activation_of, dropout_of = _share_equal(dense), _share_equal(_activation), _share_equal(dropout)
    hidden = [activation_of(activation) for activation in activations]
    if widths is not None:
        inits, hidden = _masked(sizes, inits, hidden, widths)
    dense_layers = [dense_of(size, layer_init) for size, layer_init in zip(sizes[1:], inits, strict=True)]
    units = []  # what follows a dense layer, up to the next one
    for activation_layer, rate, following in zip(hidden, rates, dense_layers[1:], strict=True):
        units.append((activation_layer, *([dropout_of(_as_float(rate))] if _may_drop(rate) else []), following))
    before = [dropout_of(_as_float(input_dropout_rate))] if _may_drop(input_dropout_rate) else []
    blocks = _group_equal_units((*before, dense_layers[0]), units, sizes, scan)
    if output == "relu":
        blocks.append(((relu(),), 1))
    has_scan = any(n > 1 for _, n in blocks)
    network = chain_with_scans(*blocks) if has_scan else chain(*[layer for layers, _ in blocks for layer in layers])
    return Model(network, (sizes[0],), *_OUTPUTS[output])


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


# From this depth, up to this width, copying params and caches for the scan costs no time in a step, measured on two CPU
# cores. Wider layers have more to copy: 64 of 512 units took 1.1 times as long.
_SCAN_DEPTH, _SCAN_WIDTH = 64, 64


def _masked(
    sizes: Sequence[int], inits: list[Any], hidden: list[Layer], widths: Sequence[Any]
) -> tuple[list[Initializer], list[Layer]]:
    """Return initializers and activations of a network that uses the first `widths` units of its hidden layers."""
    widths = _one_each("widths", list(widths) if np.iterable(widths) else widths, len(hidden), ())
    for size, width in zip(sizes[1:-1], widths, strict=True):
        if not is_number(width, lambda width, size=size: 1 <= width <= size and width == int(width)):
            raise ValueError(
                f"widths must be whole numbers from 1 to the layer's size, got {described(width)} for a layer of {size}"
            )
    inits = [_NAMED.check("init", init) for init in inits]
    used = [sizes[0], *widths, sizes[-1]]
    initializers = [sliced_initializer(*of_layer) for of_layer in zip(inits, used[:-1], used[1:], strict=True)]
    return initializers, [mask_units(layer, n) for layer, n in zip(hidden, widths, strict=True)]


_NAMED = OneOf(INITIALIZERS, fix="with widths, the standard deviation of an initializer must be known")


@checked(activation=OneOf(ACTIVATIONS) | Instance(Layer))
def _activation(activation: str | Layer) -> Layer:
    if isinstance(activation, Layer):
        return activation
    return ACTIVATIONS[activation]()


def _one_each(name: str, value: Any, n: int, single: tuple[type, ...]) -> list[Any]:
    """Return a single value n times, or a sequence, which must have n entries, as a list."""
    if isinstance(value, single) and getattr(value, "ndim", 0) == 0:
        return [value] * n
    if isinstance(value, str) or not np.iterable(value):
        fix = f": call the factory, {value.__name__}()" if hasattr(value, "__name__") else ""
        raise ValueError(f"{name} must be one value or a sequence with one per layer, got {described(value)}{fix}")
    values = list(value)
    if len(values) != n:
        raise ValueError(f"{name} must be one value or {n}, one per layer it applies to, got {len(values)}")
    return values


def _may_drop(rate: Any) -> bool:
    # The value of a traced rate is unknown here; a value that is not a number is rejected by dropout.
    return isinstance(rate, jax.core.Tracer) or not is_number(rate, lambda rate: rate == 0)


def _as_float(rate: Any) -> Any:
    return float(rate) if is_number(rate) and not isinstance(rate, jax.core.Tracer) else rate


def _share_equal(make: Callable[..., Layer]) -> Callable[..., Layer]:
    """Cache `make` for this call of mlp: the same layer for equal strings and numbers, and for the same object."""
    layers = {}

    def cached(*args):
        key = tuple(arg if isinstance(arg, str | int | float) else id(arg) for arg in args)
        if key not in layers:
            layers[key] = make(*args)
        return layers[key]

    return cached


def _group_equal_units(
    first: tuple[Layer, ...], units: list[tuple[Layer, ...]], sizes: tuple[int, ...], scan: bool | None
) -> list[tuple[tuple[Layer, ...], int]]:
    """Group layers into blocks for `chain_with_scans`; n > 1 equal consecutive units become one scanned block.

    A unit begins with the activation, not with the weights. Then the output that the activation caches and the input
    that the weights cache are one array of one copy, which is stacked once.
    """
    blocks = [(first, 1)]
    keeps_size = [n_in == n_out for n_in, n_out in zip(sizes[1:-1], sizes[2:], strict=True)]
    done = 0
    for (unit, square), group in groupby(zip(units, keeps_size, strict=True)):
        n = len(list(group))
        width, done = sizes[1 + done], done + n
        pays = n + 1 >= _SCAN_DEPTH and width <= _SCAN_WIDTH
        if square and n > 1 and (pays if scan is None else scan):
            blocks.append((unit, n))
        elif blocks[-1][1] == 1:
            blocks[-1] = (blocks[-1][0] + unit * n, 1)
        else:
            blocks.append((unit * n, 1))
    return blocks
