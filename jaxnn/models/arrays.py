"""Convert params to a flat list of arrays, as other libraries have them, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxnn.arrays import check_real
from jaxnn.constraints import Constraint, ExampleTree, checked
from jaxnn.models.model import shapes_of_params
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.typing import Array, Params, Shapes


@checked(network=LAYER)
def params_to_arrays(network: Layer, params: Params) -> list[Array]:
    """Flatten params to [W_1, b_1, W_2, b_2, ...] in execution order, unstacking scanned layers.

    For an `mlp`, each W is (n_out, n_in) and each b (n_out,), which other libraries call the weights of a network.
    `params_from_arrays` is the inverse.

    Args:
      network: the `Layer` whose params they are.
      params: its params, or a pytree of the same structure and shapes, such as gradients.

    Returns:
      A list of arrays, in the dtypes of params.

    Raises:
      ValueError: if `network` is not a `Layer`, or params are those of another network.

    Example:
      >>> import jax, jaxnn
      >>> model = jaxnn.mlp((8, 4, 4, 4, 1), scan=True)
      >>> params = model.init(jax.random.key(0))
      >>> [W.shape for W in params_to_arrays(model.network, params)[::2]]
      [(4, 8), (4, 4), (4, 4), (1, 4)]
    """
    return [leaf for part in network.parts(params) for leaf in jax.tree.leaves(part)]


_ARRAYS = Constraint(
    "a list of arrays, as params_to_arrays returns them",
    (None, 3, {"W": np.zeros((2, 2))}),
    lambda arrays: "list(arrays.values()), if they are in that order" if isinstance(arrays, Mapping) else "",
    test=lambda arrays: np.iterable(arrays) and not isinstance(arrays, Mapping),
)


@checked(network=LAYER, in_shape=ExampleTree(), arrays=_ARRAYS)
def params_from_arrays(network: Layer, in_shape: Shapes, arrays: Sequence[Any]) -> Params:
    """Make params of a network from the arrays of another library.

    Args:
      network: the `Layer` to make params for.
      in_shape: the shape of one example, as `network.init` takes it.
      arrays: those of each primitive layer in execution order, as `params_to_arrays` returns them; for an `mlp`
        W_1, b_1, W_2, b_2, ..., each W (n_out, n_in). Any array-likes, such as NumPy arrays; floats are converted to
        JAX's default float dtype. If the network scans equal layers, their arrays are stacked.

    Returns:
      Params of `network`, holding copies.

    Raises:
      ValueError: if the number of arrays or a shape is wrong, or values are not real or not finite.

    Example:
      >>> import jax.numpy as jnp, jaxnn, numpy as np
      >>> model = jaxnn.logistic_regression(2)
      >>> params = params_from_arrays(model.network, (2,), [np.array([[1.0, -1.0]]), np.array([0.5])])
      >>> print(model.outputs(params, jnp.array([[2.0, 1.0]])))
      [[1.5]]
    """
    expected = shapes_of_params(network, in_shape)
    params = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), expected)
    # The parts of NumPy arrays are views, so writing to them writes to params.
    views = params_to_arrays(network, params)
    names = _names(params, views)
    arrays = [np.asarray(a) for a in arrays]
    if len(arrays) != len(views):
        raise ValueError(f"arrays must be {len(views)} ({', '.join(names)}), got {len(arrays)}")
    for name, array, view in zip(names, arrays, views, strict=True):
        if array.shape != view.shape:
            fix = ": W is (n_out, n_in), transpose it" if array.shape == view.shape[::-1] else ""
            fix = ": b.ravel()" if view.ndim == 1 and array.size == view.size else fix
            raise ValueError(f"{name} must have shape {view.shape}, got {array.shape}{fix}")
        check_real(name, array, array, "array.astype(float)")
        with np.errstate(over="ignore"):
            view[...] = array.astype(view.dtype)
        if not np.isfinite(view).all():
            raise ValueError(f"{name} must be finite in {view.dtype.name}, got inf or NaN: the weights are damaged")
    return jax.device_put(params, may_alias=False)


def _names(params: Params, views: Sequence[Any]) -> list[str]:
    """Return the key path of each array in params, followed by the number of the copy if it is one of a stack."""
    paths = {id(leaf): jax.tree_util.keystr(path) for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]}
    names, copies = [], dict.fromkeys(paths, 0)
    for view in views:
        leaf = id(view) if id(view) in paths else id(view.base)
        names.append(paths[leaf] + ("" if leaf == id(view) else f"[{copies[leaf]}]"))
        copies[leaf] += 1
    return names
