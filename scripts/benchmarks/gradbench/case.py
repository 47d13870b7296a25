"""One case of the bench, and how to call its manual gradient in every form."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

KINDS = (
    "constant factor", "missing 1/m", "1/m twice", "sign", "transpose", "swapped", "zero", "missing sum",
    "sum for mean", "cotangent ignored", "g for g'", "only for z < 0", "only at the kink", "only when saturated",
    "only under vmap", "only in low precision", "truncated recurrence", "epsilon", "not linear in dy", "permutation",
    "summed too much", "diagonal alone", "factor per row", "factor of an argument", "straight-through",
    "nan where smooth",
)  # fmt: skip

OPTIONS = ("fast", "seed", "batch", "rtol", "atol", "domain", "instead", "kinks", "dtypes", "order", "nondiff_argnums")
"""The options of a check; all other keywords of a case go to f and to its backward."""


class Witness(NamedTuple):
    """Where a wrong gradient shows: arguments, cotangent (random if None), mapped over axis 0 or not, order 1 or 2."""

    args: tuple[Any, ...]
    dy: Any = None
    vmap: bool = False
    order: int = 1


class Case(NamedTuple):
    """A function and its manual gradient.

    `form` is the name of the check in jaxnn.gradcheck, and `manual` depends on it: "gradient": grad_f(*args); "vjp":
    backward(args, dy); "rule": (fwd, bwd) of a jax.custom_vjp; "custom": the function with its rule.
    `kind` is the name of the mistake (None if it has none), `also` other diagnoses that would be true; `witness` gives
    arguments and a cotangent that show the mistake, if `args` do not. `options` go to the check of jaxnn.gradcheck;
    `source` names the public function whose style a case follows.
    """

    name: str
    form: str
    f: Callable[..., Any]
    manual: Any
    args: tuple[Any, ...]
    right: bool
    kind: str | None = None
    hard: bool = False
    also: tuple[str, ...] = ()
    witness: Callable[[], Witness] | None = None
    options: Mapping[str, Any] = MappingProxyType({})
    source: str = ""


def right(name: str, form: str, f: Any, manual: Any, *args: Any) -> Case:
    return Case(name, form, f, manual, args, right=True)


def hard(name: str, form: str, f: Any, manual: Any, *args: Any) -> Case:
    return Case(name, form, f, manual, args, right=True, hard=True)


def wild(name: str, form: str, f: Any, manual: Any, *args: Any, source: str = "", **options: Any) -> Case:
    """Return a right case in the style of public code, with the options that its author would state."""
    return Case(name, form, f, manual, args, right=True, options=options, source=source)


def wrong(
    name: str, form: str, f: Any, manual: Any, *args: Any, kind: str | None = None, also: Any = (), witness: Any = None,
    **options: Any,
) -> Case:  # fmt: skip
    also = tuple(also)
    return Case(name, form, f, manual, args, right=False, kind=kind, also=also, witness=witness, options=options)


def array(values: Any, dtype: Any = jnp.float32) -> Any:
    """Return a jax.Array of what NumPy computed and rounded: each drawing or rounding by JAX compiles a program."""
    return jax.device_put(np.asarray(values, dtype))


def normal(seed: int, *shape: int, scale: float = 1.0, dtype: Any = jnp.float32) -> Any:
    return array(np.random.default_rng(seed).normal(size=shape) * scale, dtype)


def complex_normal(seed: int, *shape: int) -> Any:
    real, imaginary = (np.asarray(normal(part, *shape)) for part in (seed, seed + 1))
    return array(real + 1j * imaginary, jnp.complex64)


def with_value(a: Any, place: Any, value: float) -> Any:
    """Return the array with another value at a place, by NumPy: `at[place].set` compiles several programs."""
    changed = np.array(a)
    changed[place] = value
    return array(changed, changed.dtype)


def uniform(seed: int, *shape: int, low: float = 0.1, high: float = 0.9) -> Any:
    return array(np.random.default_rng(seed).uniform(low, high, shape))


def integers(seed: int, high: int, *shape: int) -> Any:
    return array(np.random.default_rng(seed).integers(0, high, shape), jnp.int32)


def positive_definite(seed: int, n: int) -> Any:
    a = np.random.default_rng(seed).normal(size=(n, n))
    return array(a @ a.T / n + np.eye(n))


def simplex(seed: int, m: int, k: int) -> Any:
    return array(np.random.default_rng(seed).dirichlet(np.ones(k), m))


def with_rule(f: Any, backward: Any) -> Any:
    """Return `f` with a jax.custom_vjp whose residuals are the arguments."""
    g = jax.custom_vjp(lambda *args: f(*args))
    g.defvjp(lambda *args: (f(*args), args), backward)
    return g


def keywords_of(case: Case) -> dict[str, Any]:
    """Return the keywords for f and its backward."""
    return {name: value for name, value in case.options.items() if name not in OPTIONS}


def function_of(case: Case) -> Callable[..., Any]:
    """Return the function whose gradient is meant, with its keywords."""
    f, keywords = case.options.get("instead", case.f), keywords_of(case)
    return partial(f, **keywords) if keywords else f


def is_variable(leaf: Any) -> bool:
    """Return whether a leaf is a number or an array with a gradient."""
    return isinstance(leaf, float | complex) or jnp.issubdtype(getattr(leaf, "dtype", bool), jnp.inexact)


def variables(args: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """Return the variable leaves of arguments, and the function that puts others in their places."""
    leaves, tree = jax.tree.flatten(args)
    places = [i for i, leaf in enumerate(leaves) if is_variable(leaf)]

    def rebuilt(values: Sequence[Any]) -> Any:
        new = dict(zip(places, values, strict=True))
        return jax.tree.unflatten(tree, [new.get(i, leaf) for i, leaf in enumerate(leaves)])

    return [leaves[i] for i in places], rebuilt


def gradients_of_variables(args: tuple[Any, ...], grads: tuple[Any, ...]) -> list[Any]:
    """Return the gradients of the variable leaves; None for an argument or a leaf is zero."""
    own = []
    for arg, grad in zip(args, grads, strict=True):
        leaves = jax.tree.leaves(arg, is_leaf=lambda v: v is None)
        parts = [None] * len(leaves) if grad is None else jax.tree.leaves(grad, is_leaf=lambda v: v is None)
        pairs = [(leaf, g) for leaf, g in zip(leaves, parts, strict=True) if is_variable(leaf)]
        own += [jnp.zeros_like(leaf) if g is None else g for leaf, g in pairs]
    return own


def backward_of(case: Case) -> Callable[[tuple[Any, ...], Any], tuple[Any, ...]]:
    """Return the manual gradient as `backward(args, dy)`; a gradient is multiplied by dy, unless `dy` is `None`."""
    keywords = keywords_of(case)
    if case.form == "vjp":
        return partial(case.manual, **keywords) if keywords else case.manual
    if case.form == "rule":
        fwd, bwd = case.manual
        constants = case.options.get("nondiff_argnums", ())

        def by_rule(args: tuple[Any, ...], dy: Any) -> tuple[Any, ...]:
            static = [n % len(args) for n in constants]
            grads = list(bwd(*(args[n] for n in static), fwd(*args)[1], dy))
            return tuple(None if n in static else grads.pop(0) for n in range(len(args)))

        return by_rule if constants else lambda args, dy: bwd(fwd(*args)[1], dy)
    if case.form == "custom":
        return lambda args, dy: pulled_back(case.manual, args, dy)

    def scaled(args: tuple[Any, ...], dy: Any) -> tuple[Any, ...]:
        grads = case.manual(*args, **keywords)
        grads = (grads,) if len(args) == 1 else grads
        return grads if dy is None else jax.tree.map(lambda g: g * dy, grads)

    return scaled


def pulled_back(f: Callable[..., Any], args: tuple[Any, ...], dy: Any) -> tuple[Any, ...]:
    """Return JAX's pullback of `f`; constants that are not arrays have the gradient None."""
    leaves, tree = jax.tree.flatten(args)
    if all(hasattr(leaf, "dtype") for leaf in leaves):
        return jax.vjp(f, *args)[1](dy)
    values, rebuilt = variables(args)
    grads = iter(jax.vjp(lambda *own: f(*rebuilt(own)), *values)[1](dy))
    return jax.tree.unflatten(tree, [next(grads) if is_variable(leaf) else None for leaf in leaves])
