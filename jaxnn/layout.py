"""The layout of weights that an optimizer is given: here they are (n_out, n_in), and optax reads (n_in, n_out)."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.checks import check_name, described
from jaxnn.factories import factory
from jaxnn.penalties import is_weight
from jaxnn.typing import Params, PyTree

_LAYOUTS = ("flax", "jaxnn")
# The layout in which an optimizer that is being traced is given weights; "either" while `_reads_layout` looks at it.
_given: ContextVar[str] = ContextVar("layout", default="jaxnn")


@factory
def with_layout(optimizer: optax.GradientTransformation, layout: str = "flax") -> optax.GradientTransformation:
    """Return the optimizer that passes weights to the given one in a layout, and turns its updates back.

    Weights are (n_out, n_in) here, (n_in, n_out) in Flax. To most optimizers it makes no difference: Adam looks at each
    number by itself. Muon, adaptive gradient clipping or Adafactor read rows, columns or shapes, and assume Flax's
    layout. Everything in jaxnn that takes an optimizer applies `with_layout` if code of optax reads the layout; code
    from elsewhere is given weights as they are. A loop that calls `optimizer.update` itself must apply it:

        optimizer = jaxnn.with_layout(optax.contrib.muon(0.02))

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
        if _given.get() == "either":  # right in either layout, whatever the inner one reads
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


def check_optimizer(optimizer: Any) -> None:
    """Raise a ValueError unless it is an optax optimizer, or anything with functions init and update."""
    if not all(callable(getattr(optimizer, name, None)) for name in ("init", "update")):
        fix = f": call it, {optimizer.__name__}(0.01) say" if hasattr(optimizer, "__name__") else ""
        fix = f": jaxnn.optimizer({optimizer.lower()!r}, 0.01) makes one" if isinstance(optimizer, str) else fix
        raise ValueError(f"optimizer is {described(optimizer)}, expected an optax optimiser, optax.adam(0.01) say{fix}")
    if getattr(optimizer.init, "__qualname__", "").startswith("lookahead."):
        raise ValueError(_NO_LOOKAHEAD)


_NO_LOOKAHEAD = (
    "optimizer must be one that updates the network's params, got optax.lookahead, which updates "
    "optax.LookaheadParams: pass the optimizer that it was made of"
)


def accepting(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer with an update that is passed those of its keyword arguments alone which it takes."""
    optimizer = optax.with_extra_args_support(optimizer)
    try:
        takes = inspect.signature(optimizer.update).parameters.values()
    except (TypeError, ValueError):  # a signature is not known
        return optimizer
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes):
        return optimizer
    names = {parameter.name for parameter in takes}

    def update(updates, state, params=None, **given):
        return optimizer.update(updates, state, params, **{name: given[name] for name in given if name in names})

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


@contextmanager
def _giving(layout: str) -> Iterator[Callable[[PyTree], PyTree]]:
    """Trace what is inside in that layout; gives the function that turns a tree into it, and back."""
    before = _given.get()
    reset = _given.set("either" if before == "either" else layout)
    try:
        yield (lambda tree: tree) if before in ("either", layout) else _turned
    finally:
        _given.reset(reset)


def _turned(tree: PyTree) -> PyTree:
    """The tree, the last two axes of each weight (..., a, b) swapped."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.swapaxes(leaf, -1, -2) if _is_matrix(path, leaf) else leaf, tree
    )


def _turned_given(turn: Callable[[PyTree], PyTree], like: Any, value: Any) -> Any:
    """What an update is given beside gradients, turned if it has their structure; and what functions take and give."""
    if not callable(value):
        return turn(value) if jax.tree.structure(value) == like else value
    turned = partial(_turned_given, turn, like)
    return lambda *args, **kwargs: turned(value(*map(turned, args), **{k: turned(a) for k, a in kwargs.items()}))


def _must_be_turned(optimizer: optax.GradientTransformation, shapes: Params) -> bool:
    """Whether the optimizer is to be given weights in Flax's layout; a ValueError if it does not take these params."""
    from jax import export  # here: importing jaxnn need not wait for it

    weights = {leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(shapes) if _is_matrix(path, leaf)}
    readers = _readers(optimizer, shapes, *export.symbolic_shape("p, q")) if weights else set()
    if weights and not readers:
        return False
    traced = _first_update(optimizer, shapes)
    if not weights or weights & {np.shape(array) for array in _arrays_in(traced)}:
        return False
    # The first part that looks at sizes ended that: once more, of numbers that are nothing else's size.
    readers |= _readers(optimizer, shapes, 10007, 10009)
    own = [file for file in readers if not file.startswith(_OPTAX)]
    if own and len(own) < len(readers):
        raise ValueError(
            "optimizer must have parts that agree on the layout of weights, got optax's, which read (n_in, n_out), "
            f"and others ({', '.join(sorted(own))}): wrap those in jaxnn.with_layout(part, 'jaxnn') for weights "
            "(n_out, n_in), or in 'flax'"
        )
    if own:
        return False
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        if _is_matrix(path, leaf) and leaf.ndim > 2:
            raise ValueError(
                f"params{jax.tree_util.keystr(path)} is a stack of weights {leaf.shape}, which an optimizer that reads "
                "rows and columns takes for one weight: make the network with scan=False, or, if the optimizer is for "
                "stacks, wrap it in jaxnn.with_layout"
            )
    _first_update(with_layout(optimizer), shapes)
    return True


def _readers(optimizer: optax.GradientTransformation, shapes: Params, p: Any, q: Any) -> set[str]:
    """The files whose code may update a weight otherwise if the weight is transposed; empty only if none does.

    The first update is traced for weights (p, q) of sizes that are not known, so that an optimizer cannot look at them.
    It does not matter which axis is which if each of its operations sees weights whole: element by element, with other
    arrays in the order of the weight's own numbers, or all of them summed.
    """

    def of_that_size(path, leaf):
        shape = (*leaf.shape[:-2], p, q) if _is_matrix(path, leaf) else leaf.shape
        return jax.ShapeDtypeStruct(shape, leaf.dtype)

    reset = _given.set("either")
    try:
        traced = _first_update(optimizer, jax.tree_util.tree_map_with_path(of_that_size, shapes))
    except ValueError as error:  # it looks at sizes
        return {_author(_files_of((error.__cause__ or error).__traceback__))}
    finally:
        _given.reset(reset)
    seen = (stack for equation, stack in _equations(traced.jaxpr) if not _sees_whole(equation, p, q))
    return {_author([frame.file_name for trace in stack for frame in trace.frames]) for stack in seen}


def _files_of(trace: Any) -> list[str]:
    """The files of an error's traceback, the innermost first."""
    return [] if trace is None else [*_files_of(trace.tb_next), trace.tb_frame.f_code.co_filename]


def _author(files: Sequence[str]) -> str:
    """The file that called JAX, of a stack's files, the innermost first."""
    return next(file for file in files if not file.startswith(_BELOW) and not file.endswith(_PASSED_THROUGH))


_OPTAX, *_BELOW = (package.__file__.removesuffix("__init__.py") for package in (optax, jax, np))
_BELOW, _PASSED_THROUGH = tuple(_BELOW), ("contextlib.py", "functools.py")


def _first_update(optimizer: optax.GradientTransformation, shapes: Params) -> Any:
    """The first update of params (...) as a jaxpr; a ValueError if it fails, or gives other shapes."""
    inner = accepting(optimizer)

    def first(params, grads, value):
        def value_fn(params):
            return sum((leaf.sum().astype(value.dtype) for leaf in jax.tree.leaves(params)), jnp.zeros_like(value))

        state = inner.init(params)
        if any(map(_is_lookahead, jax.tree.leaves(state, is_leaf=_is_lookahead))):
            raise ValueError(_NO_LOOKAHEAD)
        return inner.update(grads, state, params, **extra_arguments(value, grads, value_fn))[0]

    value = jax.ShapeDtypeStruct((), jnp.result_type(float))
    try:
        # As optax is written; where promotion is strict, the update itself says so.
        with jax.numpy_dtype_promotion("standard"):
            traced, updates = jax.make_jaxpr(first, return_shape=True)(shapes, shapes, value)
    except Exception as error:
        if str(error) == _NO_LOOKAHEAD:
            raise
        cause = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"optimizer must be one that updates the network's params by their gradient, got one that fails: {cause[0]}"
        ) from error
    leaves, expected = jax.tree_util.tree_leaves_with_path(updates), jax.tree.leaves(shapes)
    for (path, leaf), like in zip(leaves, expected, strict=False):
        if leaf.shape not in (like.shape, ()):
            raise ValueError(
                "optimizer must be one that updates the network's params by their gradient, got updates of shape "
                f"{leaf.shape} for params{jax.tree_util.keystr(path)} of shape {like.shape}: does it take a gradient "
                "for each example?"
            )
    return traced


def extra_arguments(value: Any, grads: Params, value_fn: Callable[[Params], Any]) -> dict[str, Any]:
    """What a step passes to `update` beside the gradient, by the names that optax's optimizers have for it."""
    return {"value": value, "grad": grads, "value_fn": value_fn}


_ELEMENT_BY_ELEMENT = frozenset(
    "abs acos add add_any and asin atan atan2 cbrt ceil clamp convert_element_type copy cos cosh div eq erf exp exp2 "
    "expm1 floor ge gt imag integer_pow is_finite le log log1p logistic lt max min mul ne neg nextafter not or pow "
    "real reduce_precision rem round rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan tanh xor".split()
)
_OF_ALL = frozenset(
    "broadcast_in_dim dot_general reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum reshape "
    "squeeze".split()
)
# On axes beside a weight's own; which of the operands are no indices.
_BESIDE = {
    "concatenate": slice(None),
    "dynamic_slice": slice(1),
    "dynamic_update_slice": slice(2),
    "gather": slice(1),
    "scatter": slice(0, 3, 2),
    "slice": slice(1),
}
_AROUND = frozenset("closed_call cond core_call custom_jvp_call custom_vjp_call jit pjit remat scan while".split())


def _sees_whole(equation: Any, p: Any, q: Any) -> bool:
    """Whether it is all the same to an equation of a jaxpr which of the axes p and q of its arrays is which."""
    name = equation.primitive.name
    if name == "dim_as_value":
        return bool(equation.params["dim"] == p * q)
    # Sizes that are a weight's, in their order: of a weight, or of its numbers in a row.
    given, made = (
        [[n for n in getattr(atom.aval, "shape", ()) if not isinstance(n, int) or n in (p, q, p * q)] for atom in atoms]
        for atoms in (equation.invars, equation.outvars)
    )
    if not all(sizes in ([], [p, q], [p * q]) for sizes in (*given, *made)):
        return False
    if not any((*given, *made)) or name in _ELEMENT_BY_ELEMENT or name in _OF_ALL or name in _AROUND:
        return True
    return name in _BESIDE and all((*given[_BESIDE[name]], *made))


def _equations(jaxpr: Any, around: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """All equations of a jaxpr, and of those inside of it, each with where it was traced, and those around it."""
    for equation in jaxpr.eqns:
        trace = equation.source_info.traceback
        stack = around if trace is None else (trace, *around)
        yield equation, stack
        for inside in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(inside):
                yield from _equations(getattr(inside, "jaxpr", inside), stack)


def _arrays_in(traced: Any) -> Iterator[Any]:
    """The arrays (...) that a traced function closes over."""
    yield from traced.consts
    for equation, _ in _equations(traced.jaxpr):
        yield from (atom.val for atom in equation.invars if hasattr(atom, "val"))
        for inside in equation.params.values():
            yield from getattr(inside, "consts", ())


def _is_jaxpr(node: Any) -> bool:
    return hasattr(node, "eqns")


def _is_lookahead(node: Any) -> bool:
    return isinstance(node, optax.LookaheadState)


def _is_matrix(path: tuple[Any, ...], leaf: Any) -> bool:
    return is_weight(path) and jnp.ndim(leaf) > 1
