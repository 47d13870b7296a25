"""Convert array-likes to dtypes that JAX programs can hold."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.validation import AT_EVERY_TIME, described, has_lengths, is_real


def as_array(name: str, a: Any) -> Any:
    """Return a jax.Array unchanged; convert anything else, such as a list, to a NumPy array of a dtype that JAX has.

    Other byte orders, as in FITS and idx files, become the machine's; long doubles become float64.

    Raises:
      ValueError: if it cannot be converted to an array, or entries of it are masked.

    Example:
      >>> as_array("x", np.ones(2, ">f4")).dtype.name
      'float32'
    """
    if isinstance(a, jax.Array):
        return a
    if has_lengths(a):
        raise ValueError(f"{name} must be an array, got Sequences: {AT_EVERY_TIME}")
    if isinstance(a, np.ma.MaskedArray) and np.ma.is_masked(a):
        masked = np.ma.count_masked(a)
        raise ValueError(f"{name} must have no masked entries, got {masked}: fill them with {name}.filled(value)")
    try:
        array = np.asarray(a)
    except ValueError:
        raise ValueError(f"{name} must be an array, got {described(a)}, whose entries differ in shape") from None
    if array.ndim == 0 and array.dtype.kind in "OSU":
        fix = f": {name}.toarray()" if hasattr(a, "toarray") else ""
        raise ValueError(f"{name} must be an array, got {described(a)}{fix}")
    return _native(array)


def is_tree(a: Any) -> bool:
    """Return whether data are several arrays, a dictionary or a tuple of them; a list is one array."""
    return isinstance(a, dict) or (isinstance(a, tuple) and any(is_tree(one) or hasattr(one, "shape") for one in a))


def map_arrays(function: Callable[[str, Any], Any], name: str, tree: Any) -> Any:
    """Return the tree of `function(path, array)`, with paths such as "x" for one array and "x['image']" for several.

    An entry that is missing, None, stays so; None instead of the whole tree is passed to the function.
    """

    def is_leaf(node):
        return not is_tree(node) and (node is not None or tree is None)

    return jax.tree_util.tree_map_with_path(
        lambda path, a: function(f"{name}{jax.tree_util.keystr(path)}", a), tree, is_leaf=is_leaf
    )


def promote_large_integers(a: Any) -> Any:
    """Convert a NumPy array of whole numbers that JAX would truncate to JAX's default float dtype.

    JAX truncates int64 and uint64 to 32 bits, so that 3 000 000 000 becomes -1 294 967 296. Other NumPy arrays keep
    their dtype in the machine's byte order; a jax.Array or an argument of another type is returned unchanged.

    Example:
      >>> promote_large_integers(np.array([3_000_000_000])).tolist(), promote_large_integers(np.array([3])).dtype.name
      ([3000000000.0], 'int64')
    """
    if not isinstance(a, np.ndarray | np.generic):
        return a
    a = _native(np.asarray(a))
    return a if _always_fits(a.dtype) or fits(a).all() else a.astype(jnp.result_type(float))


def real_numbers(a: Any, name: str = "x") -> Any:
    """Return a NumPy or JAX array of real numbers or booleans; whole numbers that JAX would truncate become floats.

    Raises:
      ValueError: if it cannot be converted to an array, or its entries are not real numbers.
    """
    array = promote_large_integers(a if hasattr(a, "dtype") else as_array(name, a))
    check_real(name, array, a)
    return array


def floats(a: Any, name: str = "x") -> Any:
    """Return a jax.Array of floats: floats unchanged, whole numbers and booleans in JAX's default float dtype.

    Raises:
      ValueError: if it cannot be converted to an array, or its entries are not real numbers.

    Example:
      >>> floats(np.array([-1, 2])).dtype.name
      'float32'
    """
    array = real_numbers(a, name)
    if jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool:
        array = array.astype(jnp.result_type(float))
    return jnp.asarray(array) if isinstance(array, np.ndarray) else array


def widened(x: Any) -> Any:
    """Return an array in float32 at least."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


def wide_einsum(axes: str, a: Any, b: Any) -> Any:
    """Return the product of two arrays by `jnp.einsum`, added up, and returned, in float32 at least."""
    dtype = jnp.result_type(a, b)
    return jnp.einsum(axes, a, b, preferred_element_type=dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32)


def in_memory(x: Any) -> Any:
    """Return x itself, which XLA then computes once, not again in every operation that reads it."""
    return jax.lax.optimization_barrier(x)


def cast_like(like: Any, a: Any) -> Any:
    """Cast an array to the dtype of another, as a gradient to that of its variable; a float0 stays one."""
    return a if a.dtype == jax.dtypes.float0 else a.astype(like.dtype)


def add_cotangents(*cotangents: Any) -> Any:
    """Return the sum of pytrees of cotangents, leaf by leaf: of whole numbers, for which one is a float0, a float0."""

    def add(*leaves):
        float0s = [leaf for leaf in leaves if leaf.dtype == jax.dtypes.float0]
        others = [leaf for leaf in leaves if leaf.dtype != jax.dtypes.float0]
        if float0s and not any(jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in others):
            return float0s[0]
        return sum(others[1:], others[0])

    return jax.tree.map(add, *cotangents)


def zero_cotangent(a: Any) -> Any:
    """Return the cotangent of a variable without influence, 0; of whole numbers and booleans a float0, as `jax.vjp`.

    Example:
      >>> zero_cotangent(np.array([1, 2])).dtype == jax.dtypes.float0, zero_cotangent(np.ones(2)).dtype.name
      (True, 'float32')
    """
    if jnp.issubdtype(a.dtype, jnp.inexact):
        return jnp.zeros_like(a)
    return np.zeros(a.shape, jax.dtypes.float0)


def check_real(name: str, array: Any, given: Any, fix: str = "") -> None:
    """Raise ValueError unless an array holds real numbers or booleans; `fix` replaces the hint on what was given."""
    if not is_real(array.dtype) and array.dtype != bool:
        raise ValueError(f"{name} must be real numbers, got {described(array)}: {fix or dtype_hint(name, given)}")


def check_finite(name: str, array: Any, wrong: np.ndarray) -> None:
    """Raise ValueError with the place of the first entry that is not finite, by a mask of these entries."""
    if wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name} must be finite, got {array[first]} at {first} and {int(wrong.sum())} such values in all: "
            "drop those examples or fill in the values"
        )


def check_labels(labels: Any, classes: int) -> None:
    """Raise ValueError unless each label is from 0 to classes-1."""
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"y must be labels of {classes} classes, from 0 to {classes - 1}, got {labels.min()} to {labels.max()}: "
            "number the classes from 0"
        )


def as_index(numbers: Any, size: int) -> Any:
    """Return whole numbers as indices of an axis, in 32 bits at least: a negative one, as if past the end, is `size`.

    JAX would count it from the end; what is past the end can be filled with NaN, or dropped.
    """
    return jnp.where(numbers < 0, size, numbers.astype(jnp.promote_types(numbers.dtype, jnp.int32)))


def fits(a: Any) -> Any:
    """Return a mask, in the shape of a, of the entries that JAX can hold: no whole numbers outside of int32."""
    if isinstance(a, jax.Array) or _always_fits(a.dtype):
        return np.ones(np.shape(a), bool)
    bounds = jnp.iinfo(jax.dtypes.canonicalize_dtype(a.dtype))
    return (a >= bounds.min) & (a <= bounds.max)


def _always_fits(dtype: np.dtype) -> bool:
    return dtype.kind not in "iu" or jax.dtypes.canonicalize_dtype(dtype) == dtype


def _native(array: np.ndarray) -> np.ndarray:
    dtype = array.dtype.newbyteorder("=")
    if dtype == np.longdouble or dtype == np.clongdouble:
        dtype = np.dtype(np.float64 if dtype == np.longdouble else np.complex128)
    with np.errstate(over="ignore", under="ignore"):
        return array.astype(dtype, copy=False)


def dtype_hint(name: str, given: Any) -> str:
    """Return the end of a message: how to convert inputs (m, ...) to floats.

    Example:
      >>> dtype_hint("x", np.full((2, 8, 8, 3), 200, np.uint8)), dtype_hint("x", np.ones((2, 3), int))
      ("x.astype('float32') / 255 for images of 0 to 255", "x.astype('float32')")
    """
    columns = _columns_without_numbers(given)
    if columns or not _reads_as_numbers(given):
        what = f"columns {', '.join(columns)} are" if columns else "words are"
        return f"{what} not numeric, drop them or encode them, such as 0 and 1 for each word"
    shape = np.shape(given)
    large = len(shape) > 2 or (len(shape) == 2 and shape[1] >= 64)
    image = getattr(given, "dtype", None) == np.uint8 and large and given.max() > 1
    return f"{name}.astype('float32')" + (" / 255 for images of 0 to 255" if image else "")


def _reads_as_numbers(a: Any) -> bool:
    """Return whether `astype("float32")` accepts an array: it parses "1.5" and raises for other words."""
    if getattr(a, "dtype", np.dtype(int)).kind not in "USO":
        return True
    try:
        np.asarray(a).astype(np.float32)
    except (TypeError, ValueError):
        return False
    return True


def _columns_without_numbers(frame: Any) -> list[str]:
    """Return the columns of a data frame (pandas or similar) that are not numeric, such as words and dates."""
    if not (hasattr(frame, "columns") and hasattr(frame, "dtypes")):
        return []
    return [repr(name) for name in frame.columns if np.asarray(frame[name]).dtype.kind not in "biufc"]
