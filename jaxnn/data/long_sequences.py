"""Long sequences cut into pieces, for training on one piece after another."""

from typing import Any

import numpy as np

from jaxnn.constraints import Count, checked
from jaxnn.data.examples import on_host

__all__ = ["pieces"]


@checked(batch_size=Count(), n_steps=Count())
def pieces(sequence: Any, batch_size: int, n_steps: int) -> np.ndarray:
    """Cut a sequence into batches of pieces, in an order in which each batch continues the one before.

    The sequence is divided into batch_size parts of equal length, read side by side: batch j has piece j of each part.
    What is left over at the end, fewer than batch_size · n_steps elements, is dropped.

    Args:
      sequence: an array (n, ...), such as the numbers of the characters of a text.
      batch_size: the number of parts.
      n_steps: the length of a piece.

    Returns:
      An array (k · batch_size, n_steps, ...), for `fit` with the same batch_size and shuffle=False.

    Raises:
      ValueError: if batch_size or n_steps is below 1, or the sequence is shorter than one batch.

    Example:
      >>> import numpy as np
      >>> text = np.arange(13)
      >>> pieces(text[:-1], 2, 3).tolist()
      [[0, 1, 2], [6, 7, 8], [3, 4, 5], [9, 10, 11]]
      >>> pieces(text[1:], 2, 3)[0].tolist()  # what comes next, the targets
      [1, 2, 3]
    """
    sequence = np.asarray(on_host("sequence", sequence))
    n, size = len(sequence), batch_size * n_steps
    if n < size:
        raise ValueError(
            f"sequence must have at least batch_size · n_steps = {size} elements, got {n}: take fewer parts, or "
            "shorter pieces"
        )
    k = n // size
    parts = sequence[: k * size].reshape(batch_size, k, n_steps, *sequence.shape[1:])
    return np.ascontiguousarray(parts.swapaxes(0, 1)).reshape(k * batch_size, n_steps, *sequence.shape[1:])
