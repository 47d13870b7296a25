"""The effect of rounding on a gradient: autodiff's program, run with a rounding error in every operation.

Monte Carlo arithmetic: each floating result of the program is multiplied by 1 + eps u, with 1/2 <= |u| <= 3/2 and
either sign, drawn anew for each run. The spread of the gradient over a few runs is the error that every computation in
that precision must be allowed: conditioning and cancellation, of arguments and of intermediate values alike.

Source: Parker, "Monte Carlo arithmetic: exploiting randomness in floating-point arithmetic", 1997.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.jaxprs import CALLS, bind, interpret, scan_sizes

# Their results are elements of their inputs, moved or selected: no rounding happens, and ties must stay ties.
_EXACT = frozenset(
    "abs argmax argmin broadcast_in_dim ceil clamp concatenate copy copy_p cummax cummin dynamic_slice"
    " dynamic_update_slice expand_dims floor gather iota max min neg optimization_barrier pad reduce_max reduce_min"
    " reduce_precision reshape rev round scatter select_and_gather_add select_n sign slice sort squeeze stop_gradient"
    " top_k transpose".split()
)


def noisy(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `run(eps, u, *args)`: the leaves of `function(*args)`, with an error of about eps in every operation.

    u, (n,), holds random numbers made by `draw`.
    """

    def run(eps, u, *args):
        leaves, structure = jax.tree.flatten(args)
        # Whole numbers that are known stay so: a loop may take as many steps.
        known = {i for i, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iu"}

        def of_others(others):
            rest = iter(others)
            full = [leaf if i in known else next(rest) for i, leaf in enumerate(leaves)]
            return function(*jax.tree.unflatten(structure, full))

        others = [leaf for i, leaf in enumerate(leaves) if i not in known]
        closed = jax.make_jaxpr(of_others)(others)
        noise = _Noise(eps, u)
        return interpret(closed.jaxpr, closed.consts, [noise(leaf) for leaf in others], noise.special)

    return run


@lru_cache(maxsize=16)
def draw(seed: int) -> np.ndarray:
    """Return random numbers, (65537,), from 1/2 to 3/2 in size and of either sign, for one run."""
    # If their size were always 1, two errors would often cancel to the last digit. Their number is prime: if a value
    # has more elements, they repeat from another position in each of its rows.
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 1.5, 65537) * rng.choice([-1.0, 1.0], 65537)


class _Noise:
    """Multiplies a value by 1 + eps u, with other u at each call.

    Each call takes another slice of the numbers drawn: a generator for every result would take minutes to compile.
    """

    def __init__(self, eps: Any, u: Any):
        self._eps, self._u, self._calls = eps, u, 0

    def __call__(self, value: Any) -> Any:
        value = jnp.asarray(value)
        if not jnp.issubdtype(value.dtype, jnp.floating):
            return value
        self._calls += 1
        u = self._slice(7919 * self._calls % self._u.size, value.size)
        return value * (1 + self._eps * u.reshape(value.shape)).astype(value.dtype)

    def _slice(self, start: int, size: int) -> Any:
        if start + size <= self._u.size:
            return jax.lax.slice_in_dim(self._u, start, start + size)
        return jnp.resize(jnp.roll(self._u, -start), (size,))

    def special(self, equation: Any, inputs: list[Any]) -> list[Any] | None:
        """Return the outputs of an equation with a rounding error, or `None` if it does not round."""
        name = equation.primitive.name
        if name == "scan":
            return _scan(equation, inputs, self)
        if name in CALLS or name in _EXACT:
            return None
        return [self(value) for value in bind(equation, inputs)]


def _scan(equation: Any, inputs: list[Any], noise: _Noise) -> list[Any]:
    p = equation.params
    n_consts, n_carry = scan_sizes(equation)
    consts, carry, xs = inputs[:n_consts], inputs[n_consts : n_consts + n_carry], inputs[n_consts + n_carry :]
    body = p["jaxpr"]

    def step(carry, xs):
        outputs = interpret(body.jaxpr, body.consts, [*consts, *carry, *xs], noise.special)
        return outputs[:n_carry], outputs[n_carry:]

    carry, ys = jax.lax.scan(step, list(carry), list(xs), length=p["length"], reverse=p["reverse"])
    return [*carry, *ys]
