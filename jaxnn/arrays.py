"""Anything that is an array, in a dtype that a program can hold."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.validation import described


def as_array(name: str, a: Any) -> Any:
    """Return an array (...) of JAX's as it is, and any other, such as a list, as one of NumPy's in a dtype of JAX's.

    Bytes in the other order, as FITS and idx files have them, are put in the machine's; long doubles become float64.

    Raises:
      ValueError: if it makes no array, or entries of it are masked.

    Example:
      >>> as_array("x", np.ones(2, ">f4")).dtype.name
      'float32'
    """
    if isinstance(a, jax.Array):
        return a
    if isinstance(a, np.ma.MaskedArray) and np.ma.is_masked(a):
        raise ValueError(f"{name} is masked at {np.ma.count_masked(a)} places: fill them in, {name}.filled(value)")
    try:
        array = np.asarray(a)
    except ValueError:
        raise ValueError(f"{name} is {described(a)}, whose entries differ in shape: expected an array") from None
    if array.ndim == 0 and array.dtype.kind in "OSU":
        fix = f": {name}.toarray()" if hasattr(a, "toarray") else ""
        raise ValueError(f"{name} is {described(a)}, expected an array{fix}")
    return _native(array)


def held(a: Any) -> Any:
    """Return the numbers of an array (...) in a dtype in which a program holds them.

    JAX cuts int64 and uint64 to 32 bits, and 3 000 000 000 becomes -1 294 967 296. NumPy's whole numbers that do not
    fit become floats here, in JAX's default float dtype. Arrays that JAX has, and arguments of other kinds, are
    returned as they are.

    Example:
      >>> held(np.array([3_000_000_000])).tolist(), held(np.array([3])).dtype.name
      ([3000000000.0], 'int64')
    """
    if not isinstance(a, np.ndarray | np.generic):
        return a
    a = _native(np.asarray(a))
    return a if _always_fits(a.dtype) or fits(a).all() else a.astype(jnp.result_type(float))


def floats(a: Any) -> Any:
    """Return an array (...) of JAX's: floats as they are, whole numbers or truth values in JAX's default float dtype.

    Example:
      >>> floats(np.array([-1, 2])).dtype.name
      'float32'
    """
    a = held(a if hasattr(a, "dtype") else as_array("z", a))
    check_numbers("x", a)
    if jnp.issubdtype(a.dtype, jnp.integer) or a.dtype == bool:
        a = a.astype(jnp.result_type(float))
    return jnp.asarray(a) if isinstance(a, np.ndarray) else a


def check_numbers(name: str, a: Any) -> None:
    """Raise a ValueError if an array (...) of the host holds words, dates or objects."""
    if isinstance(a, np.ndarray) and a.dtype.kind in "OSUMm":
        raise ValueError(f"{name} must be numbers, got {described(a)}: {fix_of_dtype(name, a)}")


def fits(a: Any) -> Any:
    """Return which entries of an array (...) a program can hold: whole numbers outside of int32 it cannot."""
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


def fix_of_dtype(name: str, given: Any) -> str:
    """Return how to make floats of inputs (m, ...) that hold none: the end of a message.

    Example:
      >>> fix_of_dtype("x", np.full((2, 8, 8, 3), 200, np.uint8)), fix_of_dtype("x", np.ones((2, 3), int))
      ("x.astype('float32') / 255 for images of 0 to 255", "x.astype('float32')")
    """
    columns = _columns_without_numbers(given)
    if columns or not _reads_as_numbers(given):
        what = f"columns {', '.join(columns)} hold" if columns else "words are"
        return f"{what} no numbers: drop them, or make numbers of them, such as 0 and 1 for each word"
    shape = np.shape(given)
    large = len(shape) > 2 or (len(shape) == 2 and shape[1] >= 64)
    image = getattr(given, "dtype", None) == np.uint8 and large and given.max() > 1
    return f"{name}.astype('float32')" + (" / 255 for images of 0 to 255" if image else "")


def _reads_as_numbers(a: Any) -> bool:
    """Whether `astype("float32")` takes an array (...): it reads "1.5", and raises at other words."""
    if getattr(a, "dtype", np.dtype(int)).kind not in "USO":
        return True
    try:
        np.asarray(a).astype(np.float32)
    except (TypeError, ValueError):
        return False
    return True


def _columns_without_numbers(frame: Any) -> list[str]:
    """Of a data frame, pandas' or another with columns by name, those that hold words, dates and the like."""
    if not (hasattr(frame, "columns") and hasattr(frame, "dtypes")):
        return []
    return [repr(name) for name in frame.columns if np.asarray(frame[name]).dtype.kind not in "biufc"]
