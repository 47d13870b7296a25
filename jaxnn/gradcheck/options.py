"""What a caller may state about a check, besides the functions and the arguments."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxnn.constraints import Constraint, Count, Flag, ListOf, Nothing, OneOf, Real, checked
from jaxnn.gradcheck.problem import as_gradcheck_error
from jaxnn.gradcheck.structures import STRUCTURES

StructureName = Literal["symmetric", "positive definite", "ordered", "positive", "unit interval"]
Domain = StructureName | Mapping[str, StructureName | Callable[..., Any]] | Callable[..., Any]
Kinks = Literal["any", "jax"]
Precision = Literal["float64", "float32", "bfloat16", "float16"]
PRECISIONS = ("float64", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Options:
    """The options of a check; see `jaxnn.gradcheck.vjp` for their meaning."""

    fast: bool = False
    seed: int = 0
    batch: int | None = None
    rtol: float = 0.0
    atol: float = 0.0
    domain: Domain | None = None
    kinks: Kinks = "any"
    dtypes: Sequence[Precision] | None = None
    order: int | None = None


def _is_domain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(k, str) and (callable(v) or v in STRUCTURES) for k, v in value.items())
    return callable(value) or isinstance(value, str) and value in STRUCTURES


_DOMAIN = Constraint(
    f"one of {', '.join(STRUCTURES)}, a function of the arguments, or a dictionary from names of arguments to these",
    ("convex", 3, {"x": "convex"}, {}),
    test=_is_domain,
)


@as_gradcheck_error()
@checked(
    fast=Flag(),
    seed=Count(0),
    batch=Count() | Nothing(),
    rtol=Real(0),
    atol=Real(0),
    domain=_DOMAIN | Nothing(),
    kinks=OneOf(("any", "jax")),
    dtypes=ListOf(OneOf(PRECISIONS), f"a list of one or more of {', '.join(PRECISIONS)}") | Nothing(),
    order=Constraint("1 or 2", (0, 3, "2", True), test=lambda order: order in (1, 2) and not isinstance(order, bool))
    | Nothing(),
)
def make_options(
    *,
    fast: bool = False,
    seed: int = 0,
    batch: int | None = None,
    rtol: float = 0.0,
    atol: float = 0.0,
    domain: Domain | None = None,
    kinks: Kinks = "any",
    dtypes: Sequence[Precision] | None = None,
    order: int | None = None,
) -> Options:
    """Return the `Options`.

    Raises:
      GradcheckError: if one of them is invalid.
    """
    return Options(fast, seed, batch, float(rtol), float(atol), domain, kinks, dtypes, order)
