"""Finite differences, with which every stated gradient is compared."""

import numpy as np


def complex_step(function, arguments, wrt, step=1e-30):
    """Differentiate by a step along the imaginary axis.

    For f analytic and real on the real line, f(x + ih) = f(x) + ih f'(x) + O(h^2), so Im f(x + ih) / h = f'(x) with an
    error of h^2. Nothing is subtracted, so h may be far below machine epsilon and the result has full precision.

    Args:
        function: maps the arguments to one number; it must accept complex arrays.
        arguments: tuple of floats and arrays.
        wrt: positions of the arguments to differentiate by.
        step: h.

    Returns:
        A tuple of float64 arrays, one for each position, each with its argument's shape.

    Source: Squire & Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review 40 (1998).
    """
    return _by_element(lambda *moved: function(*moved).imag / step, arguments, wrt, [1j * step], [1.0])


def central(function, arguments, wrt, step=1e-3):
    """Differentiate by the five-point central difference, for what is not analytic (erf by `math`, absolute values).

    f'(x) = (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12h, with an error of O(h^4) + O(epsilon / h).

    Args and Returns: as in `complex_step`. No kink may lie within 2h of a coordinate.
    """
    return _by_element(
        function,
        arguments,
        wrt,
        [step, -step, 2 * step, -2 * step],
        [8 / (12 * step), -8 / (12 * step), -1 / (12 * step), 1 / (12 * step)],
    )


def _by_element(function, arguments, wrt, offsets, factors):
    """Return sum_k factors[k] f(x + offsets[k] e_j) for every element j of every argument in `wrt`."""
    dtype = np.result_type(float, *(type(offset) for offset in offsets))
    derivatives = []
    for position in wrt:
        point = np.array(arguments[position], dtype=dtype)
        derivative = np.zeros(point.shape)
        for index in np.ndindex(point.shape):
            for offset, factor in zip(offsets, factors, strict=True):
                moved = point.copy()
                moved[index] += offset
                derivative[index] += factor * function(*arguments[:position], moved, *arguments[position + 1 :])
        derivatives.append(derivative)
    return tuple(derivatives)
