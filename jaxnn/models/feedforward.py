"""Networks of dense layers: `mlp`, and `logistic_regression`, which is one without hidden layers."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.losses.cross_entropy import sigmoid_cross_entropy, softmax_cross_entropy
from jaxnn.losses.loss import Loss
from jaxnn.losses.regression import squared_error
from jaxnn.models.model import Model, labels_of_logits, unchanged
from jaxnn.nn.activations import ACTIVATIONS, relu
from jaxnn.nn.composition import chain
from jaxnn.nn.initializers import sliced_initializer
from jaxnn.nn.layer import Layer
from jaxnn.nn.linear import dense
from jaxnn.nn.masking import mask_units
from jaxnn.nn.repetition import chain_of_runs
from jaxnn.nn.stochastic import dropout
from jaxnn.typing import Array, Initializer
from jaxnn.validation import check_name, described, is_count, is_number


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
    """The L-layer network: dense layers with activations between them, a_l = g_l(a_{l-1} W_lᵀ + b_l).

    Args:
      sizes: units from the inputs to the outputs, (n_0, n_1, ..., n_L): L dense layers. (n_0, 1) is logistic
        regression.
      activation: that of the L - 1 hidden layers: a name in `ACTIVATIONS`, a `Layer`, or a sequence with one for each.
      output: what the last layer means, which settles the loss:

        ========= ========================= ======================== ======================
        output    network ends in           loss                     targets y
        ========= ========================= ======================== ======================
        binary    logits                    sigmoid_cross_entropy    0/1, (m,) or (m, k)
        softmax   logits                    softmax_cross_entropy    classes (m,), or (m, k)
        linear    values                    squared_error            numbers (m,) or (m, k)
        relu      values of at least 0      squared_error            numbers (m,) or (m, k)
        ========= ========================= ======================== ======================

      init: of the weights, as `dense` takes it, or a sequence with one per dense layer.
      dropout_rate: the fraction of each hidden layer's units that is dropped while training, or a sequence
        with one per hidden layer.
      input_dropout_rate: the fraction of the inputs that is dropped while training.
      widths: how many units of each hidden layer count, from 1 to its size; all of them by default. May be traced, so
        that networks of many widths are one program, as members of a population. The rest are silent, their weights
        start at 0 and stay there, and the network is the narrow one: `slice_params` cuts it out.
      scan: whether consecutive hidden layers that are equal (in size, activation, init and dropout rate) are computed
        by one `lax.scan`, so that compile time does not grow with their number and activations are kept once. By
        default that is done where it was measured to cost no time in a step: from 64 equal layers of at most 64 units.

    Returns:
      A `Model`. One key gives the same numbers, at the start and in dropout, whether layers are scanned or not. What
      differs is the structure of params: () or {"W", "b"} for each layer of a plain chain; with a scan, a tuple of
      such tuples, with the arrays of equal layers stacked to (n, ...). `params_to_arrays` gives W_1, b_1, W_2, ... of
      either, and `params_from_arrays` takes them.

    Raises:
      ValueError: fewer than two sizes, a size that is no whole number, or below 1, an unknown name, a rate or a width
        that is no number, or outside its range, or a sequence of another length.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = mlp((784, 512, 512, 10), "relu", output="softmax", init="he")
      >>> params = model.init(jax.random.key(0))
      >>> model.predict_proba(params, jnp.zeros((2, 784))).shape, model.predict(params, jnp.zeros((2, 784))).shape
      ((2, 10), (2,))
    """
    sizes = tuple(sizes) if np.iterable(sizes) else (sizes,)
    if not isinstance(scan, bool | None):
        raise ValueError(f"scan is True, False, or None for the library's choice, got {described(scan)}")
    if len(sizes) < 2 or not all(map(is_count, sizes)):
        raise ValueError(
            f"mlp takes sizes (n_0, ..., n_L), two or more whole numbers of at least 1, got {described(sizes)}"
        )
    check_name("output", output, _OUTPUTS)
    if output == "softmax" and sizes[-1] < 2:
        raise ValueError("a softmax over one class is always 1: give a size per class, or output='binary'")
    sizes, n_hidden = tuple(map(int, sizes)), len(sizes) - 2
    activations = _one_each("activation", activation, n_hidden, (str, Layer))
    rates = _one_each("dropout_rate", dropout_rate, n_hidden, (int, float, np.generic, np.ndarray, jax.Array))
    inits = _one_each("init", init, n_hidden + 1, (str, Callable, int, float, np.generic))
    # Equal layers are one object: so a chain draws their weights together.
    dense_of, activation_of, dropout_of = _remembered(dense), _remembered(_activation), _remembered(dropout)
    hidden = [activation_of(activation) for activation in activations]
    if widths is not None:
        inits, hidden = _narrowed(sizes, inits, hidden, widths)
    weighted = [dense_of(size, layer_init) for size, layer_init in zip(sizes[1:], inits, strict=True)]
    units = []  # what follows a hidden layer's weights, with the next layer's
    for activation_layer, rate, following in zip(hidden, rates, weighted[1:], strict=True):
        units.append((activation_layer, *([dropout_of(_plain(rate))] if _may_drop(rate) else []), following))
    if not is_number(input_dropout_rate):
        raise ValueError(f"input_dropout_rate is a number, got {described(input_dropout_rate)}")
    before = [dropout_of(_plain(input_dropout_rate))] if _may_drop(input_dropout_rate) else []
    runs = _runs((*before, weighted[0]), units, sizes, scan)
    if output == "relu":
        runs.append(((relu(),), 1))
    plain = all(n == 1 for _, n in runs)
    network = chain(*[layer for layers, _ in runs for layer in layers]) if plain else chain_of_runs(*runs)
    return Model(network, (sizes[0],), *_OUTPUTS[output])


def logistic_regression(n_in: int, classes: int = 2) -> Model:
    """Logistic regression: one dense layer, started at zero, under the cross-entropy that fits.

    Two classes: ŷ = σ(wᵀx + b), and a label 0 or 1. More: ŷ = softmax(Wx + b), and a class number.

    Args:
      n_in: features of an example.
      classes: how many classes, at least 2.

    Returns:
      A `Model`. Its objective is convex, so the start at zero costs nothing.

    Raises:
      ValueError: fewer than two classes, or no feature.

    Example:
      >>> import jax
      >>> params = logistic_regression(3).init(jax.random.key(0))
      >>> params[0]["W"]
      Array([[0., 0., 0.]], dtype=float32)
    """
    if not (is_count(n_in) and is_count(classes) and classes >= 2):
        raise ValueError(
            "logistic_regression takes whole numbers, at least 1 feature and 2 classes, "
            f"got {described(n_in)} and {described(classes)}"
        )
    return mlp((n_in, 1 if classes == 2 else classes), output="binary" if classes == 2 else "softmax", init="zeros")


def _yes_probability(z: Array) -> Array:
    return jax.nn.sigmoid(z)


def _probabilities(z: Array) -> Array:
    return jax.nn.softmax(z)


def _class(z: Array) -> Array:
    return jnp.argmax(z, axis=-1)


# Where the scan's copying of params and caches no longer costs time in a step, measured on two CPU cores. Wider layers
# have more to copy: 64 of 512 units took 1.1 times as long.
_SCAN_DEPTH, _SCAN_WIDTH = 64, 64
_OUTPUTS: dict[str, tuple[Loss, Callable[[Array], Array], Callable[[Array], Array]]] = {
    "binary": (sigmoid_cross_entropy(), _yes_probability, labels_of_logits),
    "softmax": (softmax_cross_entropy(), _probabilities, _class),
    "linear": (squared_error(), unchanged, unchanged),
    "relu": (squared_error(), unchanged, unchanged),
}


def _narrowed(
    sizes: Sequence[int], inits: list[Any], hidden: list[Layer], widths: Sequence[Any]
) -> tuple[list[Initializer], list[Layer]]:
    """Initialisers and activations of a network of which the first `widths` units of each hidden layer count."""
    widths = _one_each("widths", list(widths) if np.iterable(widths) else widths, len(hidden), ())
    for size, width in zip(sizes[1:-1], widths, strict=True):
        if not is_number(width, lambda width, size=size: 1 <= width <= size and width == int(width)):
            raise ValueError(
                "widths are whole numbers from 1 to the size of their layer, "
                f"got {described(width)} for a layer of {size}"
            )
    ends = [sizes[0], *widths, sizes[-1]]
    narrow = [sliced_initializer(*each) for each in zip(inits, ends[:-1], ends[1:], strict=True)]
    return narrow, [mask_units(layer, n) for layer, n in zip(hidden, widths, strict=True)]


def _activation(activation: str | Layer) -> Layer:
    if isinstance(activation, Layer):
        return activation
    check_name("activation", activation, ACTIVATIONS, ", or a Layer")
    return ACTIVATIONS[activation]()


def _one_each(name: str, given: Any, n: int, single: tuple[type, ...]) -> list[Any]:
    """`given` n times where it is a single value, else the sequence itself, which must have n entries."""
    if isinstance(given, single) and getattr(given, "ndim", 0) == 0:
        return [given] * n
    if isinstance(given, str) or not np.iterable(given):
        fix = f": {given.__name__}() makes one" if hasattr(given, "__name__") else ""
        raise ValueError(f"{name} takes one value, or a sequence with one per layer, got {described(given)}{fix}")
    given = list(given)
    if len(given) != n:
        raise ValueError(f"{name} has {len(given)} entries, expected one value, or {n}: one per layer it applies to")
    return given


def _may_drop(rate: Any) -> bool:
    # A traced rate is a number that only the running program knows; what is no number, dropout refuses.
    return isinstance(rate, jax.core.Tracer) or not is_number(rate, lambda rate: rate == 0)


def _plain(rate: Any) -> Any:
    return float(rate) if is_number(rate) and not isinstance(rate, jax.core.Tracer) else rate


def _remembered(make: Callable[..., Layer]) -> Callable[..., Layer]:
    """`make`, giving the same layer again for equal names and numbers, and for the same object."""
    made = {}

    def remembered(*given):
        name = tuple(one if isinstance(one, str | int | float) else id(one) for one in given)
        if name not in made:
            made[name] = make(*given)
        return made[name]

    return remembered


def _runs(
    first: tuple[Layer, ...], units: list[tuple[Layer, ...]], sizes: tuple[int, ...], scan: bool | None
) -> list[tuple[tuple[Layer, ...], int]]:
    """The layers as runs for `chain_of_runs`: where n > 1, n equal units in a row are to be scanned.

    A unit begins with the activation, not with the weights. Then what the activation caches as its output and the
    weights as their input is one array of one copy, and is stacked once.
    """
    runs = [(first, 1)]
    keeps_size = [n_in == n_out for n_in, n_out in zip(sizes[1:-1], sizes[2:], strict=True)]
    done = 0
    for (unit, square), group in groupby(zip(units, keeps_size, strict=True)):
        n = len(list(group))
        width, done = sizes[1 + done], done + n
        pays = n + 1 >= _SCAN_DEPTH and width <= _SCAN_WIDTH
        if square and n > 1 and (pays if scan is None else scan):
            runs.append((unit, n))
        elif runs[-1][1] == 1:
            runs[-1] = (runs[-1][0] + unit * n, 1)
        else:
            runs.append((unit * n, 1))
    return runs
