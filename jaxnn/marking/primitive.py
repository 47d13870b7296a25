"""The primitive of `jaxnn.marking.marks`: an identity that JAX keeps in jaxprs, and in their derivatives."""

from typing import Any

from jax.extend import core
from jax.interpreters import ad, batching, mlir

MARK = core.Primitive("mark")
"""The identity. Its parameters: `what` is marked, and whether as a "value", its "tangent" or its "cotangent"."""


def _differentiate(primals: Any, tangents: Any, *, what: str, kind: str) -> Any:
    (x,), (tangent,) = primals, tangents
    marked = MARK.bind(x, what=what, kind=kind)
    return marked, tangent if isinstance(tangent, ad.Zero) else MARK.bind(tangent, what=what, kind="tangent")


def _transpose(cotangent: Any, x: Any, *, what: str, kind: str) -> list[Any]:
    return [cotangent if isinstance(cotangent, ad.Zero) else MARK.bind(cotangent, what=what, kind="cotangent")]


def _batch(inputs: Any, axes: Any, **params: str) -> Any:
    return MARK.bind(*inputs, **params), axes[0]


MARK.def_impl(lambda x, **params: x)
MARK.def_abstract_eval(lambda aval, **params: aval)
mlir.register_lowering(MARK, lambda context, x, **params: [x])
ad.primitive_jvps[MARK] = _differentiate
ad.primitive_transposes[MARK] = _transpose
batching.primitive_batchers[MARK] = _batch
