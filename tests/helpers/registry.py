"""The table of cases: every layer, combinator, model, loss and regularizer, for the generic tests.

They are the CASES at the end of each file that jaxnn exports a factory from: name -> (call, ...), a call without
arguments that makes the layer or the like, and

- of a layer or a model: the shape of an example, as `init` takes it, and the options of `LayerCase`, if there are any;
- of a loss: a function from a NumPy generator and a number of examples to outputs and targets;
- of a regularizer: nothing else.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from jaxnn.nn.shapes import structs
from jaxnn.regularizers import Regularizer

PACKAGES = (jaxnn.nn, jaxnn.models, jaxnn.contrib, jaxnn.losses, jaxnn.regularizers)


def normal(shape: tuple[int, ...], dtype: Any = jnp.float32, seed: int = 0) -> Any:
    # NumPy's: to draw, or to round, by JAX would compile a program for every shape.
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(dtype))


class LayerCase(NamedTuple):
    """A layer, the shape of its examples, as `init` takes it, and what sets it apart."""

    name: str
    layer: jaxnn.Layer
    in_shape: Any = (5,)
    random: bool = False  # takes a key
    inside: str | None = None  # the dtype it computes in, for any input
    held: bool = False  # its params have no gradient, though y depends on them

    def params(self, dtype: Any = jnp.float32) -> Any:
        """Params away from their start, so that a bias of zeros hides nothing, and where little saturates."""
        like = jax.eval_shape(lambda key: self.layer.init(key, self.in_shape)[0], jax.random.key(0))
        rng = np.random.default_rng(2)
        return jax.tree.map(lambda leaf: jnp.asarray((rng.normal(size=leaf.shape) / 2).astype(dtype)), like)

    def input(self, m: int, dtype: Any = jnp.float32, seed: int = 3) -> Any:
        """Floats in the dtype; whole numbers from 0 to 4, which each vocabulary of the cases has."""
        leaves, structure = jax.tree.flatten(structs(self.in_shape))
        return structure.unflatten(
            [_drawn((m, *a.shape), a.dtype, dtype, seed + 100 * i) for i, a in enumerate(leaves)]
        )

    def rows(self, m: int) -> Any:
        """How much each of at most 7 examples counts, for a layer that looks across them."""
        return jnp.asarray([1.0, 2, 0, 3, 1, 2, 0.5][-m:]) if self.layer.across else None

    def key(self) -> Any:
        return jax.random.key(4) if self.random else None


def _drawn(shape: tuple[int, ...], kind: Any, dtype: Any, seed: int) -> Any:
    if jnp.issubdtype(kind, jnp.floating):
        return normal(shape, dtype, seed)
    return jnp.asarray(np.random.default_rng(seed).integers(0, 5, shape).astype(kind))


class LossCase(NamedTuple):
    """A loss, and a function that draws outputs and targets for it."""

    name: str
    loss: jaxnn.Loss
    draw: Callable[[np.random.Generator, int], tuple[Any, Any]]

    def make(self, m: int, dtype: Any = jnp.float32) -> tuple[Any, Any]:
        """(z, y) of m examples: floats in the dtype, whole numbers as int32."""
        drawn = self.draw(np.random.default_rng(5), m)
        return jax.tree.map(lambda a: jnp.asarray(a.astype("int32" if a.dtype.kind == "i" else dtype)), drawn)


class RegularizerCase(NamedTuple):
    """A regularizer on the params of a two-layer network."""

    name: str
    regularizer: Regularizer


def factories(package: ModuleType) -> Iterator[Callable[..., Any]]:
    """The functions that a package exports whose results have a case."""
    for name in package.__all__:
        function = getattr(package, name)
        made = inspect.signature(function).return_annotation if inspect.isfunction(function) else None
        if made in (jaxnn.Layer, jaxnn.Model, jaxnn.Loss, Regularizer):
            yield function


def cases_of(module: ModuleType) -> list[LayerCase | LossCase | RegularizerCase]:
    """The CASES of a module."""
    cases = []
    for name, (call, *rest) in module.CASES.items():
        made = call()
        if isinstance(made, jaxnn.Loss):
            cases.append(LossCase(name, made, *rest))
        elif isinstance(made, Regularizer):
            cases.append(RegularizerCase(name, made))
        else:
            in_shape, *options = rest
            layer = made.network if isinstance(made, jaxnn.Model) else made
            cases.append(LayerCase(name, layer, in_shape, **dict(*options)))
    return cases


MODULES = list(dict.fromkeys(sys.modules[f.__module__] for package in PACKAGES for f in factories(package)))
CASES = [case for module in MODULES for case in cases_of(module)]
LAYER_CASES = [case for case in CASES if isinstance(case, LayerCase)]
LOSS_CASES = [case for case in CASES if isinstance(case, LossCase)]
REGULARIZER_CASES = [case for case in CASES if isinstance(case, RegularizerCase)]

_ELEMENTWISE = {make().factory_call.factory for make in jaxnn.nn.ACTIVATIONS.values()}


def is_elementwise(layer: jaxnn.Layer) -> bool:
    """Whether one of the factories in `ACTIVATIONS` made it."""
    return layer.factory_call is not None and layer.factory_call.factory in _ELEMENTWISE


def of_each_kind():
    """The first case of each layer's factory, and some that tests name as representatives."""
    named = {"dense_lecun", "residual_dropout", "embedding_words", "frozen_batch_norm", "layer_from_repeated"}
    kinds, found = set(), []
    for case in LAYER_CASES:
        call = case.layer.factory_call
        kind = case.name if call is None else call.factory.__name__
        if kind not in kinds or case.name in named:
            found.append(case)
        kinds.add(kind)
    return found


KIND_CASES = of_each_kind()
ACTIVATION_CASES = [case for case in LAYER_CASES if is_elementwise(case.layer)]


def regularized_params(dtype: Any = jnp.float32) -> Any:
    """Params with exact zeros among them, where |w| has its kink."""
    params = LayerCase("", jaxnn.chain(jaxnn.dense(3), jaxnn.relu(), jaxnn.dense(2))).params(dtype)
    params[0]["W"] = params[0]["W"].at[0].set(0)
    return params


def name_of(case: Any) -> str:
    return case.name
