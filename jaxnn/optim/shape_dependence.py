"""Find out by tracing whether an optimizer depends on the shapes of weights."""

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.optim.interface import NO_LOOKAHEAD, accepting, extra_arguments
from jaxnn.roles import axes_of
from jaxnn.typing import Params

# The layout of the weights that the optimizer being traced gets; "either" during `find_readers`.
current_layout: ContextVar[str] = ContextVar("layout", default="jaxnn")


def find_readers(optimizer: optax.GradientTransformation, shapes: Params, p: Any, q: Any) -> set[str]:
    """Return the files whose code may update a transposed weight differently, or an empty set.

    The first update is traced for weights (p, q) of symbolic sizes, which an optimizer cannot read. The layout does not
    matter if each operation treats weights as a whole: elementwise, with other arrays in the order of the weight's
    elements, or reduced over all of them.
    """

    def of_that_size(path, leaf):
        shape = (*leaf.shape[:-2], p, q) if is_matrix(path, leaf) else leaf.shape
        return jax.ShapeDtypeStruct(shape, leaf.dtype)

    reset = current_layout.set("either")
    try:
        traced = first_update(optimizer, jax.tree_util.tree_map_with_path(of_that_size, shapes))
    except ValueError as error:  # it reads sizes
        return {_author(_files_of((error.__cause__ or error).__traceback__))}
    finally:
        current_layout.reset(reset)
    stacks = (stack for equation, stack in _equations(traced.jaxpr) if not _ignores_layout(equation, p, q))
    return {_author([frame.file_name for trace in stack for frame in trace.frames]) for stack in stacks}


def _files_of(trace: Any) -> list[str]:
    """Return the files of an error's traceback, innermost first."""
    return [] if trace is None else [*_files_of(trace.tb_next), trace.tb_frame.f_code.co_filename]


def _author(files: Sequence[str]) -> str:
    """Return the file that called JAX, from the files of a stack, innermost first."""
    return next(file for file in files if not file.startswith(_BELOW) and not file.endswith(_PASSED_THROUGH))


OPTAX_FOLDER, *_folders = (str(package.__file__).removesuffix("__init__.py") for package in (optax, jax, np))
_BELOW, _PASSED_THROUGH = tuple(_folders), ("contextlib.py", "functools.py")


def first_update(optimizer: optax.GradientTransformation, shapes: Params) -> Any:
    """Trace the first update of params to a jaxpr.

    Raises:
      ValueError: if it fails, returns updates that are not those of the params, or a state of another structure.
    """
    inner = accepting(optimizer)

    def first(params, grads, value):
        def value_fn(params):
            return sum((leaf.sum().astype(value.dtype) for leaf in jax.tree.leaves(params)), jnp.zeros_like(value))

        state = inner.init(params)
        if any(map(_is_lookahead, jax.tree.leaves(state, is_leaf=_is_lookahead))):
            raise ValueError(f"optimizer must update the params of the network: {NO_LOOKAHEAD}")
        return *inner.update(grads, state, params, **extra_arguments(value, grads, value_fn)), state

    value = jax.ShapeDtypeStruct((), jnp.result_type(float))
    try:
        # As optax assumes; if promotion is strict, the update raises when it runs.
        with jax.numpy_dtype_promotion("standard"):
            traced, (updates, after, state) = jax.make_jaxpr(first, return_shape=True)(shapes, shapes, value)
    except Exception as error:
        if NO_LOOKAHEAD in str(error):
            raise
        cause = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"optimizer must be one that updates the network's params by their gradient, got one that fails: {cause[0]}"
        ) from error
    if jax.tree.structure(updates) != jax.tree.structure(shapes):
        raise ValueError(
            "optimizer must be one that updates the network's params by their gradient, got updates "
            f"{jax.tree.map(lambda leaf: leaf.shape, updates)}: is it a measurement for optax.monitor?"
        )
    if jax.tree.structure(after) != jax.tree.structure(state):
        raise ValueError(
            "optimizer must keep the structure of its state, for loops that are compiled, got one that adds to it in "
            "its first update: optax.snapshot, instead of optax.monitor, begins with a measurement"
        )
    leaves, expected = jax.tree_util.tree_leaves_with_path(updates), jax.tree.leaves(shapes)
    for (path, leaf), like in zip(leaves, expected, strict=True):
        if leaf.shape not in (like.shape, ()):
            raise ValueError(
                "optimizer must be one that updates the network's params by their gradient, got updates of shape "
                f"{leaf.shape} for params{jax.tree_util.keystr(path)} of shape {like.shape}: does it take a gradient "
                "for each example?"
            )
    return traced


_ELEMENTWISE = frozenset(
    "abs acos add add_any and asin atan atan2 cbrt ceil clamp convert_element_type copy cos cosh div eq erf exp exp2 "
    "expm1 floor ge gt imag integer_pow is_finite le log log1p logistic lt max min mul ne neg nextafter not or pow "
    "real reduce_precision rem round rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan tanh xor".split()
)
_OF_ALL = frozenset(
    "broadcast_in_dim dot_general reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum reshape "
    "squeeze".split()
)
# Primitives that act on axes other than a weight's, with the operands that are not indices.
_OTHER_AXES = {
    "concatenate": slice(None),
    "dynamic_slice": slice(1),
    "dynamic_update_slice": slice(2),
    "gather": slice(1),
    "scatter": slice(0, 3, 2),
    "slice": slice(1),
}
_AROUND = frozenset("closed_call cond core_call custom_jvp_call custom_vjp_call jit pjit remat scan while".split())


def _ignores_layout(equation: Any, p: Any, q: Any) -> bool:
    """Return whether an equation of a jaxpr does not depend on the order of the axes p and q of its arrays."""
    name = equation.primitive.name
    if name == "dim_as_value":
        return bool(equation.params["dim"] == p * q)
    # Sizes of a weight's axes, in their order: p and q of a weight, p q of a flat one.
    inputs, outputs = (
        [[n for n in getattr(atom.aval, "shape", ()) if not isinstance(n, int) or n in (p, q, p * q)] for atom in atoms]
        for atoms in (equation.invars, equation.outvars)
    )
    if not all(sizes in ([], [p, q], [p * q]) for sizes in (*inputs, *outputs)):
        return False
    if not any((*inputs, *outputs)) or name in _ELEMENTWISE or name in _OF_ALL or name in _AROUND:
        return True
    return name in _OTHER_AXES and all((*inputs[_OTHER_AXES[name]], *outputs))


def _equations(jaxpr: Any, around: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield all equations of a jaxpr and of those inside of it, each with its stack of tracebacks, innermost first."""
    for equation in jaxpr.eqns:
        trace = equation.source_info.traceback
        stack = around if trace is None else (trace, *around)
        yield equation, stack
        for inside in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(inside):
                yield from _equations(getattr(inside, "jaxpr", inside), stack)


def arrays_in(traced: Any) -> Iterator[Any]:
    """Yield the arrays that a traced function closes over."""
    yield from traced.consts
    for equation, _ in _equations(traced.jaxpr):
        yield from (atom.val for atom in equation.invars if hasattr(atom, "val"))
        for inside in equation.params.values():
            yield from getattr(inside, "consts", ())


def _is_jaxpr(node: Any) -> bool:
    return hasattr(node, "eqns")


def _is_lookahead(node: Any) -> bool:
    return isinstance(node, optax.LookaheadState)


def is_matrix(path: tuple[Any, ...], leaf: Any) -> bool:
    """Return whether a leaf of params is a weight (n_out, n_in), which Flax has transposed."""
    axes = axes_of(path)
    return axes is not None and axes.units < axes.inputs and jnp.ndim(leaf) > 1
