"""Params as a flat list of arrays, as other systems have them, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxnn.models.model import shapes_of_params
from jaxnn.nn.layer import Layer, check_layers
from jaxnn.typing import Array, Params, Shape
from jaxnn.validation import described, is_real


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
      >>> import jax, jaxnn
      >>> model = jaxnn.mlp((8, 4, 4, 4, 1), scan=True)
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
      >>> import jax.numpy as jnp, jaxnn, numpy as np
      >>> model = jaxnn.logistic_regression(2)
      >>> params = params_from_arrays(model.network, (2,), [np.array([[1.0, -1.0]]), np.array([0.5])])
      >>> print(model.outputs(params, jnp.array([[2.0, 1.0]])))
      [[1.5]]
    """
    expected = shapes_of_params("params_from_arrays", network, in_shape)
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


def slice_params(network: Layer, in_shape: Shape, params: Params) -> Params:
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
      >>> import jax, jaxnn
      >>> wide, narrow = jaxnn.mlp((3, 8, 1), widths=(2,)), jaxnn.mlp((3, 2, 1))
      >>> params = slice_params(narrow.network, (3,), wide.init(jax.random.key(0)))
      >>> params[0]["W"].shape
      (2, 3)
    """
    expected = shapes_of_params("slice_params", network, in_shape)
    if jax.tree.structure(expected) != jax.tree.structure(params):
        raise ValueError("params have another structure than the network's: expected those of the same layers, wider")

    def cut(path, like, leaf):
        if leaf.ndim != like.ndim or any(have < want for have, want in zip(leaf.shape, like.shape, strict=True)):
            name = jax.tree_util.keystr(path)
            raise ValueError(f"params{name} has shape {leaf.shape}, expected at least {like.shape} to cut from")
        return leaf[tuple(slice(n) for n in like.shape)]

    return jax.tree_util.tree_map_with_path(cut, expected, params)
