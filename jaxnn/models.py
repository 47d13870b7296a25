"""Models: a network, the loss that fits its output, and how to read the output. Logistic regression to L layers."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.activations import ACTIVATIONS, relu
from jaxnn.dense import dense, narrow_initializer
from jaxnn.dropout import dropout
from jaxnn.layer import Layer, chain
from jaxnn.losses import Loss, sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from jaxnn.typing import Array, Initializer, Key, Params, Shape
from jaxnn.units import first_units


class Model(NamedTuple):
    """A network with what belongs to its kind of output.

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
        """Fresh params of the network, from a random key (scalar), in one compiled program."""
        if isinstance(key, jax.core.Tracer):  # already inside somebody's program
            return self.network.init(key, self.in_shape)[0]
        return _init(self.network, self.in_shape, key)

    def outputs(self, params: Params, x: Array) -> Array:
        """z, (m, k), for inputs x (m, n_in): the forward without randomness."""
        return self.network.forward(params, x)[0]

    def predict(self, params: Params, x: Array) -> Array:
        """`response` of the outputs: probabilities (m, k) of x (m, n_in), or values (m, k) for regression."""
        return self.response(self.outputs(params, x))

    def classify(self, params: Params, x: Array) -> Array:
        """`decide` of the outputs: labels (m,) of x (m, n_in), or values (m, k) for regression."""
        return self.decide(self.outputs(params, x))


def mlp(
    sizes: Sequence[int],
    activation: str | Layer | Sequence[str | Layer] = "relu",
    *,
    output: str = "binary",
    init: str | Initializer | Sequence[str | Initializer] = "lecun",
    dropout_rate: float | Sequence[float] = 0.0,
    widths: Sequence[Any] | None = None,
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
      widths: how many units of each hidden layer count, from 1 to its size; all of them by default. May be traced, so
        that networks of many widths are one program, as members of a population. The rest are silent, their weights
        start at 0 and stay there, and the network is the narrow one: `narrow_params` cuts it out.

    Returns:
      A `Model`.

    Raises:
      ValueError: fewer than two sizes, a size below 1, an unknown name, or a sequence of another length.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = mlp((784, 512, 512, 10), "relu", output="softmax", init="he")
      >>> params = model.init(jax.random.key(0))
      >>> model.predict(params, jnp.zeros((2, 784))).shape, model.classify(params, jnp.zeros((2, 784))).shape
      ((2, 10), (2,))
    """
    sizes = tuple(sizes) if np.iterable(sizes) else (sizes,)
    if len(sizes) < 2 or not all(isinstance(n, int | np.integer) and n >= 1 for n in sizes):
        raise ValueError(f"mlp takes sizes (n_0, ..., n_L), two or more whole numbers of at least 1, got {sizes}")
    if output not in _OUTPUTS:
        raise ValueError(f"unknown output {output!r}: expected one of {sorted(_OUTPUTS)}")
    if output == "softmax" and sizes[-1] < 2:
        raise ValueError("a softmax over one class is always 1: give a size per class, or output='binary'")
    n_hidden = len(sizes) - 2
    activations = _one_each("activation", activation, n_hidden, (str, Layer))
    rates = _one_each("dropout_rate", dropout_rate, n_hidden, (int, float, np.generic, np.ndarray, jax.Array))
    inits = _one_each("init", init, n_hidden + 1, (str, Callable))
    hidden = [_activation(activation) for activation in activations]
    if widths is not None:
        inits, hidden = _narrowed(sizes, inits, hidden, widths)
    layers = []
    for size, layer_init, activation_layer, rate in zip(sizes[1:-1], inits[:-1], hidden, rates, strict=True):
        layers += [dense(size, layer_init), activation_layer]
        layers += [dropout(rate)] if _may_drop(rate) else []
    layers.append(dense(sizes[-1], inits[-1]))
    if output == "relu":
        layers.append(relu())
    return Model(chain(*layers), (int(sizes[0]),), *_OUTPUTS[output])


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
    if not isinstance(classes, int | np.integer) or classes < 2 or not isinstance(n_in, int | np.integer) or n_in < 1:
        raise ValueError(f"logistic_regression takes at least 1 feature and 2 classes, got {n_in} and {classes}")
    return mlp((n_in, 1 if classes == 2 else classes), output="binary" if classes == 2 else "softmax", init="zeros")


def params_from_arrays(network: Layer, in_shape: Shape, arrays: Sequence[Any]) -> Params:
    """Params for a network from arrays that another system made, so that it can be loaded and compared.

    Args:
      network: the `Layer` to make params for.
      in_shape: the shape of one example, as `network.init` takes it.
      arrays: its leaves in the order of the layers, for an `mlp` W_1, b_1, W_2, b_2, ..., each W (n_out, n_in). Any
        arrays, such as NumPy's. Floats are taken in JAX's default float dtype.

    Returns:
      Params of `network`, holding copies.

    Raises:
      ValueError: too few or too many arrays, one of another shape, or values that are not finite.

    Example:
      >>> import jax.numpy as jnp, numpy as np
      >>> model = logistic_regression(2)
      >>> params = params_from_arrays(model.network, (2,), [np.array([[1.0, -1.0]]), np.array([0.5])])
      >>> print(model.outputs(params, jnp.array([[2.0, 1.0]])))
      [[1.5]]
    """
    expected = jax.eval_shape(lambda key: network.init(key, in_shape)[0], jax.random.key(0))
    leaves = jax.tree_util.tree_flatten_with_path(expected)[0]
    names = [jax.tree_util.keystr(path) for path, _ in leaves]
    arrays = [np.asarray(a) for a in arrays]
    if len(arrays) != len(leaves):
        raise ValueError(f"the network has {len(leaves)} arrays ({', '.join(names)}), got {len(arrays)}")
    copies = []
    for name, array, (_, leaf) in zip(names, arrays, leaves, strict=True):
        if array.shape != leaf.shape:
            transposed = ": it looks transposed, W is (n_out, n_in)" if array.shape == leaf.shape[::-1] else ""
            raise ValueError(f"{name} has shape {leaf.shape}, got {array.shape}{transposed}")
        with np.errstate(over="ignore"):
            array = array.astype(leaf.dtype)
        if not np.isfinite(array).all():
            raise ValueError(
                f"{name} holds values that are not finite in {leaf.dtype.name}: the weights it came from are damaged"
            )
        copies.append(jnp.array(array))
    return jax.tree.unflatten(jax.tree.structure(expected), copies)


def narrow_params(network: Layer, in_shape: Shape, params: Params) -> Params:
    """The params of a narrow network, cut out of those of one with the same layers, of which its first units count.

    Args:
      network: the narrow `Layer`.
      in_shape: the shape of one example, as `network.init` takes it.
      params: of the wide network, `mlp(..., widths=...)`: those of the narrow one are each leaf's first entries.

    Returns:
      Params of `network`, each leaf in its shape.

    Raises:
      ValueError: params of another structure, or a leaf too small.

    Example:
      >>> import jax
      >>> wide, narrow = mlp((3, 8, 1), widths=(2,)), mlp((3, 2, 1))
      >>> params = narrow_params(narrow.network, (3,), wide.init(jax.random.key(0)))
      >>> params[0]["W"].shape
      (2, 3)
    """
    expected = jax.eval_shape(lambda key: network.init(key, in_shape)[0], jax.random.key(0))
    if jax.tree.structure(expected) != jax.tree.structure(params):
        raise ValueError("params have another structure than the network's: expected those of the same layers, wider")

    def cut(path, like, leaf):
        if leaf.ndim != like.ndim or any(have < want for have, want in zip(leaf.shape, like.shape, strict=True)):
            name = jax.tree_util.keystr(path)
            raise ValueError(f"params{name} has shape {leaf.shape}, expected at least {like.shape} to cut from")
        return leaf[tuple(slice(n) for n in like.shape)]

    return jax.tree_util.tree_map_with_path(cut, expected, params)


# It runs once, so what counts is the time to compile it: half at this level of LLVM's, and the numbers are the same.
@partial(jax.jit, static_argnums=(0, 1), compiler_options={"xla_backend_optimization_level": 1})
def _init(network: Layer, in_shape: Shape, key: Key) -> Params:
    return network.init(key, in_shape)[0]


def _labels(z: Array) -> Array:
    # One logit an example makes labels (m,); k independent ones, (m, k).
    labels = (z > 0).astype(jnp.int32)
    return labels[:, 0] if labels.shape[-1] == 1 else labels


def _unchanged(z: Array) -> Array:
    return z


_OUTPUTS: dict[str, tuple[Loss, Callable[[Array], Array], Callable[[Array], Array]]] = {
    "binary": (sigmoid_cross_entropy(), jax.nn.sigmoid, _labels),
    "softmax": (softmax_cross_entropy(), jax.nn.softmax, lambda z: jnp.argmax(z, axis=-1)),
    "linear": (squared_error(), _unchanged, _unchanged),
    "relu": (squared_error(), _unchanged, _unchanged),
}


def _narrowed(
    sizes: Sequence[int], inits: list[Any], hidden: list[Layer], widths: Sequence[Any]
) -> tuple[list[Initializer], list[Layer]]:
    """Initialisers and activations of a network of which the first `widths` units of each hidden layer count."""
    widths = _one_each("widths", list(widths) if np.iterable(widths) else widths, len(hidden), ())
    for size, width in zip(sizes[1:-1], widths, strict=True):
        if not isinstance(width, jax.core.Tracer) and not 1 <= width <= size:
            raise ValueError(f"widths are from 1 to the size of their layer, got {width} for a layer of {size}")
    ends = [sizes[0], *widths, sizes[-1]]
    narrow = [narrow_initializer(*each) for each in zip(inits, ends[:-1], ends[1:], strict=True)]
    return narrow, [first_units(layer, n) for layer, n in zip(hidden, widths, strict=True)]


def _activation(activation: str | Layer) -> Layer:
    if isinstance(activation, Layer):
        return activation
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}: expected one of {sorted(ACTIVATIONS)}, or a Layer")
    return ACTIVATIONS[activation]()


def _one_each(name: str, given: Any, n: int, single: tuple[type, ...]) -> list[Any]:
    """`given` n times where it is a single value, else the sequence itself, which must have n entries."""
    if isinstance(given, single) and getattr(given, "ndim", 0) == 0:
        return [given] * n
    if isinstance(given, str) or not np.iterable(given):
        fix = f": {given.__name__}() makes one" if hasattr(given, "__name__") else ""
        raise ValueError(f"{name} takes one value, or a sequence with one per layer, got {given!r}{fix}")
    given = list(given)
    if len(given) != n:
        raise ValueError(f"{name} has {len(given)} entries, expected one value, or {n}: one per layer it applies to")
    return given


def _may_drop(rate: Any) -> bool:
    # A traced rate is a number that only the running program knows.
    return isinstance(rate, jax.core.Tracer) or rate != 0
