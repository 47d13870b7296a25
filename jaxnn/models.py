"""Models: a network, the loss that fits its output, and how to read the output. Logistic regression to L layers."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.activations import ACTIVATIONS, relu
from jaxnn.chain import chain
from jaxnn.checks import (
    as_array,
    check_key,
    check_name,
    check_params,
    check_shape,
    described,
    fix_of_dtype,
    floats,
    is_count,
    is_number,
    is_real,
)
from jaxnn.dense import dense, narrow_initializer
from jaxnn.dropout import dropout
from jaxnn.factories import known, shown
from jaxnn.layer import Layer, check_layers
from jaxnn.losses import Loss, sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from jaxnn.programs import remembered
from jaxnn.repeat import chain_of_runs
from jaxnn.typing import Array, Initializer, Key, Params, Shape
from jaxnn.units import first_units


def _shown(model: "Model") -> str:
    """The network with the number of its params, what it takes, and the loss."""
    try:
        n = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(_expected("Model", model.network, model.in_shape)))
        params = f", {n} params"
    except Exception:  # a network that does not take such examples: `init` says why
        params = ""
    return f"Model({shown(model.network)}, in_shape={shown(model.in_shape)}, loss={shown(model.loss)}{params})"


@partial(known, shown=_shown)
class Model(NamedTuple):
    """A network with what belongs to its kind of output.

    Inputs x are examples as rows, (m, n_in), an array or what NumPy makes one of, such as lists or a data frame. A
    single example (n_in,) will do; its results are without the axis of m.

    Attributes:
      network: the `Layer` that maps x (m, n_in) to outputs z (m, k): logits, where the loss takes logits.
      in_shape: the shape of one example, as `network.init` takes it.
      loss: the `Loss` on those outputs.
      response: outputs to what they predict: probabilities (m, k), or the predicted values themselves.
      decide: outputs to answers: labels (m,) for classes, values (m, k) for regression.
    """

    network: Layer
    in_shape: Shape
    loss: Loss
    response: Callable[[Array], Array]
    decide: Callable[[Array], Array]

    def init(self, key: Key) -> Params:
        """Fresh params of the network, from a random key (scalar), in one compiled program.

        Raises:
          ValueError: it is no random key, or several.
        """
        check_key(key)
        # Inside somebody's program, where any operation gives a tracer, it is a part of that.
        inside = isinstance(jax.random.key_data(key), jax.core.Tracer)
        return self.network.init(key, self.in_shape)[0] if inside else _init_program(self.network, self.in_shape)(key)

    def outputs(self, params: Params, x: Array) -> Array:
        """z, (m, k), for inputs x (m, n_in): the forward without randomness.

        Raises:
          ValueError: params or inputs that are not this network's, or inputs that are no numbers.
        """
        check_params(params)
        return self.network.forward(params, _inputs(x))[0]

    def predict(self, params: Params, x: Array) -> Array:
        """`response` of the outputs: probabilities (m, k) of x (m, n_in), or values (m, k) for regression.

        Raises:
          ValueError: what `outputs` refuses.
        """
        return self.response(self.outputs(params, x))

    def classify(self, params: Params, x: Array) -> Array:
        """`decide` of the outputs: labels (m,) of x (m, n_in), or values (m, k) for regression.

        Raises:
          ValueError: what `outputs` refuses.
        """
        return self.decide(self.outputs(params, x))


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
        start at 0 and stay there, and the network is the narrow one: `narrow_params` cuts it out.
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
      >>> model.predict(params, jnp.zeros((2, 784))).shape, model.classify(params, jnp.zeros((2, 784))).shape
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


def params_to_arrays(network: Layer, params: Params) -> list[Array]:
    """The arrays of each single layer, in the order in which they are computed, whatever was stacked to be scanned.

    For an `mlp`, W_1, b_1, W_2, b_2, ..., each W (n_out, n_in), each b (n_out,): what other systems know as a network's
    weights. `params_from_arrays` is the inverse.

    Args:
      network: the `Layer` whose params they are.
      params: its params, or anything of their structure and shapes, such as gradients.

    Returns:
      A list of arrays, in the dtypes of params.

    Raises:
      ValueError: params of another network, or what is no `Layer`.

    Example:
      >>> import jax
      >>> model = mlp((8, 4, 4, 4, 1), scan=True)
      >>> params = model.init(jax.random.key(0))
      >>> [W.shape for W in params_to_arrays(model.network, params)[::2]]
      [(4, 8), (4, 4), (4, 4), (1, 4)]
    """
    check_layers("params_to_arrays", (network,))
    return [leaf for part in network.parts(params) for leaf in jax.tree.leaves(part)]


def params_from_arrays(network: Layer, in_shape: Shape, arrays: Sequence[Any]) -> Params:
    """Params for a network from arrays that another system made, so that it can be loaded and compared.

    Args:
      network: the `Layer` to make params for.
      in_shape: the shape of one example, as `network.init` takes it.
      arrays: those of each single layer in the order of the layers, as `params_to_arrays` gives them; for an `mlp`
        W_1, b_1, W_2, b_2, ..., each W (n_out, n_in). Any arrays, such as NumPy's. Floats are taken in JAX's default
        float dtype. Where the network scans equal layers, they are stacked here.

    Returns:
      Params of `network`, holding copies.

    Raises:
      ValueError: too few or too many arrays, one of another shape, or values that are no real numbers, or not finite.

    Example:
      >>> import jax.numpy as jnp, numpy as np
      >>> model = logistic_regression(2)
      >>> params = params_from_arrays(model.network, (2,), [np.array([[1.0, -1.0]]), np.array([0.5])])
      >>> print(model.outputs(params, jnp.array([[2.0, 1.0]])))
      [[1.5]]
    """
    expected = _expected("params_from_arrays", network, in_shape)
    params = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), expected)
    # The parts of NumPy arrays are views: what is written to them is written to params.
    views = params_to_arrays(network, params)
    names = _names(params, views)
    if isinstance(arrays, Mapping) or not np.iterable(arrays):
        fix = ": list(arrays.values()), if they stand in that order" if isinstance(arrays, Mapping) else ""
        raise ValueError(f"arrays is {described(arrays)}, expected a list of arrays, {', '.join(names)}{fix}")
    arrays = [np.asarray(a) for a in arrays]
    if len(arrays) != len(views):
        raise ValueError(f"the network has {len(views)} arrays ({', '.join(names)}), got {len(arrays)}")
    for name, array, view in zip(names, arrays, views, strict=True):
        if array.shape != view.shape:
            fix = ": it looks transposed, W is (n_out, n_in)" if array.shape == view.shape[::-1] else ""
            fix = ": b.ravel()" if view.ndim == 1 and array.size == view.size else fix
            raise ValueError(f"{name} has shape {view.shape}, got {array.shape}{fix}")
        if not is_real(array.dtype):
            raise ValueError(f"{name} is {array.dtype}, expected real numbers: array.astype(float)")
        with np.errstate(over="ignore"):
            view[...] = array.astype(view.dtype)
        if not np.isfinite(view).all():
            raise ValueError(
                f"{name} holds values that are not finite in {view.dtype.name}: the weights it came from are damaged"
            )
    return jax.device_put(params, may_alias=False)


def _names(params: Params, views: list[np.ndarray]) -> list[str]:
    """The key path of each array in params, followed by the number of the copy where it is one of a stack."""
    paths = {id(leaf): jax.tree_util.keystr(path) for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]}
    names, seen = [], dict.fromkeys(paths, 0)
    for view in views:
        whole = id(view) if id(view) in paths else id(view.base)
        names.append(paths[whole] + ("" if whole == id(view) else f"[{seen[whole]}]"))
        seen[whole] += 1
    return names


def narrow_params(network: Layer, in_shape: Shape, params: Params) -> Params:
    """The params of a narrow network, cut out of those of one with the same layers, of which its first units count.

    Args:
      network: the narrow `Layer`.
      in_shape: the shape of one example, as `network.init` takes it.
      params: of the wide network, `mlp(..., widths=...)`: those of the narrow one are each leaf's first entries.

    Returns:
      Params of `network`, each leaf in its shape.

    Raises:
      ValueError: params of another structure, a leaf too small, or what is no `Layer`, or no shape of an example.

    Example:
      >>> import jax
      >>> wide, narrow = mlp((3, 8, 1), widths=(2,)), mlp((3, 2, 1))
      >>> params = narrow_params(narrow.network, (3,), wide.init(jax.random.key(0)))
      >>> params[0]["W"].shape
      (2, 3)
    """
    expected = _expected("narrow_params", network, in_shape)
    if jax.tree.structure(expected) != jax.tree.structure(params):
        raise ValueError("params have another structure than the network's: expected those of the same layers, wider")

    def cut(path, like, leaf):
        if leaf.ndim != like.ndim or any(have < want for have, want in zip(leaf.shape, like.shape, strict=True)):
            name = jax.tree_util.keystr(path)
            raise ValueError(f"params{name} has shape {leaf.shape}, expected at least {like.shape} to cut from")
        return leaf[tuple(slice(n) for n in like.shape)]

    return jax.tree_util.tree_map_with_path(cut, expected, params)


@remembered
def _init_program(network: Layer, in_shape: Shape) -> Callable[[Key], Params]:
    # It runs once, so what counts is the time to compile it: half at this level of LLVM's, with the same numbers.
    return jax.jit(lambda key: network.init(key, in_shape)[0], compiler_options={"xla_backend_optimization_level": 1})


def _expected(name: str, network: Layer, in_shape: Shape) -> Params:
    """Shapes and dtypes of the params of a network, of any shapes."""
    check_layers(name, (network,))
    check_shape(in_shape)
    return jax.eval_shape(lambda: network.init(jax.random.key(0), in_shape)[0])


def _inputs(x: Any) -> Array:
    """Inputs (..., n_in) as an array, whatever they came in."""
    given, x = x, as_array("x", x)
    if not is_real(x.dtype) and x.dtype != bool:
        raise ValueError(f"x is {described(x)}, expected an array of numbers, (m, n_in): {fix_of_dtype('x', given)}")
    return floats(x)


def _labels(z: Array) -> Array:
    # One logit an example makes labels (m,); k independent ones, (m, k).
    labels = (z > 0).astype(jnp.int32)
    return labels[..., 0] if labels.shape[-1] == 1 else labels


def _yes_probability(z: Array) -> Array:
    return jax.nn.sigmoid(z)


def _probabilities(z: Array) -> Array:
    return jax.nn.softmax(z)


def _class(z: Array) -> Array:
    return jnp.argmax(z, axis=-1)


def _unchanged(z: Array) -> Array:
    return z


# Where the scan's copying of params and caches no longer costs time in a step, measured on two CPU cores. Wider layers
# have more to copy: 64 of 512 units took 1.1 times as long.
_SCAN_DEPTH, _SCAN_WIDTH = 64, 64

_OUTPUTS: dict[str, tuple[Loss, Callable[[Array], Array], Callable[[Array], Array]]] = {
    "binary": (sigmoid_cross_entropy(), _yes_probability, _labels),
    "softmax": (softmax_cross_entropy(), _probabilities, _class),
    "linear": (squared_error(), _unchanged, _unchanged),
    "relu": (squared_error(), _unchanged, _unchanged),
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
    narrow = [narrow_initializer(*each) for each in zip(inits, ends[:-1], ends[1:], strict=True)]
    return narrow, [first_units(layer, n) for layer, n in zip(hidden, widths, strict=True)]


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
