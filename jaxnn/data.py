"""Data before training: checks, split, standardisation, one-hot labels, batches. Arrays in, arrays out.

What runs once on the host, and fails with a message a person can act on, is NumPy. `one_hot`, `standardize` and
`batch_indices` also run inside compiled programs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.checks import (
    as_array,
    check_flag,
    check_key,
    check_seed,
    described,
    fits,
    fix_of_dtype,
    held,
    is_count,
    is_real,
)
from jaxnn.typing import Array, Batch, Key
from jaxnn.weights import check_weight, counted, simplified


def check_batch(x: Any, y: Any, weight: Any = None, *, classes: int | None = None) -> Batch:
    """The data as a `Batch`, after the checks that a compiled program cannot make.

    Args:
      x: inputs, (m, ...), of a floating dtype.
      y: targets, (m,) or (m, k).
      weight: example weights (m,), of at least 0, numbers or truth values, or `None`. Only their ratios matter: a
        weight too small to be a number beside the largest counts as 0.
      classes: how many classes there are, where y holds class numbers 0..classes-1 or 0/1 labels.

    Returns:
      `Batch(x, y, weight)`, the same arrays where a program can take them. Weights that are all equal, or huge or tiny,
      are multiplied by a factor. Examples of weight 0 may hold any value: what a program cannot hold, such as NaN, is
      replaced by the values of an example that counts.

    Raises:
      ValueError: no examples, different lengths, inputs that are not floats, targets that are no real numbers; in an
        example that counts, NaN, inf or a label outside the classes; negative weights, or weights that are all 0; what
        is no array, masked or, as inside a compiled program, traced.

    Example:
      >>> import numpy as np
      >>> check_batch(np.zeros((2, 3)), np.array([0, 2]), classes=2)
      Traceback (most recent call last):
      ...
      ValueError: y holds labels from 0 to 2, expected 0 to 1 for 2 classes: number the classes from 0
    """
    x, y, weight, _ = checked(x, y, weight)
    if classes is not None and not is_count(classes):
        raise ValueError(f"classes is how many there are, a whole number of at least 1, got {described(classes)}")
    if classes is not None and ((labels := counted(y, weight)).min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"y holds labels from {labels.min()} to {labels.max()}, expected 0 to {classes - 1} for {classes} classes: "
            "number the classes from 0"
        )
    return Batch(x, y, weight)


def checked(x: Any, y: Any, weight: Any = None, some: bool = True) -> Batch:
    """Return what `check_batch` does, for x (m, ...); without `some`, weights may all be 0, as of a part."""
    given, x, y = x, on_host("x", x), on_host("y", y)
    if x.ndim < 1 or x.shape[0] == 0:
        raise ValueError(f"x has shape {x.shape}, so there are no examples: examples are rows, x is (m, ...)")
    if y.ndim < 1 or y.shape[0] != x.shape[0]:
        raise ValueError(
            f"x has {x.shape[0]} examples, y has shape {y.shape}: expected a target for each, (m,) or (m, k)"
            f"{columns_as_rows(x.shape, y.shape)}"
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x is {x.dtype}, expected floats: {fix_of_dtype('x', given)}")
    if not is_real(y.dtype) and y.dtype != bool:
        raise ValueError(
            f"y is {y.dtype}, expected real numbers: np.unique(y, return_inverse=True)[1] numbers the classes"
        )
    if weight is not None:
        weight = simplified(check_weight(on_host("weight", weight), x.shape[0], some))
    return Batch(_sound("x", x, weight), _sound("y", y, weight), weight)


def columns_as_rows(x: tuple[int, ...], y: tuple[int, ...]) -> str:
    """Return how to turn examples that are columns, x (n, m) or y (1, m) or both, into rows: the end of a message.

    Example:
      >>> columns_as_rows((3, 6), (1, 6)), columns_as_rows((6, 3), (5,))
      ('; examples are rows: x.T and y.T', '')
    """
    if len(x) == 2 and y and x[1] == y[0]:
        return "; examples are rows: x.T"
    if len(x) == len(y) == 2 and x[1] == y[1]:
        return "; examples are rows: x.T and y.T"
    if len(y) == 2 and y[1] == x[0]:
        return "; examples are rows: y.T" + (", or y.ravel()" if y[0] == 1 else "")
    return ""


def split(x: Any, y: Any, fractions: Sequence[float], *, seed: int, stratify: bool = False) -> tuple[Batch, ...]:
    """Disjoint random parts of the data, such as train, dev and test.

    Args:
      x: inputs, (m, ...).
      y: targets, (m,) or (m, k).
      fractions: the share of each part, positive, summing to 1: (0.8, 0.1, 0.1). The parts' sizes are the rounded
        cumulative shares, so every example is in exactly one part.
      seed: of the shuffle; the same seed gives the same parts.
      stratify: keep each class's share in every part: a class of n out of m examples has in each part what its share
        makes, give or take 1 + k n/m examples where there are k classes; y must be labels (m,).

    Returns:
      One `Batch` of NumPy arrays per fraction.

    Raises:
      ValueError: fractions that are not positive or do not sum to 1, a part that would be empty, lengths that
        differ, a seed that is no whole number, or `stratify` on targets that are not labels.

    Example:
      >>> import numpy as np
      >>> train, dev = split(np.arange(10.0)[:, None], np.arange(10) % 2, (0.8, 0.2), seed=0, stratify=True)
      >>> train.x.shape, sorted(dev.y.tolist())
      ((8, 1), [0, 1])
    """
    x, y = on_host("x", x), on_host("y", y)
    x, y = np.asarray(x), np.asarray(y)
    if isinstance(fractions, str) or not np.iterable(fractions):
        raise ValueError(f"fractions is {described(fractions)}, expected one for each part, such as (0.8, 0.2)")
    shares = np.asarray(fractions, np.float64)
    if shares.ndim != 1 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"fractions must be positive and sum to 1, got {tuple(fractions)} with sum {shares.sum():g}")
    if x.ndim < 1 or x.shape[:1] != y.shape[:1]:
        fix = columns_as_rows(x.shape, y.shape)
        raise ValueError(f"x has shape {x.shape}, y {y.shape}: expected a target for each example{fix}")
    order = random_order(y, seed, stratify)
    cuts = np.rint(np.cumsum(shares)[:-1] * len(x)).astype(int)
    parts = np.split(order, cuts)
    if min(len(part) for part in parts) == 0:
        raise ValueError(f"{len(x)} examples split by {tuple(fractions)} leave a part empty: give it a larger share")
    return tuple(Batch(x[part], y[part]) for part in parts)


def k_folds(y: Any, k: int, *, seed: int, stratify: bool = False) -> np.ndarray:
    """Random parts of the data, each held out once: k folds whose sizes differ by one example at most.

    Args:
      y: targets, (m,) or (m, ...): how many there are, and, where stratified, of which classes.
      k: how many folds, from 2 to m.
      seed: of the shuffle; the same seed gives the same folds.
      stratify: keep each class's share in every fold; y must be labels (m,).

    Returns:
      (k, m), floats: 1 where a fold holds the example out, 0 where it is trained on. Each column has a single 1.

    Raises:
      ValueError: k outside 2..m, a seed that is no whole number, or `stratify` on targets that are not labels.

    Example:
      >>> import numpy as np
      >>> k_folds(np.zeros(5), 2, seed=0).sum(axis=1).tolist()
      [3.0, 2.0]
    """
    y = np.asarray(on_host("y", y))
    m = len(y) if y.ndim else 0
    if not is_count(k) or not 2 <= k <= m:
        raise ValueError(f"k_folds takes from 2 folds to as many as there are examples, {m}, got {described(k)}")
    order = random_order(y, seed, stratify)
    folds = np.zeros((k, m), np.float32)
    folds[np.arange(m) * k // m, order] = 1
    return folds


class Standardizer(NamedTuple):
    """The mean and the standard deviation of each feature of a training set, shape (...) as one example.

    Where it was fitted by channel, of each channel instead, shape (c,).
    """

    mean: Array
    std: Array


def fit_standardizer(x: Any, *, per_channel: bool = False) -> Standardizer:
    """Each feature's mean and standard deviation over the examples. Fit it on the training set alone.

    Args:
      x: the training inputs, (m, ...).
      per_channel: one mean and deviation for each entry of the last axis, over all the others: of images (m, h, w, c),
        c of each. A pixel's own mean would take away what the images have in common at that place.

    Returns:
      A `Standardizer`, in float32 or, for float64 inputs, float64. A constant feature gets the standard deviation 1,
      and so becomes 0.

    Raises:
      ValueError: no examples, values that are no real numbers, or not finite, deviations so large that they cannot be
        divided by, or, by channel, inputs without an axis of channels.

    Example:
      >>> import numpy as np
      >>> stats = fit_standardizer(np.array([[1.0, 5.0], [3.0, 5.0]]))
      >>> print(standardize(stats, np.array([[1.0, 5.0], [3.0, 5.0]])))
      [[-1.  0.]
       [ 1.  0.]]
      >>> fit_standardizer(np.zeros((10, 8, 8, 3)), per_channel=True).mean.shape
      (3,)

    Source: LeCun et al., "Efficient BackProp", 1998, section 4.3.
    """
    check_flag("per_channel", per_channel)
    given, x = x, np.asarray(on_host("x", x))
    if x.ndim < 1 or x.size == 0:
        raise ValueError(f"x has shape {x.shape}: expected training examples as rows")
    _check_numbers("x", x, given)
    if per_channel and x.ndim < 2:
        raise ValueError(
            f"x has shape {x.shape}, expected (m, ..., c): by channel, the last axis is that of the channels"
        )
    _sound("x", x)
    # The statistics of half-precision numbers, or of bytes, have more digits than those.
    dtype = jnp.promote_types(x.dtype, jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else np.float32
    wide = (x.reshape(-1, x.shape[-1]) if per_channel else x).astype(np.float64)
    mean, std = wide.mean(axis=0), wide.std(axis=0)
    # A constant feature's computed deviation can be rounding noise; dividing by that would make the feature noise too.
    constant = (wide == wide[:1]).all(axis=0)
    mean, std = np.where(constant, wide[0], mean).astype(dtype), np.where(constant, 1, std).astype(dtype)
    if (std > 1 / jnp.finfo(dtype).tiny).any():
        # A compiled program may divide by the reciprocal, which is subnormal, and so 0 to it.
        raise ValueError(
            f"x has a feature of standard deviation {std.max():.3g}, too large to divide by in {std.dtype}: "
            "scale it first"
        )
    # A deviation too small for the dtype is 0 there; subnormal numbers are 0 to a compiled program.
    return Standardizer(mean, np.where(std < jnp.finfo(dtype).tiny, 1, std).astype(dtype))


def standardize(stats: Standardizer, x: Any) -> Any:
    """(x - mean)/std with the training set's numbers, for train, dev and test alike.

    Args:
      stats: what `fit_standardizer` returned for the training set.
      x: inputs, (m, ...), of examples of the same shape; where it was fitted by channel, of as many channels.

    Returns:
      What x became, (m, ...).

    Raises:
      ValueError: statistics of examples of another shape, inputs that are no real numbers or, outside a compiled
        program, numbers so far from those of the training set that they overflow.

    Example:
      >>> import numpy as np
      >>> print(standardize(Standardizer(np.array([1.0, 2.0]), np.array([1.0, 4.0])), np.array([[3.0, 4.0]])))
      [[2.  0.5]]
    """
    if not isinstance(stats, Standardizer):
        raise ValueError(f"standardize takes what fit_standardizer returned, and then x, got {described(stats)} first")
    given, x = x, held(as_array("x", x))
    shape, own = x.shape, np.shape(stats.mean)
    per_channel = len(shape) > 2 and own == shape[-1:]
    if not shape or not (per_channel or own == shape[1:]):
        raise ValueError(
            f"the standardizer is of examples of shape {own}, x is {shape}: fit it on the training set, in x's shape"
        )
    _check_numbers("x", x, given)
    mean, std = (np.reshape(a, (1,) * (len(shape) - len(own)) + own) for a in stats)
    with np.errstate(over="ignore"):
        standardized = (x - mean) / std
    if isinstance(standardized, np.ndarray) and (np.isinf(standardized) & np.isfinite(x)).any():
        raise ValueError(
            f"x runs from {np.min(x):g} to {np.max(x):g}, too far from the training set to be standardised in "
            f"{standardized.dtype}: are its units those of the training set?"
        )
    return standardized


def one_hot(y: Any, classes: int, dtype: Any = None) -> Array:
    """Class numbers (m,) as rows (m, classes): 1 at the class, 0 elsewhere.

    Args:
      y: class numbers, (m,), of an integer dtype, 0 to classes-1.
      classes: how many classes, at least 1.
      dtype: of the result; JAX's default float dtype.

    Raises:
      ValueError: labels that are not integers, or not (m,), classes that are no number of them or, outside a compiled
        program, labels outside the classes.

    Example:
      >>> import numpy as np
      >>> print(one_hot(np.array([2, 0]), 3))
      [[0. 0. 1.]
       [1. 0. 0.]]
    """
    y = as_array("y", y)
    if not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(f"one_hot takes class numbers of an integer dtype, got {y.dtype}: y.astype(int)")
    if y.ndim != 1:
        raise ValueError(f"one_hot takes class numbers (m,), got {y.shape}: y.ravel() makes one row of a column")
    if not is_count(classes):
        raise ValueError(f"classes is how many there are, a whole number of at least 1, got {described(classes)}")
    if not isinstance(y, jax.core.Tracer) and np.size(y) and (np.min(y) < 0 or np.max(y) >= classes):
        raise ValueError(f"y holds labels from {np.min(y)} to {np.max(y)}, expected 0 to {classes - 1}")
    # int32, since in 8 bits class 256 would be class 0.
    return jax.nn.one_hot(jnp.asarray(y).astype(jnp.int32), classes, dtype=dtype or jnp.result_type(float))


def batch_indices(key: Key | None, m: int, batch_size: int) -> tuple[Array, Array]:
    """An epoch's batches: every example once, in batches of one size, the last one padded.

    Args:
      key: a random key to shuffle by, or `None` to keep the order.
      m: how many examples.
      batch_size: examples of a batch, 1 <= batch_size <= m.

    Returns:
      indices (steps, batch_size), int32, and weight (steps, batch_size), 1 for an example and 0 for padding, with
      steps = ceil(m / batch_size). Padding repeats example 0.

    Raises:
      ValueError: a batch size outside 1..m, numbers that are not whole, or a key that is none.

    Example:
      >>> indices, weight = batch_indices(None, 5, 2)
      >>> indices.tolist(), weight.tolist()
      ([[0, 1], [2, 3], [4, 0]], [[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    """
    if not (is_count(m) and is_count(batch_size) and batch_size <= m):
        raise ValueError(
            f"batch_size must be from 1 to the {described(m)} examples there are, got {described(batch_size)}"
        )
    if key is not None:
        check_key(key)
    steps = -(-m // batch_size)
    order = jnp.arange(m, dtype=jnp.int32) if key is None else _random_order(key, m)
    shape, padding = (steps, batch_size), steps * batch_size - m
    indices = jnp.pad(order, (0, padding)).reshape(shape)
    return indices, (jnp.arange(steps * batch_size) < m).astype(jnp.result_type(float)).reshape(shape)


def _random_order(key: Key, m: int) -> Array:
    # One sort by random bits, where `jax.random.permutation` makes one to three. Two examples with the same bits keep
    # their order: one pair an epoch at 2048 examples of 21 bits, one in every other epoch at 60 000 of 32.
    bits = jax.random.bits(key, (m,))
    if m > _FEW:
        return jnp.argsort(bits).astype(jnp.int32)
    # Numbers below the random bits of the same word: half the time to sort, which short steps feel.
    numbers = np.uint32(_FEW - 1)
    return (jnp.sort(bits & ~numbers | jnp.arange(m, dtype=jnp.uint32)) & numbers).astype(jnp.int32)


_FEW = 2048


def on_host(name: str, a: Any) -> Any:
    """An array of JAX's or NumPy's, of any shape, whatever it came in; a ValueError where it has no numbers yet."""
    if isinstance(a, jax.core.Tracer):
        raise ValueError(
            f"{name} is traced: its numbers are looked at on the host, so call this outside of jit, vmap and grad"
        )
    return as_array(name, a)


def _sound(name: str, a: Any, weight: Any = None) -> Any:
    """The array (m, ...), in whose examples of weight 0 what a program cannot hold is replaced.

    Raises:
      ValueError: if an example that counts has a number that is not finite in a program, with the place of the first.
    """
    inexact = jnp.issubdtype(a.dtype, jnp.inexact)
    sound = (jnp if isinstance(a, jax.Array) else np).isfinite(_as_in_programs(a)) if inexact else fits(a)
    if sound.all():
        return a
    wrong = ~np.asarray(sound)
    rows = wrong.reshape(len(a), -1).any(axis=1)
    if weight is not None:
        wrong[np.asarray(weight) == 0] = False
    if inexact and wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name} has {int(wrong.sum())} values that are not finite, the first at {first}: "
            f"{np.asarray(_as_in_programs(a))[first]}; drop those examples or fill them in"
        )
    return counted(a, weight, rows)


def _check_numbers(name: str, a: Any, given: Any) -> None:
    if not is_real(a.dtype) and a.dtype != bool:
        raise ValueError(f"{name} is {a.dtype}, expected numbers: {fix_of_dtype(name, given)}")


def random_order(y: np.ndarray, seed: int, stratify: bool) -> np.ndarray:
    """The examples in random order, any stretch of which holds, if stratified, each class in its share."""
    check_seed(seed)
    check_flag("stratify", stratify)
    if stratify and y.ndim != 1:
        raise ValueError(f"stratify takes labels (m,), got y of shape {y.shape}: pass the class numbers")
    order = np.random.default_rng(seed).permutation(len(y))
    return _interleave_classes(order, y) if stratify else order


def _as_in_programs(a: Any) -> Any:
    # NumPy's float64 is float32 to a program, unless JAX is told otherwise, and 1e39 is infinite there.
    with np.errstate(over="ignore"):
        return a.astype(jax.dtypes.canonicalize_dtype(a.dtype), copy=False)


def _interleave_classes(order: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The shuffled order, rearranged so that any stretch holds each class in its share of the whole.

    The j-th of a class's n examples is put at the fraction (j + 1/2)/n of the way. A cut at the fraction t of the way
    then takes n t of every class, up to half an example; t is the part's share up to k/2m, for k classes.
    """
    place = np.empty(len(order))
    for label in np.unique(y):
        of_class = np.flatnonzero(y[order] == label)
        place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return order[np.argsort(place, kind="stable")]
