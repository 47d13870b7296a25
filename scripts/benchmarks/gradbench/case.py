"""One case of the bench, and how to call its manual gradient in every form."""

from collections.abc import Callable, Mapping
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
    name: str, form: str, f: Any, manual: Any, *args: Any, kind: str | None = None, also: Any = (), witness: Any = None
) -> Case:
    return Case(name, form, f, manual, args, right=False, kind=kind, also=tuple(also), witness=witness)


def normal(seed: int, *shape: int, scale: float = 1.0, dtype: Any = jnp.float32) -> Any:
    # By NumPy: jax.random would compile a program for every shape.
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape) * scale, dtype)


def uniform(seed: int, *shape: int, low: float = 0.1, high: float = 0.9) -> Any:
    return jnp.asarray(np.random.default_rng(seed).uniform(low, high, shape), jnp.float32)


def integers(seed: int, high: int, *shape: int) -> Any:
    return jnp.asarray(np.random.default_rng(seed).integers(0, high, shape), jnp.int32)


def simplex(seed: int, m: int, k: int) -> Any:
    return jnp.asarray(np.random.default_rng(seed).dirichlet(np.ones(k), m), jnp.float32)


def with_rule(f: Any, backward: Any) -> Any:
    """Return `f` with a jax.custom_vjp whose residuals are the arguments."""
    g = jax.custom_vjp(lambda *args: f(*args))
    g.defvjp(lambda *args: (f(*args), args), backward)
    return g


def backward_of(case: Case) -> Callable[[tuple[Any, ...], Any], tuple[Any, ...]]:
    """Return the manual gradient as `backward(args, dy)`; a gradient is multiplied by dy, unless `dy` is `None`."""
    if case.form == "vjp":
        return case.manual
    if case.form == "rule":
        fwd, bwd = case.manual
        return lambda args, dy: bwd(fwd(*args)[1], dy)
    if case.form == "custom":
        return lambda args, dy: jax.vjp(case.manual, *args)[1](dy)

    def scaled(args: tuple[Any, ...], dy: Any) -> tuple[Any, ...]:
        grads = case.manual(*args)
        grads = (grads,) if len(args) == 1 else grads
        return grads if dy is None else jax.tree.map(lambda g: g * dy, grads)

    return scaled
