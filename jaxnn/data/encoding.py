"""Encode classes as vectors."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.arrays import check_labels
from jaxnn.constraints import Count, Integers, checked
from jaxnn.typing import AnyArray, Array, DTypeLike


@checked(y=Integers("m", "number the classes, one per example", lists=True), classes=Count())
def one_hot(y: AnyArray | Sequence[int], classes: int, dtype: DTypeLike | None = None) -> Array:
    """Encode class numbers (m,) as rows (m, classes): 1 at the class, 0 elsewhere.

    Args:
      y: class numbers, (m,), of an integer dtype, 0 to classes-1.
      classes: number of classes, at least 1.
      dtype: of the result; JAX's default float dtype if None.

    Raises:
      ValueError: if labels are not integers (m,), `classes` is not a whole number of at least 1 or, outside a compiled
        program, a label is outside 0 to classes-1.

    Example:
      >>> import numpy as np
      >>> print(one_hot(np.array([2, 0]), 3))
      [[0. 0. 1.]
       [1. 0. 0.]]
    """
    if not isinstance(y, Tracer) and np.size(y):
        check_labels(y, classes)
    # int32, since in 8 bits class 256 would be class 0.
    return jax.nn.one_hot(jnp.asarray(y).astype(jnp.int32), classes, dtype=dtype or jnp.result_type(float))
