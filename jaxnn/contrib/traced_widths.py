"""Networks whose widths may be traced: many widths share one compiled program, that of the widest network.

Hidden layers are made as wide as the widest, all units but the first n are masked, and the weights of masked units
start at 0. So the network computes and learns what a network with n units does, and n is a number that may vary over
a population.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import ExampleTree, OneOf, Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.models.feedforward import SIZES, OutputName, as_activation, mlp, one_each
from jaxnn.models.model import Model, shapes_of_params
from jaxnn.nn.activations import ActivationName, sigmoid
from jaxnn.nn.boundaries import call_forward
from jaxnn.nn.composition import chain
from jaxnn.nn.initializers import INITIALIZERS, InitializerName
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.nn.linear import dense
from jaxnn.nn.stochastic import dropout
from jaxnn.typing import Array, Initializer, Params, PyTree, Scalar, Shapes


@checked(sizes=SIZES)
def traced_width_mlp(
    sizes: Sequence[int],
    widths: Any,
    activation: ActivationName | Layer | Sequence[ActivationName | Layer] = "relu",
    *,
    output: OutputName = "binary",
    init: InitializerName | Sequence[InitializerName] = "lecun",
    dropout_rate: Scalar | Sequence[Scalar] = 0.0,
    input_dropout_rate: Scalar = 0.0,
) -> Model:
    """Return an `mlp` of which each hidden layer uses only its first units, as many as `widths`, which may be traced.

    Networks of many widths then share one program, such as the members of a population. The other units are masked,
    their weights start at 0 and stay there, and `slice_params` returns the params of the narrow network.

    Args:
      sizes: units from the inputs to the outputs, (n_0, n_1, ..., n_L), of the widest network.
      widths: the number of units of each hidden layer to use, from 1 to its size, or one number for all of them.
      activation: as `mlp` takes it.
      output: as `mlp` takes it.
      init: a name in `INITIALIZERS`, or a sequence with one per dense layer. Weights start with the standard deviation
        that they have in the narrow network.
      dropout_rate: as `mlp` takes it.
      input_dropout_rate: as `mlp` takes it.

    Returns:
      A `Model`, with the params of `mlp(sizes, ...)`.

    Raises:
      ValueError: if a width is not a whole number in its range, an initializer is not a name, or another argument is
        one that `mlp` rejects.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def probabilities(width):
      ...     model = traced_width_mlp((3, 8, 1), width, "tanh")
      ...     return model.predict_proba(model.init(jax.random.key(0)), jnp.ones((2, 3)))
      >>> jax.vmap(probabilities)(jnp.array([1, 4, 8])).shape  # three networks, one program
      (3, 2, 1)
    """
    hidden = sizes[1:-1]
    activations = map(as_activation, one_each("activation", activation, len(hidden), (str, Layer)))
    widths = one_each("widths", widths, len(hidden), (int, float, np.generic, np.ndarray, jax.Array))
    for size, width in zip(hidden, widths, strict=True):
        Real(1, size, whole=True, description=f"whole numbers from 1 to the layer's size, {size}").check(
            "widths", width
        )
    used = [sizes[0], *widths, sizes[-1]]
    inits = one_each("init", init, len(hidden) + 1, (str, Callable, int, float, np.generic))
    return mlp(
        sizes,
        [mask_units(layer, n) for layer, n in zip(activations, widths, strict=True)],
        output=output,
        init=[sliced_initializer(*of_layer) for of_layer in zip(inits, used[:-1], used[1:], strict=True)],
        dropout_rate=dropout_rate,
        input_dropout_rate=input_dropout_rate,
    )


@factory
@checked(layer=LAYER, n=Real(1, whole=True, description="a whole number of at least 1"))
def mask_units(layer: Layer, n: Array | int) -> Layer:
    """Return the layer with all but its first n units masked: y_j = f(x)_j for j < n, and 0 for the others.

    n may be traced, such as a hyperparameter that varies over a population: networks of different widths then share one
    program, that of the widest. A masked unit has no influence and its cotangent is 0, so its weights get no gradient:
    with a mask after every hidden layer, a network computes and learns what the narrow one does.

    Derivation. y = f(x) ⊙ 1[j < n] is linear in f(x), element by element, so f(x)'s cotangent is dy ⊙ 1[j < n], and
    f's own backward does the rest.

    Args:
      layer: any `Layer`, such as an activation; its last axis is that of the units.
      n: number of units to keep, a whole number of at least 1; with fewer units, all are kept.

    Returns:
      A `Layer` with the params and the cache of `layer`.

    Raises:
      ValueError: if n is not a whole number of at least 1.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> layer = mask_units(jaxnn.sigmoid(), 2)
      >>> layer.forward((), jnp.zeros((1, 4)))[0].tolist()
      [[0.5, 0.5, 0.0, 0.0]]
    """

    def forward(params, x, key=None, rows=None):
        y, cache = call_forward(layer, params, x, key, rows)
        return _first(y, n), cache

    def backward(params, cache, dy):
        return layer.backward(params, cache, _first(dy, n))

    def infer(params, stats, x):
        return _first(layer.infer(params, stats, x), n)

    return layer._replace(forward=forward, backward=backward, infer=infer, carried=None)


def _first(tree: PyTree, n: Array | int) -> PyTree:
    def first(y):
        # `where`, not a product: a masked unit may have overflowed.
        return jnp.where(jax.lax.broadcasted_iota(jnp.int32, y.shape, y.ndim - 1) < n, y, 0)

    return jax.tree.map(lambda y: y if y.dtype == jax.dtypes.float0 else first(y), tree)


_DEVIATIONS = {
    **dict.fromkeys(("zeros", "normal"), lambda n_in, n_out: 1.0),
    **dict.fromkeys(("lecun", "he"), lambda n_in, n_out: n_in**-0.5),
    "glorot": lambda n_in, n_out: (n_in + n_out) ** -0.5,
}


@factory
@checked(name=OneOf(_DEVIATIONS, of="the initializers "))
def sliced_initializer(name: InitializerName, n_in: Array | int, n_out: Array | int) -> Initializer:
    """Return the named initializer of a layer of n_in inputs and n_out units, in the corner of a larger weight matrix.

    Args:
      name: one of `INITIALIZERS`.
      n_in: inputs that are used; may be traced.
      n_out: units that are used; may be traced.

    Returns:
      An initializer: for the shape (N_in, N_out) it draws what the named one draws, scales it to the standard deviation
      of the shape (n_in, n_out), and sets weights outside of that corner to 0.

    Raises:
      ValueError: if the name is unknown, or a function, whose standard deviation is unknown.

    Example:
      >>> import jax
      >>> print(sliced_initializer("normal", 1, 2)(jax.random.key(0), (2, 3)) != 0)
      [[ True  True False]
       [False False False]]
    """

    def initializer(key, shape, dtype=jnp.float32):
        n_rows, n_columns = (jnp.asarray(n, dtype) for n in (n_in, n_out))
        scale = _DEVIATIONS[name](n_rows, n_columns) / _DEVIATIONS[name](*(float(n) for n in shape))
        rows, columns = (jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))
        corner = (rows < n_in) & (columns < n_out)
        return jnp.where(corner, INITIALIZERS[name]()(key, shape, dtype) * scale, 0)

    return initializer


@checked(network=LAYER, in_shape=ExampleTree())
def slice_params(network: Layer, in_shape: Shapes, params: Params) -> Params:
    """Slice the params of a narrow network from those of a wider one with masked units.

    Args:
      network: the narrow `Layer`.
      in_shape: the shape of one example, as `network.init` takes it.
      params: of the wide network, such as a `traced_width_mlp`; those of the narrow one are the first entries of each
        leaf. Layers without params, such as dropout, may differ.

    Returns:
      Params of `network`, each leaf in its shape.

    Raises:
      ValueError: if `network` is not a `Layer`, `in_shape` is not the shape of an example, or params have another
        number of leaves or a leaf that is too small.

    Example:
      >>> import jax, jaxnn
      >>> wide, narrow = traced_width_mlp((3, 8, 1), widths=2), jaxnn.mlp((3, 2, 1))
      >>> params = slice_params(narrow.network, (3,), wide.init(jax.random.key(0)))
      >>> params[0]["W"].shape
      (2, 3)
    """
    shapes = shapes_of_params(network, in_shape)
    expected, structure = jax.tree_util.tree_flatten_with_path(shapes)
    leaves = jax.tree.leaves(params)
    if len(leaves) != len(expected):
        raise ValueError(f"params must be {len(expected)} arrays, as the narrow network has, got {len(leaves)}")
    for (path, like), leaf in zip(expected, leaves, strict=True):
        if leaf.ndim != like.ndim or any(have < want for have, want in zip(leaf.shape, like.shape, strict=True)):
            name = jax.tree_util.keystr(path)
            raise ValueError(f"params{name} must be at least {like.shape} to be sliced, got {leaf.shape}")
    sliced = [leaf[tuple(map(slice, like.shape))] for (_, like), leaf in zip(expected, leaves, strict=True)]
    return jax.tree.unflatten(structure, sliced)


CASES = {
    "mask_units": (lambda: mask_units(chain(dense(4), sigmoid()), 2), (5,)),
    "mask_units_dropout": (lambda: mask_units(chain(dense(5), sigmoid(), dropout(0.4)), 3), (5,), {"random": True}),
    "traced_width_mlp": (lambda: traced_width_mlp((5, 4, 2), 3, "sigmoid"), (5,)),
}
