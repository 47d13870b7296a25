"""Transpose weights for optimizers that assume the layout (n_in, n_out)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.constraints import OneOf, checked
from jaxnn.factories.decorator import factory
from jaxnn.optim.interface import OPTIMIZER, accepting
from jaxnn.optim.shape_dependence import OPTAX_FOLDER, arrays_in, current_layout, find_readers, first_update, is_matrix
from jaxnn.typing import Params, PyTree

LayoutName = Literal["flax", "jaxnn"]


@factory
@checked(optimizer=OPTIMIZER, layout=OneOf(get_args(LayoutName)))
def with_layout(optimizer: optax.GradientTransformation, layout: LayoutName = "flax") -> optax.GradientTransformation:
    """Wrap an optimizer so that it gets weights in a layout; its updates are transposed back.

    Weights are (n_out, n_in) here, (n_in, n_out) in Flax. Most optimizers are independent of the layout: Adam treats
    each number separately. Muon, adaptive gradient clipping and Adafactor use rows, columns or shapes, and assume
    Flax's layout. Every function of jaxnn that takes an optimizer applies `with_layout` if code of optax depends on the
    layout; other code gets the weights unchanged. A loop that calls `optimizer.update` directly must apply it:

        optimizer = jaxnn.optim.with_layout(optax.contrib.muon(0.02))

    Weights (n_out, n_in) are the leaves named `W`, `W_x` and `W_a`: their last two axes are swapped, in params,
    gradients and every other tree with the structure of params. Names and structure do not change, so masks and labels
    by path still apply. The optimizer's state, and axes that are arguments of the optimizer, are in that layout too:
    `optax.adaptive_grad_clip(0.01)` clips by unit with its default axis.

    Layouts nest, and no weight is transposed twice: the result may be part of a chain that is passed to `fit`.

    Args:
      optimizer: any optax optimizer.
      layout: "flax" for weights (n_in, n_out); "jaxnn" for (n_out, n_in), for an optimizer written for jaxnn's layout
        that is part of a chain in Flax's.

    Returns:
      An `optax.GradientTransformation`.

    Raises:
      ValueError: if the layout is neither "flax" nor "jaxnn", or the optimizer is not an optax optimizer.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W": jnp.ones((2, 3))}
      >>> grads = {"W": jnp.array([[100.0, 100.0, 100.0], [0.001, 0.001, 0.001]])}  # large for unit 0 only
      >>> for clip in (optax.adaptive_grad_clip(0.1), with_layout(optax.adaptive_grad_clip(0.1))):
      ...     updates, _ = clip.update(grads, clip.init(params), params)
      ...     print(updates["W"][:, 0])
      [1.4142136e-01 1.4142138e-06]
      [0.1   0.001]

    Sources: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; Brock et al.,
    "High-performance large-scale image recognition without normalization", 2021 (clipping by unit); Shazeer and Stern,
    "Adafactor: adaptive learning rates with sublinear memory cost", 2018.
    """
    inner = accepting(optimizer)

    def init(params):
        with _in_layout(layout) as transpose:
            return inner.init(transpose(params))

    def update(updates, state, params=None, **kwargs):
        if current_layout.get() == "either":  # `with_layout` is right in either layout
            return updates, state
        structure = jax.tree.structure(updates)
        with _in_layout(layout) as transpose:
            kwargs = {name: _transpose_argument(transpose, structure, value) for name, value in kwargs.items()}
            params = None if params is None else transpose(params)
            updates, state = inner.update(transpose(updates), state, params, **kwargs)
        return transpose(updates), state

    return optax.GradientTransformationExtraArgs(init, update)


def laid_out(optimizer: optax.GradientTransformation, params: Params) -> optax.GradientTransformation:
    """Return `with_layout(optimizer)` if the optimizer depends on the layout of weights, else the optimizer.

    One update is traced, which takes milliseconds; nothing is compiled. If code outside of optax depends on the layout,
    or the optimizer closes over arrays in the shape of a weight, such as a mask, it was written for jaxnn's layout and
    is returned unchanged.

    Args:
      optimizer: any optax optimizer.
      params: the network's params, or their shapes.

    Returns:
      An `optax.GradientTransformation`.

    Raises:
      ValueError: if the optimizer fails on such params, its updates have other shapes, or its parts assume different
        layouts.
    """
    shapes = jax.eval_shape(lambda params: jax.tree.map(jnp.asarray, params), params)
    leaves, structure = jax.tree.flatten(shapes)
    plan = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    try:
        decisions = _decisions.setdefault(optimizer.update, {})
    except TypeError:  # it does not support weak references
        decisions = {}
    if plan not in decisions:
        decisions[plan] = _needs_flax_layout(optimizer, shapes)
    return with_layout(optimizer) if decisions[plan] else accepting(optimizer)


# update -> {structure and shapes of params: whether to transpose weights}
_decisions: WeakKeyDictionary = WeakKeyDictionary()


@contextmanager
def _in_layout(layout: LayoutName) -> Iterator[Callable[[PyTree], PyTree]]:
    """Set the current layout; yield the function that transposes a tree to it and back."""
    before = current_layout.get()
    reset = current_layout.set("either" if before == "either" else layout)
    try:
        yield (lambda tree: tree) if before in ("either", layout) else _transpose
    finally:
        current_layout.reset(reset)


def _transpose(tree: PyTree) -> PyTree:
    """Swap the last two axes of each weight (..., a, b) of a tree."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.swapaxes(leaf, -1, -2) if is_matrix(path, leaf) else leaf, tree
    )


def _transpose_argument(transpose: Callable[[PyTree], PyTree], structure: Any, value: Any) -> Any:
    """Transpose an extra argument of `update` if it has the structure of params; wrap a function to do so."""
    if not callable(value):
        return transpose(value) if jax.tree.structure(value) == structure else value
    each = partial(_transpose_argument, transpose, structure)
    return lambda *args, **kwargs: each(value(*map(each, args), **{k: each(a) for k, a in kwargs.items()}))


@cache
def _symbolic_sizes() -> tuple[Any, ...]:
    """Return two unknown sizes, always the same ones: JAX's caches keep each scope of symbols that was traced."""
    from jax import export  # here, so that importing jaxnn does not import it

    return tuple(export.symbolic_shape("p, q"))


def _needs_flax_layout(optimizer: optax.GradientTransformation, shapes: Params) -> bool:
    """Return whether the optimizer assumes weights (n_in, n_out); raise ValueError if it fails on these params."""
    weights = {leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(shapes) if is_matrix(path, leaf)}
    readers = find_readers(optimizer, shapes, *_symbolic_sizes()) if weights else set()
    if weights and not readers:
        return False
    traced = first_update(optimizer, shapes)
    if not weights or weights & {np.shape(array) for array in arrays_in(traced)}:
        return False
    # Tracing stopped at the first part that depends on sizes: trace again with sizes that nothing else has.
    readers |= find_readers(optimizer, shapes, 10007, 10009)
    outside = [file for file in readers if not file.startswith(OPTAX_FOLDER)]
    if outside and len(outside) < len(readers):
        raise ValueError(
            "optimizer must have parts that agree on the layout of weights, got optax's, which read (n_in, n_out), "
            f"and others ({', '.join(sorted(outside))}): wrap those in jaxnn.optim.with_layout(part, 'jaxnn') for "
            "weights (n_out, n_in), or in 'flax'"
        )
    if outside:
        return False
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        if is_matrix(path, leaf) and leaf.ndim > 2:
            raise ValueError(
                f"params{jax.tree_util.keystr(path)} must be one weight for an optimizer that reads rows and columns, "
                f"got a stack {leaf.shape}: make the network without a scan, or, if the optimizer is for stacks, wrap "
                "it in jaxnn.optim.with_layout"
            )
    first_update(with_layout(optimizer), shapes)
    return True
