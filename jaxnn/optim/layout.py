"""Which axis of a weight an optimizer takes for its inputs, and the transposition that it needs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.factories.decorator import factory
from jaxnn.optim.interface import accepting, check_optimizer
from jaxnn.optim.shape_dependence import OPTAX_FOLDER, arrays_in, find_readers, first_update, given_layout, is_matrix
from jaxnn.typing import Params, PyTree
from jaxnn.validation import check_name

_LAYOUTS = ("flax", "jaxnn")


@factory
def with_layout(optimizer: optax.GradientTransformation, layout: str = "flax") -> optax.GradientTransformation:
    """Return the optimizer that passes weights to the given one in a layout, and turns its updates back.

    Weights are (n_out, n_in) here, (n_in, n_out) in Flax. To most optimizers it makes no difference: Adam looks at each
    number by itself. Muon, adaptive gradient clipping or Adafactor read rows, columns or shapes, and assume Flax's
    layout. Everything in jaxnn that takes an optimizer applies `with_layout` if code of optax reads the layout; code
    from elsewhere is given weights as they are. A loop that calls `optimizer.update` itself must apply it:

        optimizer = jaxnn.optim.with_layout(optax.contrib.muon(0.02))

    Weights are the leaves named `W`: their last two axes are swapped, in params, gradients and everything else that has
    the structure of params. Names and structure stay, so that masks and labels by path find what they name. The
    optimizer's state, and axes that are arguments of the optimizer, are in that layout too:
    `optax.adaptive_grad_clip(0.01)` clips by unit as it is.

    Layouts nest, and no weight is turned twice: an optimizer given here may be part of a chain that is passed to `fit`.

    Args:
      optimizer: any optax optimizer.
      layout: "flax" for weights (n_in, n_out); "jaxnn" for (n_out, n_in), for an optimizer written for params as they
        are, where it is part of a chain that is given Flax's.

    Returns:
      An `optax.GradientTransformation`.

    Raises:
      ValueError: if the layout is another word, or the optimizer is not an optax optimizer.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W": jnp.ones((2, 3))}
      >>> grads = {"W": jnp.array([[100.0, 100.0, 100.0], [0.001, 0.001, 0.001]])}  # a large one of unit 0 alone
      >>> for clip in (optax.adaptive_grad_clip(0.1), with_layout(optax.adaptive_grad_clip(0.1))):
      ...     updates, _ = clip.update(grads, clip.init(params), params)
      ...     print(updates["W"][:, 0])
      [1.4142136e-01 1.4142138e-06]
      [0.1   0.001]

    Sources: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; Brock et al.,
    "High-performance large-scale image recognition without normalization", 2021 (clipping by unit); Shazeer and Stern,
    "Adafactor: adaptive learning rates with sublinear memory cost", 2018.
    """
    check_optimizer(optimizer)
    check_name("layout", layout, _LAYOUTS)
    inner = accepting(optimizer)

    def init(params):
        with _giving(layout) as turn:
            return inner.init(turn(params))

    def update(updates, state, params=None, **given):
        if given_layout.get() == "either":  # right in either layout, whatever the inner one reads
            return updates, state
        like = jax.tree.structure(updates)
        with _giving(layout) as turn:
            given = {name: _turned_given(turn, like, value) for name, value in given.items()}
            params = None if params is None else turn(params)
            updates, state = inner.update(turn(updates), state, params, **given)
        return turn(updates), state

    return optax.GradientTransformationExtraArgs(init, update)


def laid_out(optimizer: optax.GradientTransformation, params: Params) -> optax.GradientTransformation:
    """Return the optimizer as it is if the layout of weights does not matter to it, else `with_layout(optimizer)`.

    One update is traced, which takes milliseconds; nothing is compiled. If code that is not optax's reads the layout,
    or the optimizer closes over arrays in the shape of a weight, such as a mask, it was written for params as they are,
    and is returned as it is.

    Args:
      optimizer: any optax optimizer.
      params: the network's params, or their shapes.

    Returns:
      An `optax.GradientTransformation`.

    Raises:
      ValueError: if the optimizer does not take such params, its updates have other shapes, or it has parts of both
        kinds.
    """
    shapes = jax.eval_shape(lambda params: jax.tree.map(jnp.asarray, params), params)
    leaves, structure = jax.tree.flatten(shapes)
    plan = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    try:
        known = _known.setdefault(optimizer.update, {})
    except TypeError:  # no weak reference can be made to it
        known = {}
    if plan not in known:
        known[plan] = _must_be_turned(optimizer, shapes)
    return with_layout(optimizer) if known[plan] else accepting(optimizer)


_known: WeakKeyDictionary = WeakKeyDictionary()  # update -> {structure and shapes of params: whether to turn weights}


@contextmanager
def _giving(layout: str) -> Iterator[Callable[[PyTree], PyTree]]:
    """Trace what is inside in that layout; gives the function that turns a tree into it, and back."""
    before = given_layout.get()
    reset = given_layout.set("either" if before == "either" else layout)
    try:
        yield (lambda tree: tree) if before in ("either", layout) else _turned
    finally:
        given_layout.reset(reset)


def _turned(tree: PyTree) -> PyTree:
    """The tree, the last two axes of each weight (..., a, b) swapped."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.swapaxes(leaf, -1, -2) if is_matrix(path, leaf) else leaf, tree
    )


def _turned_given(turn: Callable[[PyTree], PyTree], like: Any, value: Any) -> Any:
    """What an update is given beside gradients, turned if it has their structure; and what functions take and give."""
    if not callable(value):
        return turn(value) if jax.tree.structure(value) == like else value
    turned = partial(_turned_given, turn, like)
    return lambda *args, **kwargs: turned(value(*map(turned, args), **{k: turned(a) for k, a in kwargs.items()}))


@cache
def _symbolic_sizes() -> tuple[Any, ...]:
    """Return two unknown sizes, always the same ones: JAX's caches keep each scope of symbols that was traced."""
    from jax import export  # here, so that importing jaxnn does not import it

    return export.symbolic_shape("p, q")


def _must_be_turned(optimizer: optax.GradientTransformation, shapes: Params) -> bool:
    """Whether the optimizer is to be given weights in Flax's layout; a ValueError if it does not take these params."""
    weights = {leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(shapes) if is_matrix(path, leaf)}
    readers = find_readers(optimizer, shapes, *_symbolic_sizes()) if weights else set()
    if weights and not readers:
        return False
    traced = first_update(optimizer, shapes)
    if not weights or weights & {np.shape(array) for array in arrays_in(traced)}:
        return False
    # The first part that looks at sizes ended that: once more, of numbers that are nothing else's size.
    readers |= find_readers(optimizer, shapes, 10007, 10009)
    own = [file for file in readers if not file.startswith(OPTAX_FOLDER)]
    if own and len(own) < len(readers):
        raise ValueError(
            "optimizer must have parts that agree on the layout of weights, got optax's, which read (n_in, n_out), "
            f"and others ({', '.join(sorted(own))}): wrap those in jaxnn.optim.with_layout(part, 'jaxnn') for weights "
            "(n_out, n_in), or in 'flax'"
        )
    if own:
        return False
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        if is_matrix(path, leaf) and leaf.ndim > 2:
            raise ValueError(
                f"params{jax.tree_util.keystr(path)} is a stack of weights {leaf.shape}, which an optimizer that reads "
                "rows and columns takes for one weight: make the network with scan=False, or, if the optimizer is for "
                "stacks, wrap it in jaxnn.optim.with_layout"
            )
    first_update(with_layout(optimizer), shapes)
    return True
